"""A study whose options were edited since is refused: it has but their names."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState
from sweeping import WIDTHS, ask, assess, finish_job, open_worker, search_config

from cifar_arch.record import Status
from cifar_arch.schema import ConfigError
from cifar_arch.search import sweeper
from cifar_arch.search.ask import Assess
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.edited import require_unedited
from cifar_arch.search.space import Point
from cifar_arch.search.sweeper import ArchitectureSweeper
from cifar_arch.search.trial import Role, TrialRecord


def version(of_mine: str) -> Assess:
    """The candidates of two options; the sizes of one go by its key, and up to 9 are inside the limits."""

    def assessed(point: Point) -> Candidate:
        key = of_mine if point["augment"] == "mine" else "none"
        return replace(assess({"x": len(key)}, 9), key=key)

    return assessed


REFUSED = r"^study: trial . \(augment=mine\) would not be the same now: its "


def test_an_option_of_a_trial_that_is_to_go_on_or_was_trained(tmp_path: Path) -> None:
    wanted = search_config(tmp_path, {"augment": CategoricalDistribution(["mine", "none"])})
    worker = open_worker(wanted, assessed=version("first"))
    worker.teller.tell(ask(worker).number, stopped=True)
    open_worker(wanted, assessed=version("first"))
    with pytest.raises(ConfigError, match=REFUSED):
        open_worker(wanted, assessed=version("second"))
    finish_job(worker, ask(worker))
    with pytest.raises(ConfigError, match=REFUSED):
        open_worker(wanted, assessed=version("second"))


UNTRAINED = {"none": ("another", Role.REPLAYED), "far too large": ("within", Role.REJECTED)}


@pytest.mark.parametrize(("first", "second", "role"), [(a, *b) for a, b in UNTRAINED.items()], ids=UNTRAINED)
def test_an_option_that_was_not_trained_is_refused(
    first: str, second: str, role: Role, tmp_path: Path
) -> None:
    wanted = search_config(tmp_path, {"augment": CategoricalDistribution(["none", "mine"])})
    worker = open_worker(wanted, assessed=version(first))
    finish_job(worker, ask(worker))
    assert worker.asker.ask() is None
    assert worker.shared.ledger.trial(1).role is role
    open_worker(wanted, assessed=version(first))
    with pytest.raises(ConfigError, match=REFUSED):
        open_worker(wanted, assessed=version(second))


def test_a_study_of_an_earlier_version_goes_on() -> None:
    """Its rejected trials may have no sizes on record, and its trained ones no key."""
    records = [
        TrialRecord(number=number, id=number, state=TrialState.PRUNED, point={"augment": "mine"}, role=role)
        for number, role in enumerate((Role.REJECTED, None))
    ]
    for trials in (records, records[:1]):
        require_unedited(trials, version("first"))


def edited(point: Point) -> Candidate:
    return replace(assess(point), key=f"edited {point}")


def test_what_every_point_has_is_refused(tmp_path: Path) -> None:
    """As the file of an own block that none of the swept keys chooses."""
    worker = open_worker(search_config(tmp_path, WIDTHS))
    finish_job(worker, ask(worker))
    with pytest.raises(ConfigError, match=r"^study: trial 0 \(width=4\) would not be the same now: its "):
        open_worker(search_config(tmp_path, WIDTHS), assessed=edited)


def test_no_worker_is_started_for_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    finish_job(worker, ask(worker))
    monkeypatch.setattr(sweeper, "Supervisor", lambda *_: pytest.fail("they were started"))
    stub: Any = SimpleNamespace(_count=lambda _: 2, _launches_here=lambda: True)
    composer, options = SimpleNamespace(assess=edited), SimpleNamespace(gpus=())
    with pytest.raises(ConfigError, match=r"^study: trial 0 \(width=4\) would not be the same now: its "):
        ArchitectureSweeper._run_workers(stub, search_config(tmp_path, WIDTHS), composer, options)  # type: ignore[arg-type]


def test_what_failed_may_be_fixed(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    finish_job(worker, ask(worker), status=Status.FAILED, reason="broken")
    assert ask(open_worker(search_config(tmp_path, WIDTHS), assessed=edited)).point == {"width": 6}
