"""A ~ that a shell leaves within a word is the home of the user, wherever a folder is named."""

import os
from pathlib import Path

import pytest
from conftest import TINY, Cli, type_command
from generated_runs import write_run

from cifar_arch.compose import anchored, compose, own_configs
from cifar_arch.data import DataConfig, usual_root
from cifar_arch.outputs import Outputs, from_home
from cifar_arch.overrides import at_home
from cifar_arch.plugins import load_plugins
from cifar_arch.report import load_runs
from cifar_arch.saved import SavedRun
from cifar_arch.schema import ConfigError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's, with a folder in it in which commands are typed."""
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


TYPED = {
    "data.root=~/data": "data.root=HOME/data",
    "data.root=~": "data.root=HOME",
    'data.root="~/data"': "data.root=HOME/data",
    "+data.root='~/a b'": '+data.root="HOME/a b"',
    "outputs=~/o": "outputs=HOME/o",
    "training.resume=~/o/runs/1": "training.resume=HOME/o/runs/1",
    "hydra.run.dir=~/r": "hydra.run.dir=HOME/r",
    "data.root=~other/data": "data.root=~other/data",
    "data.root=a/~/b": "data.root=a/~/b",
    "data.root=~/a,~/b": "data.root=~/a,~/b",
    "study=~/x": "study=~/x",
    "~data.root": "~data.root",
}


def test_what_is_drawn_or_reported_lies_there(home: Path, cli: Cli) -> None:
    assert cli("check", "--plot", "~/net.svg").status == 0
    write_run(home / "outputs" / "runs" / "a")
    assert cli("report.command", "~/outputs", "--to=~/rep").status == 0
    assert {"net.svg", "rep"} <= {path.name for path in home.iterdir()}
    assert list((home / "work").iterdir()) == []


@pytest.mark.parametrize(("typed", "read"), TYPED.items())
def test_an_override_names_the_home(typed: str, read: str, home: Path) -> None:
    assert at_home([typed]) == [read.replace("HOME", str(home))]


def test_a_folder_is_the_same_wherever_it_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = str(home / "data")
    assert [from_home(path) for path in ("~", "~/data", "~x", "a/~", "")] == [
        str(home),
        data,
        "~x",
        "a/~",
        "",
    ]
    assert Outputs("~/data").path == Path(data)
    assert DataConfig(root="~/data").root == data
    relative = {"data": {"root": "~/data"}, "outputs": "out", "storage": "sqlite:///s.db"}
    whole = {"data": {"root": data}, "outputs": "/there/out", "storage": "sqlite:////there/s.db"}
    assert anchored(relative, Path("/there")) == whole == anchored(whole, Path("/here"))
    assert compose(["data.root=~/data"])["data"]["root"] == data
    monkeypatch.setenv("CIFAR_ARCH_DATA", "~/data")
    assert usual_root() == data
    write_run(home / "data" / "runs" / "a")
    assert list(load_runs("~/data")["folder"]) == [f"{data}/runs/a"]
    with pytest.raises(ConfigError, match=r"weights.safetensors is missing"):
        SavedRun("~/data/runs/a")
    (home / "own").mkdir()
    assert own_configs("~/own") == home / "own"
    (home / "own" / "none.py").touch()
    with pytest.raises(ConfigError, match=r"'/.*/own/none.py' adds no block"):
        load_plugins(["~/own/none.py"])


def test_a_file_of_configs_spells_out_the_folder_of_results(home: Path, cli: Cli) -> None:
    (home / "own" / "experiment").mkdir(parents=True)
    file = home / "own" / "experiment" / "mine.yaml"
    file.write_text("# @package _global_\noutputs: ~/o\n", encoding="utf-8")
    for command in ("check", "run"):
        done = cli(command, "--config-dir=~/own", "+experiment=mine", *TINY)
        assert (done.status, done.err) == (
            2,
            "outputs: expected a folder without ~ in a file of configs, got '~/o'; "
            f"write {home}/o, or type outputs=~/o\n",
        )
    assert os.listdir() == []


@pytest.mark.slow
def test_runs_and_sweeps_write_below_the_home(home: Path) -> None:
    typed = (*TINY, "epochs=1", "outputs=~/o")
    assert type_command("run", *typed, "hydra.run.dir=~/r", cwd=home / "work").returncode == 0
    resumed = type_command("run", "training.resume=~/r", cwd=home / "work")
    assert "is complete" in resumed.stdout, resumed.stderr
    for workers in ("workers=1", "workers=2"):
        study = f"study={workers[-1]}s"
        done = type_command("run", "-m", "seed=1,2", study, workers, *typed, cwd=home / "work")
        assert done.returncode == 0, done.stderr
    confirm = ("confirm", "1s", "--outputs=~/o", "--top", "1", "--seeds", "1", "--epochs", "1")
    done = type_command(*confirm, cwd=home / "work")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (home / "o").iterdir()} >= {"studies.db", "sweeps", "confirm"}
    assert os.listdir(home / "work") == []
