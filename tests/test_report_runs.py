"""Folders of runs as a table, whatever state they are in."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from generated_runs import edit_summary, write_run, write_sweep

from cifar_arch.record import Status
from cifar_arch.report import load_runs
from cifar_arch.report.columns import COLUMNS
from cifar_arch.schema import ConfigError


def one(outputs: Path) -> dict[str, Any]:
    """The only row of a report."""
    (row,) = load_runs(outputs).to_dict("records")
    return row


def test_a_finished_run_becomes_a_typed_row(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "sweeps" / "blocks" / "7"
    write_run(folder, 0.61, test=0.6, study="blocks", trial__number=7, seed=3, t2="dilated", width=20)
    frame = load_runs(tmp_path / "outputs")
    assert {n: str(frame[n].dtype) for n in COLUMNS} == {n: c.kind for n, c in COLUMNS.items()}
    row = one(tmp_path / "outputs")
    shown = ("study", "trial", "source", "status", "seed", "data", "device", "epochs", "seconds")
    assert [row[name] for name in shown] == ["blocks", 7, "sweeps", "completed", 3, "cifar10", "cpu", 3, 12.5]
    assert (row["accuracy"], row["accuracy_of"], row["test_accuracy"]) == (0.61, "validation", 0.6)
    assert (row["c2"], row["t2"], row["downsample"]) == ("plain_residual", "dilated", "mixed")
    assert row["folder"] == str(folder)
    assert row["reaches_target"] is False
    # The config, typed as well.
    assert (row["training.batch_size"], row["training.lr"]) == (50, 0.06)
    assert row["model.multipliers"] == "[1,1,2,3]"
    assert str(frame["model.c2.residual"].dtype) == "boolean"
    assert frame.attrs == {}  # nothing that a filter of the user would lose


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    outputs, elsewhere = tmp_path / "outputs", tmp_path / "elsewhere"
    write_run(outputs / "runs" / "a")
    write_run(elsewhere / "b")
    (outputs / "runs" / "again").symlink_to(outputs / "runs" / "a")
    (outputs / "linked").symlink_to(elsewhere)
    (outputs / "twice").symlink_to(elsewhere / "b")
    (outputs / "up").symlink_to(tmp_path)
    (elsewhere / "back").symlink_to(outputs)
    (outputs / "nowhere").symlink_to(tmp_path / "nowhere")
    for _ in range(2):  # the second time from the cache
        found = load_runs(outputs)
        assert found["folder"].tolist() == [f"{outputs}/linked/b", f"{outputs}/runs/a"]
        assert found["source"].fillna("").tolist() == ["", "runs"]


def test_params_are_those_of_the_network_and_width_auto_is_solved(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "runs" / "a", width="auto")
    network = json.loads(folder.architecture.read_text(encoding="utf-8"))
    row = one(tmp_path)
    assert (row["params"], row["macs"]) == (network["params"], network["macs"])
    assert (row["width"], row["model.width"]) == (network["spec"]["width"], "auto")
    edit_summary(folder, config={"model.width": "wide"})  # of another tool
    assert pd.isna(one(tmp_path)["width"])


def test_a_real_run_is_read(finished_run: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_run, tmp_path / "run")  # a report leaves a file
    row = one(tmp_path)
    summary = json.loads((finished_run / "summary.json").read_text(encoding="utf-8"))
    names = ("status", "val_accuracy", "test_accuracy", "params", "seconds", "train_accuracy", "val_loss")
    assert {name: row[name] for name in names} == {name: summary[name] for name in names}
    assert row["note"] == "the synthetic data set never counts towards the target"


def test_without_validation_images_the_test_accuracy_is_shown(tmp_path: Path) -> None:
    write_run(tmp_path / "confirm" / "blocks" / "7-seed1", None, test=0.86)
    row = one(tmp_path)
    assert (row["accuracy"], row["accuracy_of"], row["reaches_target"]) == (0.86, "test", True)
    assert (row["source"], row["study"]) == ("confirm", "blocks")


@dataclass(frozen=True)
class Damage:
    """What a finished folder is left with, and how it is listed then."""

    status: str
    reason: str  # a part of it
    writes: dict[str, str | bytes] = field(default_factory=dict)
    removes: tuple[str, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)  # of summary.json


SIZES = {"macs": 1, "receptive_field": 1, "receptive_field_with_pooling": 1}
LONG = json.dumps({"spec": {}, "params": 10**30, **SIZES})
UNFINISHED = "no summary.json: still running, or killed after epoch "
DAMAGES = {
    "half written": Damage("running", UNFINISHED + "3", removes=("summary.json",)),
    "only started": Damage(
        "running",
        UNFINISHED + "0",
        removes=("summary.json", "metrics.csv", "architecture.json"),
        writes={"run.log": ""},
    ),
    "a torn summary": Damage("unreadable", "summary.json is damaged (", {"summary.json": '{"status": "comp'}),
    "no text": Damage("unreadable", "summary.json is damaged (", {"summary.json": b"\xff\xfe\x00"}),
    "a list": Damage("unreadable", "summary.json is not ours (", {"summary.json": "[1, 2]"}),
    "no status": Damage("unreadable", "missing required field `status`", {"summary.json": '{"loss": 1}'}),
    "another status": Damage("unreadable", "summary.json is not ours (", changes={"status": "great"}),
    "another type": Damage("unreadable", "at `$.params`", changes={"params": "many"}),
    "a torn network": Damage(
        "unreadable", "architecture.json is damaged (", {"architecture.json": "{"}, ("summary.json",)
    ),
    "another experiment": Damage(
        "unreadable",
        "experiment.json is not ours (Expected `int | null`, got `str` - at `$.epochs`)",
        {"experiment.json": '{"training": {"epochs": "many"}}'},
        ("summary.json",),
    ),
    "another cell": Damage(
        "unreadable", "metrics.csv is not ours (", {"metrics.csv": "epoch,lr\n1,x\n"}, ("summary.json",)
    ),
    "other columns": Damage(
        "unreadable", "metrics.csv is not ours (", {"metrics.csv": "a,b\n1,2\n"}, ("summary.json",)
    ),
    "a long number": Damage(
        "unreadable", "summary.json is not ours (epochs has more than 64 bits)", changes={"epochs": 10**30}
    ),
    "a long number in the config": Damage(
        "unreadable",
        "summary.json is not ours (data.validation has more than 64 bits)",
        changes={"config": {"data.validation": 2**63}},
    ),
    "a long number in the network": Damage(
        "unreadable",
        "one of its files is not ours (params has more than 64 bits)",
        {"architecture.json": LONG},
        ("summary.json",),
    ),
    "no table": Damage("unreadable", "metrics.csv is damaged (", {"metrics.csv": b"\xff"}, ("summary.json",)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_not_finished_is_listed_with_the_reason(tmp_path: Path, damage: Damage) -> None:
    run = write_run(tmp_path / "runs" / "a")
    for name in damage.removes:
        (run.path / name).unlink()
    for name, content in damage.writes.items():
        (run.path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    if damage.changes:
        edit_summary(run, **damage.changes)
    row = one(tmp_path)
    assert row["status"] == damage.status
    assert damage.reason in row["reason"]


def test_a_folder_in_place_of_a_file_is_listed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a")
    run.summary.unlink()
    run.summary.mkdir()
    row = one(tmp_path)
    assert (row["status"], row["reason"]) == ("unreadable", "summary.json cannot be read (Is a directory)")


def test_a_running_run_shows_what_it_has_reached(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a", 0.6, width=16)
    params = json.loads(run.architecture.read_text(encoding="utf-8"))["params"]
    run.summary.unlink()
    row = one(tmp_path)
    assert (row["epochs_done"], row["params"], row["width"]) == (3, params, 16)
    assert row["val_accuracy"] == pytest.approx(0.6)


@pytest.mark.parametrize("status", [Status.PRUNED, Status.REJECTED, Status.FAILED])
def test_other_ends_are_listed(tmp_path: Path, status: Status) -> None:
    write_run(tmp_path / "runs" / "a", None if status == Status.REJECTED else 0.2, status=status)
    row = one(tmp_path)
    assert (row["status"], row["reason"]) == (str(status), f"it was {status}")


def test_folders_of_odd_names_are_listed(tmp_path: Path) -> None:
    write_run(tmp_path / "²")
    edit_summary(write_run(tmp_path / "sweeps" / "s" / ("9" * 19)), config={})  # no number of 64 bits
    no_text = os.fsdecode(b"\xffa")
    write_run(tmp_path / no_text)
    frame = load_runs(tmp_path).set_index("folder")
    assert frame["status"].value_counts().to_dict() == {"completed": 2, "unreadable": 1}
    assert frame.loc[f"{tmp_path}/\\udcffa", "reason"] == "its name is not UTF-8; rename it"
    with pytest.raises(ConfigError, match=r"^outputs: the name of '.*' is not UTF-8; rename it"):
        load_runs(tmp_path / no_text)


def test_foreign_folders_are_listed_and_our_own_are_not(tmp_path: Path) -> None:
    write_sweep(tmp_path, "s", {"width": [8, 16]}, lambda point: 0.5)
    ours_all = ("sweeps/s/experiment", "sweeps/s/.workers", "artifacts/x", "report/figures", "sweeps/none")
    for ours in (*ours_all, "sweeps/s/block", "sweeps/just-begun/.workers", "x/figures"):
        (tmp_path / ours).mkdir(parents=True)
    (tmp_path / "x" / "report.html").touch()  # an earlier report
    (tmp_path / "sweeps" / "none" / "rejected.csv").touch()  # a sweep that found nothing to train
    (tmp_path / "sweeps" / "s" / "block" / "mine.yaml").touch()  # an option of a user's own
    (tmp_path / "holiday" / "photos").mkdir(parents=True)
    (tmp_path / "holiday" / "photos" / "a.jpg").touch()
    frame = load_runs(tmp_path)
    assert frame["status"].value_counts().to_dict() == {"completed": 2, "unreadable": 1}
    (foreign,) = frame[frame["status"] == "unreadable"].to_dict("records")
    assert foreign["folder"] == str(tmp_path / "holiday" / "photos")
    assert foreign["reason"].startswith("no run: it holds none of architecture.json")


@pytest.mark.parametrize(
    "name", ["experiment", "report", "workers", "artifacts", "runs", "sweeps", "confirm"]
)
def test_a_study_may_be_called_like_a_folder_of_ours(tmp_path: Path, name: str) -> None:
    write_run(tmp_path / "sweeps" / name / "0", study=name)
    assert load_runs(tmp_path)["study"].tolist() == [name]


def test_trials_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_sweep(tmp_path, "s", {"width": list(range(4, 16))}, lambda point: 0.5)
    assert load_runs(tmp_path)["trial"].tolist() == list(range(12))


def test_an_empty_folder_is_an_empty_table_with_all_columns(tmp_path: Path) -> None:
    frame = load_runs(tmp_path)
    assert (len(frame), list(frame.columns)) == (0, list(COLUMNS))


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"outputs: '.*missing' does not exist; name the folder"):
        load_runs(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"outputs: '.*file' is no folder"):
        load_runs(tmp_path / "file")


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Path]:
    """A folder that everybody may read, and a user to whom permissions apply, unlike root."""
    write_run(tmp_path / "a")  # configs and modules are read now: that user may not read a checkout of root's
    load_runs(tmp_path)
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
