"""python -m benchmarks.start_up: seconds until a command has answered, or has done its first step."""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

COMMANDS = {
    "check": ["-m", "cifar_arch.check"],
    **{
        f"{name} --help": ["-m", f"cifar_arch.{name}", "--help"]
        for name in ("run", "check", "report", "confirm", "evaluate", "export")
    },
}
# Ends the process after the first step of the optimizer.
FIRST_STEP = """
import os, sys
from cifar_arch import app, experiment
def run_config(*given, **more):
    from cifar_arch import training
    made = training.training_step
    def ending(*given):
        step = made(*given)
        return lambda *batch: (step(*batch), os._exit(0))
    training.training_step = ending
    return original(*given, **more)
original, experiment.run_config = experiment.run_config, run_config
sys.argv = ["run", *sys.argv[1:]]
app.main()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--data", help="the folder of CIFAR-10, for `run` on it")
    arguments = parser.parse_args()
    runs = {
        "run data=shapes": ["data=shapes", "training=fast"],
        "run data=shapes training=sgd": ["data=shapes", "training=sgd"],
    }
    if arguments.data:
        runs["run on CIFAR-10"] = [f"data.root={arguments.data}", "training=fast"]
    first_steps = {f"{name}, first step": ["-c", FIRST_STEP, *words] for name, words in runs.items()}
    for name, words in {**COMMANDS, **first_steps}.items():
        took = [seconds(words) for _ in range(arguments.turns + 1)][1:]  # the first one warms the disk
        print(f"{name:46} {statistics.median(took):6.2f} s ({min(took):.2f}, {max(took):.2f})")


def seconds(words: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, *words]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
