"""`hydra.run.dir=out` typed again for a folder that holds a run."""

import contextlib
import fcntl
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TINY, Cli, contents, summary_of, type_command

from cifar_arch import runfolder
from cifar_arch.runfolder import RunFolder

pytestmark = pytest.mark.slow

RUN = (*TINY, "hydra.run.dir=out")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which out/ holds a complete run."""
    cwd = tmp_path_factory.mktemp("ran")
    done = type_command("run", *RUN, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd


@pytest.fixture
def cwd(ran: Path, tmp_path: Path) -> Path:
    shutil.copytree(ran, tmp_path, dirs_exist_ok=True)
    return tmp_path


OTHERS = {
    ("seed=5", "training.lr=0.01"): "run: 'out' holds another run (training.lr=0.03, now 0.01; seed=0, "
    "now 5); choose another folder (hydra.run.dir=FOLDER), or type training.resume=out for that one\n",
    ("model.activation=gelu",): "run: 'out' holds another run (model.activation=relu, now gelu); ",
    ("limits=eva6",): "run: 'out' holds another run (limits.params_below=null, now 200000; ",
    ("epochs=many",): "training.epochs: expected an integer at least 1, got 'many'\n",
    ("data.root=${oc.env:UNSET}",): "data.root: Environment variable 'UNSET' not found\n",
}


@pytest.mark.parametrize("state", ["complete", "killed", "killed, of an earlier version"])
@pytest.mark.parametrize("overrides", OTHERS, ids=" ".join)
def test_another_run_is_refused_before_a_byte_is_written(
    cwd: Path, overrides: tuple[str, ...], state: str, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(cwd)
    folder = RunFolder(cwd / "out")
    if state != "complete":
        folder.summary.unlink()
        folder.weights.unlink()
    if state == "killed, of an earlier version":
        folder.experiment.unlink()
    before = contents(cwd)
    done = cli("run", *RUN, *overrides)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert OTHERS[overrides] in done.err
    assert contents(cwd) == before


@pytest.mark.parametrize("again", [RUN, (*RUN, "data.workers=1"), ("training.resume=out",)], ids=" ".join)
def test_the_same_run_shows_its_record(cwd: Path, again: tuple[str, ...]) -> None:
    before = contents(cwd)
    done = type_command("run", *again, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "out is complete, nothing is left to train; on record:"
    assert f"test accuracy {summary_of(cwd / 'out')['test_accuracy']:.2%}" in lines[1]
    assert lines[-1] == "again from the weights: python -m cifar_arch.evaluate out"
    assert contents(cwd) == before


def test_the_command_on_record_trains_the_same_once_more(cwd: Path) -> None:
    recorded = summary_of(cwd / "out")["command"]
    words = shlex.split(recorded)
    assert words[:3] == ["python", "-m", "cifar_arch.run"]
    done = type_command("run", *words[3:], "hydra.run.dir=again", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert RunFolder(cwd / "again").weights.read_bytes() == RunFolder(cwd / "out").weights.read_bytes()
    assert summary_of(cwd / "again")["command"] == recorded


def test_a_killed_run_goes_on_when_it_is_typed_again(cwd: Path) -> None:
    folder = RunFolder(cwd / "out")
    whole = folder.weights.read_bytes()
    folder.summary.unlink()
    folder.weights.unlink()
    done = type_command("run", *RUN, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert "epoch 1/2" not in done.stdout
    assert folder.weights.read_bytes() == whole
    assert "epochs=2" in summary_of(folder.path)["command"]


@contextlib.contextmanager
def held_elsewhere(folder: RunFolder) -> Iterator[None]:
    """The lock of another process: this one does not know that it has it."""
    descriptor = os.open(folder.path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


@pytest.mark.parametrize("again", [RUN, (*RUN, "read_test=false"), ("training.resume=out",)], ids=" ".join)
def test_a_run_that_another_process_trains_is_left_alone(
    cwd: Path, again: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(runfolder, "PATIENCE", 0.1)
    folder = RunFolder(cwd / "out")
    folder.summary.unlink()
    folder.weights.unlink()
    before = {path: path.read_bytes() for path in folder.config.parent.iterdir()}
    with held_elsewhere(folder):
        done = cli("run", *again)
    (refused,) = done.err.splitlines()
    assert done.status == 2
    assert refused.startswith("run: another process is training in ")
    assert refused.endswith("out'; wait for its end, or choose another folder (hydra.run.dir=FOLDER)")
    assert not folder.summary.exists()
    assert {path: path.read_bytes() for path in folder.config.parent.iterdir()} == before


def test_a_saved_config_that_was_changed_is_not_resumed(cwd: Path) -> None:
    config = RunFolder(cwd / "out").config
    config.write_text(config.read_text(encoding="utf-8").replace("seed: 0\n", "seed: 7\n"), encoding="utf-8")
    done = type_command("run", "training.resume=out", cwd=cwd)
    assert (done.returncode, done.stderr) == (
        2,
        "training.resume: 'out/.hydra/config.yaml' is no longer what the run began with "
        "(data.split_seed=0, now 7; seed=0, now 7); put it back, or run the other config in another folder\n",
    )


def test_a_secret_of_this_machine_stays_out_of_a_resumed_record(cwd: Path) -> None:
    folder = RunFolder(cwd / "out")
    folder.summary.unlink()
    text = folder.config.read_text(encoding="utf-8")
    for key in ("study: null", "root: ${oc.env:CIFAR_ARCH_DATA,data}"):
        assert key in text
        text = text.replace(key, key.partition(":")[0] + ": ${oc.env:PWD}")
    folder.config.write_text(text, encoding="utf-8")
    done = type_command("run", "training.resume=out", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    config = summary_of(folder.path)["config"]
    assert (config["study"], config["data.root"]) == ("***", os.environ.get("CIFAR_ARCH_DATA", "data"))
