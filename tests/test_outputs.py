"""Where results go: `outputs`, the one key for it, and jobs that Hydra runs in folders of their own."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import TINY, Cli, run_folders, summary_of, type_command
from sweeping import sweep, trials

from cifar_arch.compose import anchored

SWEEP = ("width=4,6", "limits=none", "epochs=2", "study=s")


def test_relative_paths_are_anchored() -> None:
    folder = Path("/typed/here")
    table = {
        "sqlite:///outputs/studies.db": "sqlite:////typed/here/outputs/studies.db",
        "sqlite:////tmp/s.db": "sqlite:////tmp/s.db",
        "postgresql+psycopg://me@host/db": "postgresql+psycopg://me@host/db",
    }
    for typed, meant in table.items():
        config = {"storage": typed, "outputs": "out", "data": {"root": "data"}, "seed": 1}
        assert anchored(config, folder) == {
            "storage": meant,
            "outputs": "/typed/here/out",
            "data": {"root": "/typed/here/data"},
            "seed": 1,
        }
    assert anchored({"outputs": "/tmp/out", "data": 3}, folder) == {"outputs": "/tmp/out", "data": 3}


@pytest.mark.slow
@pytest.mark.parametrize("outputs", ["elsewhere", "{tmp}/a place"])
def test_a_sweep_in_another_place(outputs: str, tmp_path: Path) -> None:
    typed = outputs.format(tmp=tmp_path)
    done = sweep(*SWEEP, f"outputs={typed}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    place = tmp_path / typed
    assert sorted(path.name for path in (place / "sweeps/s").glob("[0-9]*")) == ["0", "1"]
    assert len(trials(tmp_path, f"sqlite:///{place}/studies.db")) == 2
    assert not (tmp_path / "outputs").exists()
    assert f"folders in {typed}/sweeps/s" in done.stdout
    report = re.search(r"python -m cifar_arch\.report (.*)", done.stdout)
    assert report is not None
    assert type_command("report", *shlex.split(report[1]), cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_trials_in_folders_of_their_own_share_the_study(tmp_path: Path) -> None:
    done = sweep(*SWEEP, "hydra.job.chdir=true", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [len(trial.curve) for trial in trials(tmp_path)] == [2, 2]
    assert list(tmp_path.rglob("*.db")) == [tmp_path / "outputs/studies.db"]
    again = sweep(*SWEEP, cwd=tmp_path)
    assert "2 trained before" in again.stdout


@pytest.mark.slow
def test_a_run_in_a_folder_of_its_own(tmp_path: Path) -> None:
    done = type_command(
        "run", *TINY, "data.root=there", "outputs=elsewhere", "hydra.job.chdir=true", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = (tmp_path / "elsewhere/runs").glob("*/*")
    shown = folder.relative_to(tmp_path)
    assert done.stdout.endswith(f"python -m cifar_arch.evaluate {shown}\n")
    assert summary_of(folder)["config"]["data.root"] == str(tmp_path / "there")
    assert run_folders(tmp_path) == []


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (
            "hydra.sweep.dir=there",
            "hydra.sweep.dir: a trial's folder is always OUTPUTS/sweeps/STUDY/NUMBER, ",
        ),
        (
            "hydra.sweep.subdir=x",
            "hydra.sweep.subdir: a trial's folder is always OUTPUTS/sweeps/STUDY/NUMBER, ",
        ),
    ],
)
def test_the_folders_of_trials_cannot_be_placed_otherwise(
    typed: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("run", "-m", *SWEEP, typed)
    assert done.status == 2
    assert done.err.startswith(says)
    assert done.err.endswith("type outputs=FOLDER or study=NAME to choose those\n")
    assert list(tmp_path.iterdir()) == []
