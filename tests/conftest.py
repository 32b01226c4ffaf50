"""What several test modules share: the CIFAR-10 folder, tiny networks, easy pictures, a command line."""

import gc
import importlib
import json
import logging
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# One thread a process: more only wait for each other on such small arrays, above all where other
# jobs share the cores. Set before torch is imported, and inherited by the commands that tests type.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from postgres import Server

from cifar_arch import artifacts, experiment
from cifar_arch.data import Dataset, Split
from cifar_arch.runfolder import RunFolder
from cifar_arch.saved import SavedRun

# Where tests run in the background of a script, SIGINT is ignored, and so it would be in the commands
# that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests of properties try the same cases each time, so that one which fails does so by the change at hand.
# CIFAR_ARCH_CASES=10000 tries others, and twenty times as many.
CASES = int(os.environ.get("CIFAR_ARCH_CASES", "500"))
settings.register_profile(
    "cifar_arch",
    derandomize="CIFAR_ARCH_CASES" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ],
)
settings.load_profile("cifar_arch")

CHECKOUT = Path(__file__).parent.parent
CIFAR10 = Path(os.environ.get("CIFAR_ARCH_DATA", CHECKOUT.parent / "shared" / "data")).resolve()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not (CIFAR10 / "cifar-10-batches-py").is_dir():
        skip = pytest.mark.skip(reason=f"no CIFAR-10 in {CIFAR10}; set CIFAR_ARCH_DATA")
        for item in items:
            if item.get_closest_marker("cifar10"):
                item.add_marker(skip)


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """Has the collector of garbage look past the modules, a million objects, each time it looks at all."""
    gc.collect()
    gc.freeze()
    gc.enable()


def cases(count: int) -> settings:
    """Settings of a property that is tried on so many cases, or on more with CIFAR_ARCH_CASES."""
    return settings(max_examples=max(1, round(count * CASES / 500)))


def tiny_architecture(**changes: Any) -> dict[str, Any]:
    """A network of about 2,000 parameters, as plain data."""
    blocks = {"c1": "plain", "c2": "plain", "c3": "dilated", "c4": "separable"}
    model: dict[str, Any] = {name: {"kind": kind} for name, kind in blocks.items()}
    model |= {name: {"kind": "strided"} for name in ("t1", "t2", "t3")}
    return {**model, "width": 4, "multipliers": [1, 1, 2, 3], **changes}


SGD = {"optimizer": "sgd", "lr": 0.25, "schedule": "onecycle", "warmup": 0.3, "whiten": False, "ema": 0.998}


def tiny_config(**changes: Any) -> dict[str, Any]:
    """An experiment of seconds on 200 synthetic images; dicts in `changes` are merged."""
    config: dict[str, Any] = {
        "model": tiny_architecture(),
        "data": {"name": "shapes", "validation": 5800, "workers": 0},
        "augment": {"horizontal_flip": {"p": 0.5}, "backend": "albumentations"},
        "training": {**SGD, "epochs": 2, "batch_size": 50, "device": "cpu", "precision": "float32"},
        "seed": 0,
    }
    for name, value in changes.items():
        config[name] = {**config.get(name, {}), **value} if isinstance(value, dict) else value
    return config


# The same experiment for the command line.
TINY = (
    "data=shapes",
    "data.validation=5800",
    "limits=none",
    "width=4",
    "training.batch_size=50",
    "training.device=cpu",
    "epochs=2",
)


def easy_dataset(train: int = 160, others: int = 50) -> Dataset:
    """Noise in ten colours, which a tiny network tells apart within a few epochs."""
    rng = np.random.default_rng(0)
    colours = rng.permutation(np.stack(np.meshgrid(*[[50, 125, 200]] * 3), -1).reshape(-1, 3))[:10]

    def split(count: int) -> Split:
        labels = rng.permutation(np.arange(count) % 10)
        noise = rng.normal(0, 20, (count, 32, 32, 3))
        return Split((colours[labels][:, None, None] + noise).clip(0, 255).astype(np.uint8), labels)

    parts = split(train), split(others), split(others)
    mean, std = (tuple(map(float, f(parts[0].images, (0, 1, 2)))) for f in (np.mean, np.std))
    classes = tuple(f"colour {n}" for n in range(10))
    return Dataset("easy", classes, *parts, mean, std)  # type: ignore[arg-type]


def command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"cifar_arch.{module}", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Ours, with the package and these tests found from any folder, and no way to a network."""
    proxies = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    found = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests")])
    return {**os.environ, **proxies, "PYTHONPATH": found, "PYTHONUNBUFFERED": "1", **variables}


def ended(
    words: Sequence[str], cwd: Path | None = None, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """A command that has ended, with what it wrote; `variables` were in its environment."""
    return subprocess.run(words, cwd=cwd, env=environment(**variables), capture_output=True, text=True)


def type_command(module: str, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """`python -m cifar_arch.MODULE ARGUMENTS` as a user types it in the folder `cwd`."""
    return ended(command(module, *arguments), cwd)


def python(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """What the code does in a process of its own."""
    return ended([sys.executable, "-c", code, *arguments])


def begin(words: Sequence[str], cwd: Path | None = None) -> "subprocess.Popen[str]":
    """A command under way, whose output is there to be read."""
    pipe = subprocess.PIPE
    return subprocess.Popen(words, cwd=cwd, env=environment(), stdout=pipe, stderr=pipe, text=True)


class Done(NamedTuple):
    """A command that ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """cli("check", "width=40") types `python -m cifar_arch.check width=40` in this process."""

    def type_here(module: str, *arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        capsys.readouterr()
        handlers = logging.root.handlers[:]
        try:
            importlib.import_module(f"cifar_arch.{module}").main()
        except SystemExit as end:
            status = int(end.code or 0)
        else:
            status = 0
        finally:
            for handler in set(logging.root.handlers) - set(handlers):
                handler.close()
            logging.root.handlers[:] = handlers  # Hydra's write to what pytest has closed by then
        return Done(status, *capsys.readouterr())

    return type_here


Cli = Callable[..., Done]


def on_a_terminal(
    command: Sequence[str], cwd: Path, env: dict[str, str], columns: int, status: int = 0
) -> str:
    """What a command that ends with this status writes to a terminal so wide, control characters included."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # Linux says so that the command has closed its end, macOS by an empty chunk
            break
        if not chunk:
            break
        written += chunk
    os.close(ours)
    assert process.wait() == status
    return written.decode()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test is in its temporary folder."""
    monkeypatch.chdir(tmp_path)


def run_folders(cwd: Path) -> list[Path]:
    return sorted(path.parent for path in (cwd / "outputs" / "runs").glob("*/*/run.log"))


def predictions(folder: Path) -> tuple[Dataset, np.ndarray]:
    """The data of a finished run, and its class probabilities (N, 10) on the test images."""
    from cifar_arch.training import predict

    run = SavedRun(folder)
    return run.dataset(), predict(run.network(), run.dataset().test.images)


def summary_of(folder: Path) -> dict[str, Any]:
    """summary.json, read as strictly as other languages do: NaN is no JSON."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return json.loads((folder / "summary.json").read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a completed run; read it, and copy it to change it."""
    folder = tmp_path_factory.mktemp("finished")
    experiment.run_config(tiny_config(), folder)
    assert RunFolder(folder).weights.is_file()
    return folder


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> RunFolder:
    """A copy of `finished_run`, to be changed."""
    shutil.copytree(finished_run, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """Every file with its bytes and the time it was written."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run draws nothing, which takes as long as a tiny training; `finished_run` has the figures."""
    for name in ("save_augmented", "save_curves", "save_misclassified"):
        monkeypatch.setattr(artifacts, name, lambda *_: None)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A PostgreSQL server that runs."""
    pytest.importorskip("psycopg", reason="needs --extra postgres")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = Server(Path(folder))
        made.start()
        yield made
        made.stop()
