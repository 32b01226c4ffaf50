"""python -m benchmarks.sweep_overhead: what a sweep costs beside training, and what several workers get done.

Training is a fixed sleep in a small Hydra application that uses our sweeper and configs. Printed are
the seconds that a trained trial costs beside that sleep, those of a rejected candidate, and how much
more `workers=N` gets done than one. The time from start to first trial is not part of any of them.
On SQLite, or with --storage in an empty database.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import hydra
import optuna
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from optuna.trial import FrozenTrial

from cifar_arch import app, experiment
from cifar_arch.compose import plain
from cifar_arch.overrides import CONF
from cifar_arch.record import Epoch, Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.search.trial import Role, TrialRecord

EPOCHS = 5


def slept(config: dict[str, Any], path: Path, on_epoch: Any, **_: Any) -> Summary:
    """In place of `experiment.run_config`: sleeps in as many epochs, and leaves the files of a run."""
    folder = RunFolder(path)
    history: list[Epoch] = []
    for epoch in range(1, EPOCHS + 1):
        time.sleep(float(os.environ["SLEEP"]) / EPOCHS)
        history.append(Epoch(epoch, 0.1, 1.0, 0.1, 1.0, 0.1 * epoch, 0.1, 1000.0))
        folder.write_metrics(history)
        on_epoch(history)
    summary = Summary(status=Status.COMPLETED, val_accuracy=0.5, params=1, macs=1, seconds=1.0)
    folder.write_summary(summary)
    return summary


@hydra.main(config_path=str(CONF), config_name="config", execution_whitelist=("cifar_arch.*", "logging.*"))
def job(config: DictConfig) -> None:
    experiment.run_config = slept  # type: ignore[assignment]
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    app.run_trial(plain(config), folder, hydra_config.sweeper.pruner)


def sweep(folder: Path, workers: int, trials: int, arguments: argparse.Namespace) -> list[FrozenTrial]:
    """All trials of a search by so many workers."""
    storage = arguments.storage or f"sqlite:///{folder}/studies.db"
    name = f"timed-{workers}"
    words = [f"n_trials={trials}", f"study={name}", f"storage={storage}", f"workers={workers}"]
    command = [sys.executable, __file__, "--job", "-m", "+search=blocks", "training.lr=interval(0.01,0.1)"]
    command += ["pruner=none", f"training.epochs={EPOCHS}", f"outputs={folder}", *words]
    environment = {**os.environ, "SLEEP": str(arguments.sleep)}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return optuna.load_study(study_name=name, storage=storage).trials


def seconds(trials: list[FrozenTrial], workers: int = 1) -> tuple[float, int]:
    """From when all workers had begun to the end, and the trials that ended in between."""
    firsts: dict[str | None, Any] = {}
    ends = []
    for trial in trials:
        record = TrialRecord.of(trial)
        if record.trained and trial.datetime_complete:
            firsts.setdefault(record.worker, trial.datetime_complete)
            ends.append(trial.datetime_complete)
    assert len(firsts) == workers
    begun = max(firsts.values())
    after = sorted(end for end in ends if end > begun)
    return (after[-1] - begun).total_seconds(), len(after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--sleep", type=float, default=3.0, help="seconds of the stubbed training")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--many", type=int, help="trials of those workers (default: as many as of one)")
    parser.add_argument("--storage", help="default: SQLite in a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        one = sweep(Path(place, "one"), 1, arguments.trials, arguments)
        whole, count = seconds(one)
        rejected = [t for t in one if TrialRecord.of(t).role is Role.REJECTED]
        cost = [t.duration.total_seconds() for t in rejected if t.duration]
        print(f"one worker: {whole / count:.2f} s a trained trial, of which {arguments.sleep:.2f} s sleep")
        print(f"overhead: {whole / count - arguments.sleep:.2f} s a trained trial, rejections included")
        print(
            f"rejections: {len(cost)}, {sum(cost) / max(1, len(cost)):.3f} s each from ask to tell",
            flush=True,
        )
        wanted = arguments.many or arguments.trials
        several = sweep(Path(place, "several"), arguments.workers, wanted, arguments)
        both, count_all = seconds(several, arguments.workers)
        trained = [r for r in map(TrialRecord.of, several) if r.trained]
        different = len({record.key for record in trained})
        rate = count_all / both / (count / whole)
        print(
            f"{arguments.workers} workers: {rate:.2f} times the throughput of one; "
            f"of {wanted} trials {len(trained)} trained, {different} different ones"
        )


if __name__ == "__main__":
    if "--job" in sys.argv:
        sys.argv.remove("--job")
        app.main(job)
    else:
        main()
