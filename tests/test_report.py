import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from generated_runs import edit_summary, write_run, write_sweep

from cifar_arch.record import Status
from cifar_arch.report import cache, load_curves, load_runs, runs
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError


def one(outputs: Path) -> dict[str, Any]:
    """The only row of a report."""
    (row,) = load_runs(outputs).to_dict("records")
    return row


# --- load_runs ------------------------------------------------------------------------------------


def test_a_finished_run_becomes_a_typed_row(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "sweeps" / "blocks" / "7"
    write_run(folder, 0.61, test=0.6, study="blocks", trial__number=7, seed=3, t2="dilated", width=20)
    frame = load_runs(tmp_path / "outputs")
    assert {name: str(kind) for name, kind in frame.dtypes.items() if name in runs.COLUMNS} == runs.COLUMNS
    row = one(tmp_path / "outputs")
    shown = ("study", "trial", "source", "status", "seed", "data", "device", "epochs", "seconds")
    assert [row[name] for name in shown] == ["blocks", 7, "sweeps", "completed", 3, "cifar10", "cpu", 3, 12.5]
    assert (row["accuracy"], row["accuracy_of"], row["test_accuracy"]) == (0.61, "validation", 0.6)
    assert (row["c2"], row["t2"], row["downsample"]) == ("plain_residual", "dilated", "mixed")
    assert row["folder"] == str(folder)
    assert row["reaches_target"] is False
    # The config, typed as well.
    assert (row["training.batch_size"], row["training.lr"]) == (50, 0.1)
    assert row["model.multipliers"] == "[1,1,2,3]"
    assert str(frame["model.c2.residual"].dtype) == "boolean"
    assert set(frame.attrs["config"]) == set(frame.columns) - set(runs.COLUMNS)


def test_params_are_those_of_the_network_and_width_auto_is_solved(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "runs" / "a", width="auto")
    network = json.loads(folder.architecture.read_text())
    row = one(tmp_path)
    assert (row["params"], row["macs"]) == (network["params"], network["macs"])
    assert (row["width"], row["model.width"]) == (network["spec"]["width"], "auto")


def test_a_real_run_is_read(finished_run: Path) -> None:
    row = one(finished_run)
    summary = json.loads((finished_run / "summary.json").read_text())
    names = ("status", "val_accuracy", "test_accuracy", "params", "seconds", "train_accuracy", "val_loss")
    assert {name: row[name] for name in names} == {name: summary[name] for name in names}
    assert row["note"] == "the synthetic data set never counts towards the target"


def test_without_validation_images_the_test_accuracy_is_shown(tmp_path: Path) -> None:
    write_run(tmp_path / "confirm" / "blocks" / "7-seed1", None, test=0.86)
    row = one(tmp_path)
    assert (row["accuracy"], row["accuracy_of"], row["reaches_target"]) == (0.86, "test", True)
    assert (row["source"], row["study"]) == ("confirm", "blocks")


def half_written(run: RunFolder) -> None:
    run.summary.unlink()


def only_started(run: RunFolder) -> None:
    for path in (run.summary, run.metrics, run.architecture):
        path.unlink()
    run.log.write_text("")


# what happens to a folder, the status it is listed with, and a part of the reason
STATES = [
    (half_written, "running", "no summary.json: still running, or killed after epoch 3"),
    (only_started, "running", "no summary.json: still running, or killed after epoch 0"),
    (lambda r: r.summary.write_text(r.summary.read_text()[:50]), "unreadable", "summary.json is damaged ("),
    (lambda r: r.summary.write_bytes(b"\xff\xfe\x00"), "unreadable", "summary.json is damaged ("),
    (lambda r: r.summary.write_text("[1, 2]"), "unreadable", "summary.json is not ours ("),
    (lambda r: r.summary.write_text('{"loss": 1}'), "unreadable", "missing required field `status`"),
    (lambda r: edit_summary(r, status="great"), "unreadable", "summary.json is not ours ("),
    (lambda r: edit_summary(r, params="many"), "unreadable", "at `$.params`"),
    (
        lambda r: (r.summary.unlink(), r.architecture.write_text("{")),
        "unreadable",
        "architecture.json is damaged",
    ),
    (
        lambda r: (r.summary.unlink(), r.metrics.write_text("epoch,lr\n1,x\n")),
        "unreadable",
        "metrics.csv is dam",
    ),
    (
        lambda r: (r.summary.unlink(), r.metrics.write_text("a,b\n1,2\n")),
        "unreadable",
        "metrics.csv is not ours",
    ),
    (lambda r: (r.summary.unlink(), r.summary.mkdir()), "unreadable", "summary.json cannot be read ("),
]


@pytest.mark.parametrize(("damage", "status", "reason"), STATES, ids=[f"{s}-{r[:24]}" for _, s, r in STATES])
def test_what_is_not_finished_is_listed_with_the_reason(
    tmp_path: Path, damage: Any, status: str, reason: str
) -> None:
    damage(write_run(tmp_path / "runs" / "a"))
    row = one(tmp_path)
    assert row["status"] == status
    assert reason in row["reason"]


def test_a_running_run_shows_what_it_has_reached(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a", 0.6, width=16)
    params = json.loads(run.architecture.read_text())["params"]
    run.summary.unlink()
    row = one(tmp_path)
    assert (row["epochs_done"], row["params"], row["width"]) == (3, params, 16)
    assert row["val_accuracy"] == pytest.approx(0.6)


@pytest.mark.parametrize("status", [Status.PRUNED, Status.REJECTED, Status.FAILED])
def test_other_ends_are_listed(tmp_path: Path, status: Status) -> None:
    write_run(tmp_path / "runs" / "a", None if status == Status.REJECTED else 0.2, status=status)
    row = one(tmp_path)
    assert (row["status"], row["reason"]) == (str(status), f"it was {status}")


def test_foreign_folders_are_listed_and_our_own_are_not(tmp_path: Path) -> None:
    write_sweep(tmp_path, "s", {"width": [8, 16]}, lambda point: 0.5)
    for ours in ("sweeps/s/experiment", "sweeps/s/.workers", "artifacts/x", "report/figures", "sweeps/none"):
        (tmp_path / ours).mkdir(parents=True)
    (tmp_path / "sweeps" / "none" / "rejected.csv").touch()  # a sweep that found nothing to train
    (tmp_path / "holiday" / "photos").mkdir(parents=True)
    (tmp_path / "holiday" / "photos" / "a.jpg").touch()
    frame = load_runs(tmp_path)
    assert frame["status"].value_counts().to_dict() == {"completed": 2, "unreadable": 1}
    (foreign,) = frame[frame["status"] == "unreadable"].to_dict("records")
    assert foreign["folder"] == str(tmp_path / "holiday" / "photos")
    assert foreign["reason"].startswith("no run: it holds none of architecture.json")


def test_trials_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_sweep(tmp_path, "s", {"width": list(range(4, 16))}, lambda point: 0.5)
    assert load_runs(tmp_path)["trial"].tolist() == list(range(12))


def test_an_empty_folder_is_an_empty_table_with_all_columns(tmp_path: Path) -> None:
    frame = load_runs(tmp_path)
    assert (len(frame), list(frame.columns)) == (0, list(runs.COLUMNS))


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"outputs: '.*missing' does not exist; name the folder"):
        load_runs(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"outputs: '.*file' is no folder"):
        load_runs(tmp_path / "file")


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder that everybody may read, and a user to whom permissions apply, unlike root."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)  # nobody
        yield Path(folder)
        if root:
            os.seteuid(0)


def test_folders_without_permission(unprivileged: Path) -> None:
    write_run(unprivileged / "runs" / "a")
    closed = unprivileged / "runs" / "closed"
    closed.mkdir(mode=0)
    frame = load_runs(unprivileged).set_index("status")
    assert frame.loc["unreadable", "reason"] == "the folder cannot be read (Permission denied)"
    with pytest.raises(
        ConfigError, match=r"outputs: the folder '.*closed' cannot be read \(Permission denied\)"
    ):
        load_runs(closed)
    assert len(frame) == 2


def test_no_torch_and_no_optuna() -> None:
    names = ("torch", "optuna", "hydra")
    code = f"import sys, cifar_arch.report.command; print([n for n in {names} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- the cache ------------------------------------------------------------------------------------


def test_a_second_look_reads_no_summary_again_and_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(tmp_path, "s", {"width": [8, 16]}, lambda point: 0.5)
    first = load_runs(tmp_path)

    def forbidden(path: Path) -> None:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(runs, "read_run", forbidden)
    pd.testing.assert_frame_equal(load_runs(tmp_path), first)
    with pytest.raises(AssertionError, match="was read again"):
        load_runs(tmp_path, use_cache=False)


def test_the_cache_sees_what_changed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a", 0.5)
    other = write_run(tmp_path / "runs" / "b", 0.4)
    load_runs(tmp_path)
    time.sleep(0.01)  # so that the file's time differs
    edit_summary(run, val_accuracy=0.7)
    write_run(tmp_path / "runs" / "c", 0.1)
    other.summary.unlink()
    frame = load_runs(tmp_path)
    assert frame["accuracy"].tolist() == pytest.approx([0.7, 0.4, 0.1])
    assert frame["status"].tolist() == ["completed", "running", "completed"]


@pytest.mark.parametrize("content", [b"", b"\x93\x63", b"nonsense", b"\xff" * 100])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, content: bytes) -> None:
    write_run(tmp_path / "runs" / "a")
    first = load_runs(tmp_path)
    (tmp_path / cache.NAME).write_bytes(content)
    pd.testing.assert_frame_equal(load_runs(tmp_path), first)
    assert (tmp_path / cache.NAME).read_bytes() != content


def test_a_column_that_changes_its_type_is_read_anew(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", width=8)
    assert str(load_runs(tmp_path)["model.width"].dtype) == "Int64"
    write_run(tmp_path / "runs" / "b", width="auto")
    frame = load_runs(tmp_path)
    assert frame["model.width"].tolist() == ["8", "auto"]


def test_the_cache_follows_the_name_that_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "outputs" / "runs" / "a")
    load_runs(tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    assert one(Path("outputs"))["folder"] == "outputs/runs/a"


# --- load_curves ----------------------------------------------------------------------------------


def test_curves_are_a_long_table(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", 0.6, epochs=3)
    write_run(tmp_path / "runs" / "b", 0.3, epochs=2)
    curves = load_curves(tmp_path)
    assert curves["epoch"].tolist() == [1, 2, 3, 1, 2]
    assert curves["val_accuracy"].to_numpy() == pytest.approx(np.array([0.2, 0.4, 0.6, 0.15, 0.3]))
    assert curves.attrs["unreadable"] == {}
    chosen = load_curves(load_runs(tmp_path).query("accuracy > 0.5"))
    assert chosen["folder"].unique().tolist() == [str(tmp_path / "runs" / "a")]


def test_a_broken_curve_is_named_and_the_others_are_there(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", epochs=2)
    broken = write_run(tmp_path / "runs" / "b")
    broken.metrics.write_text("epoch,lr\n1,fast\n")
    curves = load_curves(tmp_path)
    assert len(curves) == 2
    (reason,) = curves.attrs["unreadable"].values()
    assert reason.startswith("metrics.csv is damaged (could not convert")


def test_a_run_without_validation_has_empty_cells(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a")
    run.metrics.write_text("epoch,lr,train_loss,val_loss\n1,0.1,2.0,\n")
    assert load_curves(tmp_path)["val_loss"].isna().all()
