"""python -m benchmarks.study_cost: seconds of asking and telling, by the number of trials in the study.

On SQLite, with trials that are put there as trained ones; each figure is a median of several.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

from cifar_arch.record import Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.search.ask import Asker
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.space import Point, Space
from cifar_arch.search.storage import quiet_optuna, sqlite_url
from cifar_arch.search.study import SearchConfig, SharedStudy
from cifar_arch.search.tell import Teller

SPACE = {
    "model.width": IntDistribution(8, 4096),
    "training.lr": FloatDistribution(0.01, 0.1, log=True),
    "downsample@model.t1": CategoricalDistribution(["strided", "dilated"]),
    "downsample@model.t2": CategoricalDistribution(["strided", "dilated"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 1_000, 10_000])
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    quiet_optuna()
    print(f"{'trials in the study':>19}  ask (s)  tell (s)")
    for count in arguments.trials:
        with tempfile.TemporaryDirectory() as folder:
            asks, tells = measured(Path(folder), count, arguments.turns)
        print(f"{count:19,}  {statistics.median(asks):7.3f}  {statistics.median(tells):8.3f}")


def assess(point: Point) -> Candidate:
    return Candidate(key=str(sorted(point.items())), violations=(), totals={"params": 1})


def measured(folder: Path, count: int, turns: int) -> tuple[list[float], list[float]]:
    config = SearchConfig(
        name="timed",
        storage=sqlite_url(folder / "studies.db"),
        folder=folder / "sweeps" / "timed",
        space=Space(SPACE),
        objectives=("accuracy",),
        n_trials=10**6,
        exhaustive=False,
        fingerprint={},
    )
    shared = SharedStudy(config)
    fill(shared.study, count)
    teller = Teller(shared)
    asker = Asker(shared, teller, lambda seed: TPESampler(seed=seed, multivariate=True, group=True), assess)
    asks, tells = [], []
    for _ in range(turns + 1):
        start = time.perf_counter()
        job = asker.ask()
        assert job is not None
        asks.append(time.perf_counter() - start)
        RunFolder(job.folder).write_summary(Summary(status=Status.COMPLETED, val_accuracy=0.5, seconds=1.0))
        start = time.perf_counter()
        teller.tell(job.number)
        tells.append(time.perf_counter() - start)
    return asks[1:], tells[1:]  # the first reads the whole study


def fill(study: optuna.Study, count: int) -> None:
    sampler = optuna.samplers.RandomSampler(seed=0)
    for number in range(count):
        frozen = create_trial(state=TrialState.WAITING)
        point = {
            name: sampler.sample_independent(study, frozen, name, distribution)
            for name, distribution in SPACE.items()
        }
        attributes = {"key": str(number), "worker": "other"}
        study.add_trial(
            create_trial(
                params=point,
                distributions=SPACE,
                value=0.5,
                user_attrs=attributes,
                system_attrs={"constraints": [0.0]},
            )
        )


if __name__ == "__main__":
    main()
