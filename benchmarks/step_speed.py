"""python -m benchmarks.step_speed: what precision, threads, waiting and compiling do to a training step.

Images per second of forward, backward and optimizer on one batch that lies in memory, with the default
network and the fast recipe. Every row is a process of its own, for the wait policy is read when it starts;
the rows take turns.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from unittest.mock import patch

from benchmarks import as_typed

ROWS: dict[str, tuple[dict[str, str], list[str]]] = {
    "float32": ({}, ["training.precision=float32"]),
    "bf16": ({}, ["training.precision=bf16"]),
    "bf16, threads never spin": ({"OMP_WAIT_POLICY": "PASSIVE"}, ["training.precision=bf16"]),
    "bf16, they spin as libgomp does": ({"GOMP_SPINCOUNT": "300000"}, ["training.precision=bf16"]),
    "bf16, memory handed back": ({"HAND_BACK": "1"}, ["training.precision=bf16"]),
    "bf16, one thread": ({}, ["training.precision=bf16", "training.threads=1"]),
    "bf16, compiled": ({}, ["training.precision=bf16", "training.compile=true"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="for a row in a turn")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(measured(arguments.child, arguments.seconds)))
        return
    found: dict[str, list[float]] = {name: [] for name in arguments.rows}
    for _, name in itertools.product(range(arguments.turns), arguments.rows):
        found[name].append(in_a_process(name, arguments.seconds))
    base = statistics.median(next(iter(found.values())))
    print(f"{'':32} images/s (lowest, highest)      of the first")
    for name, rates in found.items():
        median = statistics.median(rates)
        spread = f"({min(rates):,.0f}, {max(rates):,.0f})"
        print(f"{name:32} {median:8,.0f} {spread:18} {median / base:10.2f}")


def in_a_process(name: str, seconds: float) -> float:
    environment, overrides = ROWS[name]
    command = [
        sys.executable,
        "-m",
        "benchmarks.step_speed",
        "--seconds",
        str(seconds),
        "--child",
        *overrides,
    ]
    environment = as_typed() | environment
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def measured(overrides: list[str], seconds: float) -> float:
    """Images per second in this process."""
    from benchmarks.training_step import ON_CPU, batch, training_step
    from cifar_arch import training
    from cifar_arch.compose import compose
    from cifar_arch.experiment import Experiment

    if "HAND_BACK" in os.environ:
        patch.object(training, "keep_memory").start()
    experiment = Experiment.from_dict(compose([*ON_CPU, *overrides]))
    step, images = training_step(experiment), batch(experiment)
    for _ in range(5):
        step(*images)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step(*images)
        steps += 1
    return steps * len(images[1]) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
