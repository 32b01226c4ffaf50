"""python -m benchmarks.gpu --data FOLDER: what a GPU gives, in under nine minutes, as one JSON for LOG.md.

Each part in a process of its own and within its time: the tests marked `gpu`; images a second of the bare
step, captured as a CUDA graph or not, and end to end; the time to 85 % on CIFAR-10 for five seeds; several
workers on the one GPU against one.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from msgspec.structs import replace

from benchmarks.pipeline_speed import Batches, Step, endless
from benchmarks.training_step import batch, training_step
from cifar_arch.compose import compose
from cifar_arch.data import DataConfig, load
from cifar_arch.device import choose_execution
from cifar_arch.experiment import Experiment
from cifar_arch.loader import make_loader
from cifar_arch.network import build
from cifar_arch.training import train

ROOT = Path(__file__).parent.parent
TARGET = 0.85


class Part(NamedTuple):
    work: Callable[[argparse.Namespace], Any]  # returns what it finds
    seconds: float  # after which it is ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="of the JSON, by name (default: all)")
    parser.add_argument("--data", default="data", help="the folder of CIFAR-10")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6, help="of a run to 85 %%")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--without-gpu", action="store_true", help="to try this file on a CPU")
    parser.add_argument("--here", action="store_true", help="one part, in this process")
    arguments = parser.parse_args()
    parts = arguments.parts or [*PARTS]
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    if not torch.cuda.is_available() and not arguments.without_gpu:
        sys.exit("this machine has no CUDA: benchmarks.gpu has nothing to measure")
    if arguments.here:
        show(PARTS[parts[0]].work(arguments))
        return
    found: dict[str, Any] = {}
    try:
        for part in parts:
            start = time.perf_counter()
            found[part] = in_its_process(part)
            found[f"{part}, seconds"] = round(time.perf_counter() - start, 1)
            show({part: found[part]})
    finally:
        print(json.dumps(found, indent=1), flush=True)


def in_its_process(part: str) -> Any:
    """What a part finds, or where it does not end well, why, and what it had found until then.

    After an error CUDA may refuse all further work of a process, and what hangs must leave time to the rest.
    """
    options = [word for word in sys.argv[1:] if word not in PARTS]
    command = [sys.executable, "-m", "benchmarks.gpu", *options, "--here", part]
    environment = {**os.environ, "PYTHONPATH": search_path()}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as said,  # left processes would keep a pipe open
        tempfile.TemporaryFile("w+", encoding="utf-8") as wrong,
        subprocess.Popen(
            command, env=environment, stdout=said, stderr=wrong, start_new_session=True
        ) as process,
    ):
        try:
            status = process.wait(PARTS[part].seconds)
            ended = f"status {status}" if status else None
        except subprocess.TimeoutExpired:
            ended = f"not done after {PARTS[part].seconds} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        found, why = (lines_of(file) for file in (said, wrong))
    print(*why[-60:], sep="\n", file=sys.stderr, flush=True)
    so_far = json.loads(found[-1]) if found else None
    if ended is None:
        return so_far
    return {"ended": ended, "last words": why[-1] if why else "", "so far": so_far}


def lines_of(file: IO[str]) -> list[str]:
    file.seek(0)
    return file.read().strip().splitlines()


def show(found: Any) -> None:
    """What a part has so far; the last line counts."""
    print(json.dumps(found), flush=True)


def search_path() -> str:
    """Of Python: where this checkout is, and where the libraries may be."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def machine(_: argparse.Namespace) -> dict[str, Any]:
    found = {"device": "cpu", "torch": torch.__version__}
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        found |= {"device": torch.cuda.get_device_name(), "capability": f"{major}.{minor}"}
    return found


def gpu_tests(_: argparse.Namespace) -> list[str]:
    """The last line of pytest, after the tests that failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--continue-on-collection-errors", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
    lines = (done.stdout or done.stderr).strip().splitlines()
    return [*(line for line in lines if line.startswith(("FAILED", "ERROR"))), *lines[-1:]]


def steps(_: argparse.Namespace) -> dict[str, float | str]:
    """Images a second of the bare step, by precision, captured as a CUDA graph or not, and batch size."""
    rates: dict[str, float | str] = {}
    for words in (
        [],
        ["training.precision=float32"],
        ["training.batch_size=512"],
        ["training.compile=false"],
    ):
        try:
            experiment = Experiment.from_dict(compose(["training=fast", *words]))
            device = choose_execution(experiment.training).device
            images, labels = (part.to(device) for part in batch(experiment))
            found: float | str = rate(partial(training_step(experiment), images, labels), len(labels))
        except Exception as error:  # the other rates are worth having
            found = f"{type(error).__name__}: {error}"
        rates[" ".join(words) or "default"] = found
        show(rates)
    return rates


def end_to_end(arguments: argparse.Namespace) -> dict[str, float]:
    """The share of the bare step that remains with each backend."""
    experiment = Experiment.from_dict(compose(["training=fast"]))
    dataset, execution = load(DataConfig(root=arguments.data)), choose_execution(experiment.training)
    step, size = training_step(experiment), experiment.training.batch_size
    images, labels = (part.to(execution.device) for part in batch(experiment))
    bare = rate(lambda: step(images, labels), size)
    shares = {}
    for backend in ("batch", "albumentations"):
        augment = replace(experiment.augment, backend=backend)
        batches = endless(partial(make_loader, dataset, augment, size, 0, "auto", execution))
        one = partial(one_batch, step, batches, execution.device)
        shares[backend] = round(rate(one, size) / bare, 3)
        show(shares)
    return shares


def one_batch(step: Step, batches: Batches, device: str) -> None:
    images, labels = next(batches)
    step(images.to(device), labels.to(device))


def rate(work: Callable[[], object], images: int, seconds: float = 3.0) -> float:
    """Images a second, from calls that each take so many."""
    for _ in range(10):
        work()
    wait()
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(10):
            work()
        wait()
        calls += 10
    return round(calls * images / (time.perf_counter() - start), 1)


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def to_85(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of training until the validation accuracy is at least 85 %, and what the last epoch has."""
    words = ["training=fast", f"epochs={arguments.epochs}"]
    experiment = Experiment.from_dict(compose(words))
    dataset = load(DataConfig(root=arguments.data))
    seconds, accuracies = [], []
    for seed in range(arguments.seeds):
        torch.manual_seed(seed)
        network = build(experiment.model.plan())
        history = train(network, dataset, experiment.training, augment=experiment.augment, seed=seed).history
        reached = [row.epoch for row in history if (row.val_accuracy or 0) >= TARGET]
        if reached:
            seconds.append(sum(row.seconds for row in history[: reached[0]]))
        accuracies.append(history[-1].val_accuracy or 0.0)
        show({"seconds": seconds, "validation": accuracies})
    return {
        "epochs": arguments.epochs,
        "n": arguments.seeds,
        "reached": len(seconds),
        "seconds, median": round(statistics.median(seconds), 2) if seconds else None,
        "validation, mean": round(statistics.mean(accuracies), 4),
        "validation, std": round(statistics.stdev(accuracies), 4) if len(accuracies) > 1 else None,
    }


def workers(arguments: argparse.Namespace) -> dict[str, float]:
    """Trials a minute of one shell and of several on the one GPU, the start of the processes included."""
    rates = {}
    for shells in (1, arguments.workers):
        rates[str(shells)] = trials_a_minute(arguments, shells)
        show(rates)
    return rates


def trials_a_minute(arguments: argparse.Namespace, shells: int, trials: int = 8) -> float:
    words = ["-m", f"seed=range(0,{trials})", "training=fast", "epochs=1", "study=timed", "pruner=none"]
    words.append(f"data.root={Path(arguments.data).absolute()}")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cifar_arch.run", *words]
        environment = {**os.environ, "PYTHONPATH": search_path()}
        start = time.perf_counter()
        started = [
            subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
            for _ in range(shells)
        ]
        if any(process.wait() for process in started):
            raise RuntimeError("a shell failed")
        return round(60 * trials / (time.perf_counter() - start), 2)


PARTS = {
    "machine": Part(machine, 40),
    "gpu tests": Part(gpu_tests, 130),
    "images a second of the bare step": Part(steps, 80),
    "share of the bare step end to end": Part(end_to_end, 70),
    "to 85 %": Part(to_85, 100),
    "trials a minute by shells": Part(workers, 110),
}


if __name__ == "__main__":
    main()
