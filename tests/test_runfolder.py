import csv
import json
import math
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import environment, python
from matplotlib.figure import Figure

from cifar_arch import runfolder
from cifar_arch.record import Epoch, Status, Summary
from cifar_arch.runfolder import RunFolder, atomic
from cifar_arch.schema import ConfigError


def epoch(number: int, **changes: Any) -> Epoch:
    made = Epoch(number, 0.1, 2.0, 0.25, 2.5, 0.2, 1.5, 1000.0)
    return msgspec.structs.replace(made, **changes)


def test_the_names_of_the_files_are_those_of_the_contract(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    files = {name: str(path.relative_to(tmp_path)) for name, path in vars(folder).items()}
    assert files == {
        "path": ".",
        "config": ".hydra/config.yaml",
        "hydra": ".hydra/hydra.yaml",
        "overrides": ".hydra/overrides.yaml",
        "log": "run.log",
        "experiment": "experiment.json",
        "architecture": "architecture.json",
        "metrics": "metrics.csv",
        "summary": "summary.json",
        "checkpoint": "checkpoints/last.pt",
        "weights": "checkpoints/weights.safetensors",
        "plots": "plots",
        "onnx": "network.onnx",
        "tensorboard": "tensorboard",
    }


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic(path) as temporary:
        temporary.write_text("old", encoding="utf-8")

    def torn(error: BaseException) -> None:
        with atomic(path) as temporary:
            temporary.write_text("half of the n", encoding="utf-8")
            assert path.read_text(encoding="utf-8") == "old"
            raise error

    for error in (KeyboardInterrupt(), RuntimeError("of torch")):
        with pytest.raises(type(error)):
            torn(error)
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json(folder.summary, {"status": "completed"})
    code = """if True:
        import resource, sys
        from cifar_arch.runfolder import RunFolder
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        folder = RunFolder(sys.argv[1])
        try:
            folder.write_json(folder.summary, {"long": "x" * 100_000})
        except OSError as error:
            print(error.strerror)
    """
    assert python(code, str(tmp_path)).stdout == "File too large\n"
    assert folder.read_json(folder.summary) == {"status": "completed"}
    assert os.listdir(tmp_path) == ["summary.json"]


def test_an_error_names_the_file_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "best.yaml").mkdir()
    for path in (tmp_path / "best.yaml", tmp_path / ("long" * 63)):
        with pytest.raises(OSError, match=rf"^\[Errno \d+\] .*{path}'$"), atomic(path) as temporary:
            temporary.touch()


def test_two_processes_of_one_number_write_two_files(tmp_path: Path) -> None:
    """As two workers in containers, which share the folder alone."""
    path = tmp_path / "best.yaml"
    with atomic(path) as one, atomic(path) as other:
        one.write_text("one", encoding="utf-8")
        other.write_text("other", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "one"


HOLD = """
import sys
from cifar_arch.runfolder import RunFolder
with RunFolder(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_of_one_process_until_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path / "new" / "run")
    descriptors = os.listdir("/proc/self/fd")
    with folder.locked():
        pass  # which keeps nothing
    assert os.listdir("/proc/self/fd") == descriptors
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        with monkeypatch.context() as patch:
            patch.setattr(runfolder, "PATIENCE", 0.1)
            with pytest.raises(ConfigError, match="another process is training in"), folder.locked():
                pytest.fail("two processes at once")
        threading.Timer(0.1, other.kill).start()
        with folder.locked():  # once it is free
            assert os.listdir(folder.path) == []


def test_a_forked_process_keeps_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runfolder, "PATIENCE", 0.1)
    folder = RunFolder(tmp_path)
    with folder.locked():
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
    with folder.locked():
        assert child.is_alive()
        child.kill()


def test_where_no_lock_can_be_made_nobody_is_kept_out() -> None:
    folder = RunFolder("/proc/none")
    with folder.locked():
        assert not folder.path.exists()


def test_what_a_killed_process_was_writing_is_discarded(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json(folder.summary, {"status": "completed"})
    code = """if True:
        import os, sys
        from pathlib import Path
        from cifar_arch.runfolder import atomic
        with atomic(Path(sys.argv[1])) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), 9)
    """
    for path in (folder.checkpoint, folder.figure("curves")):
        python(code, str(path))
    assert len(list(tmp_path.rglob(".*.tmp"))) == 2
    names = (".mine.tmp", ".mine.1.tmp", ".summary.json.tmp", ".summary.json.draft.tmp")
    others = {tmp_path / name for name in names}
    earlier = tmp_path / ".summary.json.4242.tmp"  # as a version before named it
    earlier.touch()
    others |= {tmp_path / "other" / ".summary.json.4242.tmp"}  # as where a run's folder holds others
    for file in others:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    folder.discard_unfinished()
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {folder.summary, *others}
    assert folder.read_summary() == Summary(status=Status.COMPLETED)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_null_for_what_is_no_finite_number(tmp_path: Path, value: float) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json(folder.summary, {"a": value, "b": [value, 1.5], "c": {"d": (value, True)}})
    assert json.loads(folder.summary.read_text(encoding="utf-8")) == {
        "a": None,
        "b": [None, 1.5],
        "c": {"d": [None, True]},
    }


def test_a_summary_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_summary() is None
    summary = Summary(status=Status.PRUNED, reason="early", config={"model.width": 4}, val_accuracy=0.25)
    folder.write_summary(summary)
    assert folder.read_summary() == summary
    assert json.loads(folder.summary.read_bytes()).keys() == set(Summary.__struct_fields__)


def test_metrics_are_read_as_they_were_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_metrics() == []
    history = [epoch(1), epoch(2, val_loss=None, val_accuracy=None), epoch(3, train_loss=math.inf)]
    for count in (1, 2, 3):
        folder.write_metrics(history[:count])
        assert folder.read_metrics() == history[:count]
    with folder.metrics.open(newline="", encoding="utf-8") as file:
        assert next(csv.reader(file)) == list(Epoch.__struct_fields__)


DAMAGED = {
    "cut off": b'{"status": "comp',
    "not an object": b"[1]",
    "no status": b"{}",
    "unknown status": b'{"status": "fine"}',
    "not UTF-8": b"\xff\xfe",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_summary_is_named(tmp_path: Path, content: bytes) -> None:
    folder = RunFolder(tmp_path)
    folder.summary.write_bytes(content)
    with pytest.raises(ConfigError, match=r"run: '.*summary\.json' is damaged \(.*; remove it and run again"):
        folder.read_summary()


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"epoch\n1\n", b"epoch,lr\n1,fast\n", b"\xff\n1\n"])
def test_damaged_metrics_are_named(tmp_path: Path, content: bytes) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics.write_bytes(content)
    with pytest.raises(ConfigError, match=r"run: '.*metrics\.csv' is damaged"):
        folder.read_metrics()


def test_damaged_json_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for damaged in ("{", "[]"):
        folder.architecture.write_text(damaged, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"run: '.*architecture\.json' is damaged"):
            folder.read_json(folder.architecture)


def test_figures_are_png_files_under_plots(tmp_path: Path) -> None:
    RunFolder(tmp_path).save_figure("curves", Figure())
    assert (tmp_path / "plots" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert os.listdir(tmp_path / "plots") == ["curves.png"]
