import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import environment
from matplotlib.figure import Figure

from cifar_arch.runfolder import RunFolder, atomic
from cifar_arch.schema import ConfigError


def test_the_names_of_the_files_are_those_of_the_contract(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    files = {name: str(path.relative_to(tmp_path)) for name, path in vars(folder).items()}
    assert files == {
        "path": ".",
        "config": ".hydra/config.yaml",
        "log": "run.log",
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
        temporary.write_text("old")

    def torn() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half of the n")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        torn()
    assert path.read_text() == "old"
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
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert folder.read_json(folder.summary) == {"status": "completed"}
    assert os.listdir(tmp_path) == ["summary.json"]


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
    for path in (folder.checkpoint, folder.summary):
        subprocess.run([sys.executable, "-c", code, str(path)], env=environment(), check=False)
    assert len(list(tmp_path.rglob(".*.tmp"))) == 2
    folder.discard_unfinished()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder.summary]
    assert folder.read_summary() == {"status": "completed"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_null_for_what_is_no_finite_number(tmp_path: Path, value: float) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json(folder.summary, {"a": value, "b": [value, 1.5], "c": {"d": (value, True)}})
    assert json.loads(folder.summary.read_text()) == {"a": None, "b": [None, 1.5], "c": {"d": [None, True]}}


def test_damaged_json_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.summary.write_text('{"status": "comp')
    with pytest.raises(ConfigError, match=r"run: '.*summary\.json' is damaged"):
        folder.read_json(folder.summary)


def test_metrics_are_written_whole_each_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    rows: list[dict[str, Any]] = [{"epoch": 1, "val_loss": 0.25}, {"epoch": 2, "val_loss": None}]
    for count in (1, 2):
        folder.write_metrics(rows[:count])
    with folder.metrics.open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"epoch": "1", "val_loss": "0.25"},
            {"epoch": "2", "val_loss": ""},
        ]


def test_figures_are_png_files_under_plots(tmp_path: Path) -> None:
    RunFolder(tmp_path).save_figure("curves", Figure())
    assert (tmp_path / "plots" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert os.listdir(tmp_path / "plots") == ["curves.png"]
