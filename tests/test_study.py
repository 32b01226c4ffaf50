"""The study that workers share: whose it is, what it counts, what it writes. Real SQLite."""

import csv
import re
import resource
from pathlib import Path

import optuna
import pytest
from msgspec.structs import replace
from sweeping import WIDTHS, ask, at_most, broken, finish_job, open_worker, search_config

from cifar_arch.record import Status
from cifar_arch.schema import ConfigError, SearchStopped
from cifar_arch.search.ledger import Counts
from cifar_arch.search.storage import open_storage
from cifar_arch.search.study import SharedStudy


def test_another_fingerprint_and_a_foreign_study_are_refused(tmp_path: Path) -> None:
    wanted = search_config(tmp_path, WIDTHS)
    SharedStudy(wanted)
    other = {"made": "by another test", "seed": 3}
    message = "'test' was made with made=by a test, now by another test; seed=nothing, now 3; choose another"
    with pytest.raises(ConfigError, match=re.escape(message)):
        SharedStudy(replace(wanted, fingerprint=other))
    many = {f"key{n}": n for n in range(9)}
    with pytest.raises(ConfigError, match=r"key0=nothing, now 0; .* and 6 more; choose another"):
        SharedStudy(replace(wanted, fingerprint=many))
    storage = open_storage(wanted.storage)
    optuna.create_study(study_name="foreign", storage=storage, direction="maximize").ask()
    with pytest.raises(ConfigError, match="'foreign' was not made by this tool"):
        SharedStudy(replace(wanted, name="foreign"))


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["set_user_attr", "set_metric_names"])
def test_a_study_whose_making_was_cut_short_is_made_whole(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = replace(search_config(tmp_path, WIDTHS), objectives=("params",))
    with monkeypatch.context() as patched:
        patched.setattr(optuna.Study, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            SharedStudy(wanted)
    made = SharedStudy(wanted).study
    assert (made.metric_names, made.user_attrs["fingerprint"]) == (["params"], wanted.fingerprint)


def test_a_pruned_trial_is_never_the_best(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    finish_job(worker, ask(worker), 0.5)
    pruned = ask(worker)
    worker.shared.storage.set_trial_intermediate_value(pruned.trial_id, 1, 0.7)
    told = finish_job(worker, pruned, 0.7, Status.PRUNED)
    assert (told.values, worker.shared.best()) == ((), 0.5)


def test_trials_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS), assessed=at_most(7))
    finish_job(worker, ask(worker))
    finish_job(worker, ask(worker), status=Status.FAILED, reason="broken")
    assert worker.asker.ask() is None
    worker.shared.queue({"width": 4})
    counts = worker.shared.counts()
    assert (counts, counts.trained) == (Counts(completed=1, failed=1, rejected=1, waiting=1), 2)
    assert [t.number for t in worker.shared.trials() if t.trained] == [0, 1]


def test_rejections_are_listed_in_a_file(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS), assessed=at_most(5))
    ask(worker)
    assert worker.asker.ask() is None
    with worker.shared.config.folder.rejected.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "trial": "1",
        "overrides": "width=6",
        "rule": "sum",
        "limit": "5",
        "actual": "6",
        "message": "sum: 5 is allowed, got 6",
    }
    assert len(rows) == 2


def test_a_full_disk_tears_no_rejection(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    ask(worker)
    trial, file = worker.shared.ledger.trial(0), worker.shared.config.folder.rejected
    kept = ""
    for rule in ("first", "second"):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept) + 10, before[1]))
            with pytest.raises(OSError, match="File too large"):
                worker.shared.list_rejection(trial, [broken(rule, 5, 6)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert file.read_text(encoding="utf-8") == kept
        worker.shared.list_rejection(trial, [broken(rule, 5, 6)])
        kept = file.read_text(encoding="utf-8")
    with file.open(newline="", encoding="utf-8") as lines:
        assert [row["rule"] for row in csv.DictReader(lines)] == ["first", "second"]


def test_the_history_of_a_damaged_table_is_empty(tmp_path: Path) -> None:
    shared = SharedStudy(search_config(tmp_path, WIDTHS))
    assert shared.history(0) == []
    shared.folder(0).mkdir()
    (shared.folder(0) / "metrics.csv").write_text("epoch,lr\n1,much\n", encoding="utf-8")
    assert shared.history(0) == []


@pytest.mark.parametrize("older", [False, True])
def test_parameters_have_the_names_that_people_type(older: bool, tmp_path: Path) -> None:
    """Those of a study of an earlier version keep their full keys, in which alone records speak."""
    config = search_config(tmp_path, {"model.width": WIDTHS["width"], "training.lr": WIDTHS["width"]})
    worker = open_worker(config)
    if older:
        worker.shared.study.set_user_attr("keys", {})
        worker = open_worker(config)
    worker.shared.queue({"model.width": 6, "training.lr": 8})
    first, second = ask(worker), ask(worker)
    assert first.point == {"model.width": 6, "training.lr": 8}
    assert second.point.keys() == first.point.keys()
    stored = [set(t.params) for t in worker.shared.study.get_trials()]
    assert stored == [{"model.width" if older else "width", "training.lr"}] * 2
    assert worker.shared.ledger.trial(0).point == first.point


def test_a_database_that_another_one_replaced_is_not_written_to(tmp_path: Path) -> None:
    shared = SharedStudy(search_config(tmp_path, WIDTHS))
    assert shared.file
    shared.file.rename(tmp_path / "before.db")
    shared.file.touch()
    said = (
        f"the study was removed while it ran: {str(shared.file)!r} is no longer what it was; the same command"
    )
    with pytest.raises(SearchStopped, match=f"^{re.escape(said)}"), shared.lock():
        pytest.fail("is locked")
