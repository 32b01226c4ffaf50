"""python -m benchmarks.gpu --data FOLDER: what a GPU gives, in under nine minutes, as one JSON for LOG.md.

Runs the tests marked `gpu`; images a second of the bare step, captured as a CUDA graph or not, and end to
end; the time to 85 % on CIFAR-10 for five seeds; several workers on the one GPU against one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace

from benchmarks.pipeline_speed import Batches, Step, endless
from benchmarks.training_step import batch, training_step
from cifar_arch.compose import compose
from cifar_arch.data import DataConfig, load
from cifar_arch.device import execution
from cifar_arch.experiment import Experiment
from cifar_arch.network import build
from cifar_arch.training import make_loader, seed_generators, train

ROOT = Path(__file__).parent.parent
TARGET = 0.85


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="data", help="the folder of CIFAR-10")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6, help="of a run to 85 %%")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--without-gpu", action="store_true", help="to try this file on a CPU")
    arguments = parser.parse_args()
    if not torch.cuda.is_available() and not arguments.without_gpu:
        sys.exit("this machine has no CUDA: benchmarks.gpu has nothing to measure")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    found: dict[str, Any] = {"device": device, "torch": torch.__version__}
    for name, part in PARTS.items():
        start = time.perf_counter()
        try:
            found[name] = part(arguments)
        except Exception as error:  # the other parts are worth having
            found[name] = f"{type(error).__name__}: {error}"
        found[f"{name}, seconds"] = round(time.perf_counter() - start, 1)
        print(json.dumps({name: found[name]}), flush=True)
    print(json.dumps(found, indent=1))


def gpu_tests(_: argparse.Namespace) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1]


def steps(_: argparse.Namespace) -> dict[str, float]:
    """Images a second of the bare step, by precision, captured as a CUDA graph or not, and batch size."""
    rates = {}
    for words in (
        ["training.precision=float32"],
        ["training.compile=false"],
        [],
        ["training.batch_size=512"],
    ):
        experiment = Experiment.from_dict(compose(["training=fast", *words]))
        device = execution(experiment.training).device
        images, labels = (part.to(device) for part in batch(experiment))
        step = partial(training_step(experiment), images, labels)
        rates[" ".join(words) or "default"] = rate(step, len(labels))
    return rates


def end_to_end(arguments: argparse.Namespace) -> dict[str, float]:
    """The share of the bare step that remains with each backend."""
    experiment = Experiment.from_dict(compose(["training=fast"]))
    pictures, how = load(DataConfig(root=arguments.data)), execution(experiment.training)
    step, size = training_step(experiment), experiment.training.batch_size
    images, labels = (part.to(how.device) for part in batch(experiment))
    bare = rate(lambda: step(images, labels), size)
    shares = {}
    for backend in ("batch", "albumentations"):
        augment = replace(experiment.augment, backend=backend)
        batches = endless(partial(make_loader, pictures, augment, size, 0, "auto", how))
        one = partial(one_batch, step, batches, how.device)
        shares[backend] = round(rate(one, size) / bare, 3)
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
    pictures = load(DataConfig(root=arguments.data))
    seconds, accuracies = [], []
    for seed in range(arguments.seeds):
        seed_generators(seed)
        network = build(experiment.model.plan())
        history = train(network, pictures, experiment.training, augment=experiment.augment, seed=seed).history
        reached = [row.epoch for row in history if (row.val_accuracy or 0) >= TARGET]
        if reached:
            seconds.append(sum(row.seconds for row in history[: reached[0]]))
        accuracies.append(history[-1].val_accuracy or 0.0)
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
    return {str(n): trials_a_minute(arguments, n) for n in (1, arguments.workers)}


def trials_a_minute(arguments: argparse.Namespace, shells: int, trials: int = 8) -> float:
    words = ["-m", f"seed=range(0,{trials})", "training=fast", "epochs=1", "study=timed", "pruner=none"]
    words.append(f"data.root={Path(arguments.data).absolute()}")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cifar_arch.run", *words]
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        start = time.perf_counter()
        started = [
            subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
            for _ in range(shells)
        ]
        if any(process.wait() for process in started):
            raise RuntimeError("a shell failed")
        return round(60 * trials / (time.perf_counter() - start), 2)


PARTS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "gpu tests": gpu_tests,
    "images a second of the bare step": steps,
    "share of the bare step end to end": end_to_end,
    "to 85 %": to_85,
    "trials a minute by shells": workers,
}


if __name__ == "__main__":
    main()
