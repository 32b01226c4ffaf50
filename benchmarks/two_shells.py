"""python -m benchmarks.two_shells: how much more of a sweep is trained by two shells than by one.

Both train the same twelve small networks on the synthetic data set. The trials a minute of each shell are
added up, without its first one, in which it imports torch and makes the data set. Beside it what the machine
itself gives, for virtual cores may share a real one: the matrix products of two processes at once over those
of one.
"""

import argparse
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import optuna

from benchmarks import as_typed

PRODUCTS = """
import time, torch
torch.set_num_threads(1)
a, count, end = torch.rand(400, 400), 0, time.time() + 5
while time.time() < end:
    a, count = torch.softmax(a @ a, 1), count + 1
print(count)
"""
SWEEP = "data=shapes data.validation=1000 limits=none width=8 training=quick study=timed pruner=none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2)
    arguments = parser.parse_args()
    for turn in range(arguments.turns):
        one, two = (trials_a_minute(n, arguments.trials, arguments.epochs) for n in (1, 2))
        rates = f"one shell {one:.1f}, two shells {two:.1f} trials a minute"
        alone, both = (matrix_products(n) for n in (1, 2))
        print(f"turn {turn + 1}: {rates}, {two / one:.2f} times (matrix products: {both / alone:.2f} times)")


def matrix_products(processes: int) -> int:
    command = [sys.executable, "-c", PRODUCTS]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return sum(int(process.communicate()[0]) for process in started)


def trials_a_minute(shells: int, trials: int, epochs: int) -> float:
    words = [*SWEEP.split(), f"seed=range(0,{trials})", f"epochs={epochs}"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cifar_arch.run", "-m", *words]
        environment = as_typed() | {"PYTHONPATH": str(Path(__file__).parent.parent)}
        started = [
            subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, env=environment)
            for _ in range(shells)
        ]
        if any(process.wait() for process in started):
            raise SystemExit("a shell failed")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.load_study(study_name="timed", storage=f"sqlite:///{folder}/outputs/studies.db")
        ends: dict[str, list[datetime]] = {}
        for trial in study.trials:
            if "role" not in trial.user_attrs and trial.datetime_complete:
                ends.setdefault(trial.user_attrs["worker"], []).append(trial.datetime_complete)
        return sum(60 * (len(own) - 1) / (max(own) - min(own)).total_seconds() for own in ends.values())


if __name__ == "__main__":
    main()
