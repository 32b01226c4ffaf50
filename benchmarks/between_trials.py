"""python -m benchmarks.between_trials: seconds from the end of a trial to the first step of the next one.

A sweep in one process; a trial ends when its summary is written. Between the two: telling, asking, composing,
the data set, the network.
"""

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cifar_arch import app, experiment, training
from cifar_arch.record import Summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--data", help="the folder of CIFAR-10, to measure on it as well")
    arguments = parser.parse_args()
    sets = {"shapes": ["data=shapes", "data.validation=5000"]}
    if arguments.data:
        sets["CIFAR-10"] = [f"data.root={Path(arguments.data).absolute()}", "data.validation=49000"]
    for name, words in sets.items():
        waits = measured([*words, f"width=range(4,{4 + arguments.trials})", "limits=none", "epochs=1"])
        print(
            f"{name:10} {statistics.median(waits):.2f} s ({min(waits):.2f}, {max(waits):.2f}), n={len(waits)}"
        )


def measured(words: list[str]) -> list[float]:
    ends: list[float] = []
    waits: list[float] = []
    run_config, backward_pass = experiment.run_config, training.backward_pass

    def timed_run(*given: Any, **more: Any) -> Summary:
        waiting = bool(ends)

        def timed_pass(*args: Any, **kwargs: Any) -> Any:
            nonlocal waiting
            if waiting:
                waits.append(time.perf_counter() - ends[-1])
                waiting = False
            return backward_pass(*args, **kwargs)

        training.backward_pass = timed_pass
        summary = run_config(*given, **more)
        ends.append(time.perf_counter())
        return summary

    experiment.run_config = timed_run
    sys.argv = ["run", "-m", *words, "study=timed"]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        here = os.getcwd()
        os.chdir(folder)
        try:
            app.main()
        finally:
            os.chdir(here)
            experiment.run_config, training.backward_pass = run_config, backward_pass
    return waits


if __name__ == "__main__":
    main()
