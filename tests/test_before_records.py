"""Run folders and studies of the version before records were typed (tests/data) are still read and go on."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conftest import CHECKOUT, Cli, type_command

from cifar_arch.compose import compose
from cifar_arch.report import load_runs
from cifar_arch.runfolder import RunFolder
from cifar_arch.search.candidate import Candidate

SWEEP = (
    "data=shapes", "data.validation=5800", "limits=none", "width=4,6", "t2=strided,dilated",
    "training.batch_size=50", "epochs=2", "study=old",
    # which that version always had
    "training=sgd", "training.precision=float32",
    "augment.backend=albumentations", "augment.horizontal_flip.alternate=false",
)  # fmt: skip


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with outputs/ of that version."""
    shutil.copytree(CHECKOUT / "tests" / "data" / "before-records", tmp_path, dirs_exist_ok=True)
    dump = tmp_path / "outputs" / "studies.sql"
    with closing(sqlite3.connect(dump.with_suffix(".db"))) as database:
        database.executescript(dump.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_evaluated_to_its_recorded_accuracy(before: Path, cli: Cli) -> None:
    done = cli("evaluate", "outputs/runs/a")
    assert done.status == 0
    assert done.out.startswith("test accuracy 10.00% (on record: 10.00%) on 1,000 images of shapes\n")


def test_metrics_and_summary_agree(before: Path) -> None:
    folder = RunFolder("outputs/runs/a")
    summary = folder.read_summary()
    assert summary is not None
    assert [row.epoch for row in folder.read_metrics()] == [1, 2]
    assert folder.read_metrics()[-1].val_accuracy == summary.val_accuracy


def test_the_report_lists_all_runs(before: Path) -> None:
    runs = load_runs("outputs")
    assert runs["status"].tolist() == ["completed"] * 6
    best = runs.loc[runs["val_accuracy"].idxmax()]
    assert (best["folder"], best["width"], best["t2"]) == ("outputs/sweeps/old/1", 4, "dilated")


def test_equal_candidates_have_the_keys_that_old_studies_hold(before: Path) -> None:
    overrides = [text for text in SWEEP if "," not in text and not text.startswith("study")]
    with closing(sqlite3.connect("outputs/studies.db")) as database:
        stored = dict(
            database.execute(
                "SELECT number, value_json FROM trials JOIN trial_user_attributes USING (trial_id) "
                "JOIN studies USING (study_id) WHERE key = 'key' AND study_name = 'old'"
            )
        )
    points = {0: (4, "strided"), 1: (4, "dilated"), 2: (6, "strided"), 3: (6, "dilated")}
    for number, (width, kind) in points.items():
        config = compose([*overrides, f"width={width}", f"t2={kind}"])
        assert f'"{Candidate.from_dict(config).key}"' == stored[number]


@pytest.mark.slow
def test_the_same_command_finds_its_study_finished(before: Path) -> None:
    done = type_command("run", "-m", *SWEEP, cwd=before)
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 trained before\n" in done.stdout
    assert "study old is done: 4 trained\n" in done.stdout
    assert "   1      1    10.28%   3,630  65 px        4  width=4 t2=dilated\n" in done.stdout


@pytest.mark.slow
def test_a_finished_study_is_confirmed(before: Path) -> None:
    done = type_command("confirm", "old", "--top", "1", "--seeds", "1", "--epochs", "1", cwd=before)
    assert done.returncode == 0, done.stderr
    assert "  trial 0  test_accuracy " in done.stdout
