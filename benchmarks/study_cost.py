"""python -m benchmarks.study_cost: seconds that a trial costs beside its training, by the size of the study.

Asking, its first report (in a new callback, as each trial has one), a later one, and telling; medians, with
the lowest and the highest. A quarter of the trials are rejected. On SQLite, or with --storage on PostgreSQL.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

from cifar_arch.outputs import Outputs
from cifar_arch.record import Epoch, Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.search.ask import Asker, Job
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.pruning_callback import PruningCallback
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
FIRST = 250  # trials that are written one by one; the others are copies of their rows, which takes no time
STEPS = ("ask", "first report", "later report", "tell")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 1_000, 10_000])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--storage", help="an empty database; default: SQLite in a temporary folder")
    arguments = parser.parse_args()
    quiet_optuna()
    print(f"{'trials':>6}" + "".join(f"{step + ' (s)':>24}" for step in STEPS))
    for count in arguments.trials:
        with tempfile.TemporaryDirectory() as folder:
            seconds = measured(Path(folder), count, arguments.turns, arguments.storage)
        cells = (
            f"{statistics.median(seconds[step]):.3f} ({min(seconds[step]):.3f}, {max(seconds[step]):.3f})"
            for step in STEPS
        )
        print(f"{count:6,}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


def assess(point: Point) -> Candidate:
    key = str(sorted(point.items()))
    return Candidate(key=key, configuration=key, violations=(), totals={"params": 1})


def measured(folder: Path, count: int, turns: int, storage: str | None) -> dict[str, list[float]]:
    config = SearchConfig(
        name=f"timed-{count}",
        storage=storage or sqlite_url(folder / "studies.db"),
        folder=Outputs(folder).sweep("timed"),
        space=Space(SPACE),
        objectives=("accuracy",),
        n_trials=10**6,
        exhaustive=False,
        fingerprint={},
    )
    shared = SharedStudy(config)
    fill(shared, count)
    teller = Teller(shared)
    sampler = TPESampler(seed=0, multivariate=True, group=True, constant_liar=True)
    asker = Asker(shared, teller, lambda _: sampler, assess)
    seconds: dict[str, list[float]] = {step: [] for step in STEPS}
    for _ in range(turns + 1):
        with timed(seconds["ask"]):
            job = asker.ask()
        assert job is not None
        report(config, job, seconds)
        RunFolder(job.folder).write_summary(Summary(status=Status.COMPLETED, val_accuracy=0.5, seconds=1.0))
        with timed(seconds["tell"]):
            teller.tell(job.number)
    return {step: found[1:] for step, found in seconds.items()}  # a process reads the study once


def report(config: SearchConfig, job: Job, seconds: dict[str, list[float]]) -> None:
    callback = PruningCallback(config.storage, config.name, job.trial_id, MedianPruner(), 5)
    history = [Epoch(n, 0.1, 1.0, 0.5, 1.0, 0.5 + n / 100, 1.0, 1000.0) for n in (1, 2)]
    for step, epochs in (("first report", history[:1]), ("later report", history)):
        with timed(seconds[step]):
            callback(epochs)


@contextmanager
def timed(found: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    found.append(time.perf_counter() - start)


def fill(shared: SharedStudy, count: int) -> None:
    sampler = optuna.samplers.RandomSampler(seed=0)
    waiting = create_trial(state=TrialState.WAITING)
    for number in range(min(count, FIRST)):
        point = {
            name: sampler.sample_independent(shared.study, waiting, name, distribution)
            for name, distribution in SPACE.items()
        }
        rejected = number % 4 == 3
        shared.study.add_trial(
            create_trial(
                params=point,
                distributions=SPACE,
                state=TrialState.PRUNED if rejected else TrialState.COMPLETE,
                value=None if rejected else 0.5 + number / 1000,
                intermediate_values={} if rejected else {n: 0.4 + n / 100 for n in range(1, 6)},
                user_attrs={"key": assess(point).key, "params": 1, "worker": "other"}
                | ({"role": "rejected"} if rejected else {}),
                system_attrs={"constraints": [float(rejected)]},
            )
        )
    study = shared.storage.get_study_id_from_name(shared.config.name)
    while (present := len(shared.study.get_trials(deepcopy=False))) < count:
        copy_rows(shared.storage.engine, study, present, min(present, count - present))


def copy_rows(engine: sqlalchemy.Engine, study: int, present: int, count: int) -> None:
    """Copies the first `count` of so many trials, as the next ones of their study."""
    tables = sqlalchemy.MetaData()
    tables.reflect(engine)
    trials = tables.tables["trials"]
    with engine.begin() as connection:
        highest = connection.scalar(sqlalchemy.select(sqlalchemy.func.max(trials.c.trial_id)))
        first = connection.scalar(
            sqlalchemy.select(sqlalchemy.func.min(trials.c.trial_id)).where(trials.c.study_id == study)
        )
        assert highest is not None
        assert first is not None
        shift = highest + 1 - first
        for table in (trials, *(t for t in tables.tables.values() if t is not trials and "trial_id" in t.c)):
            own = next(iter(table.primary_key.columns))
            copied = [c for c in table.c if c is not own or c is trials.c.trial_id]
            new = {"trial_id": shift, "number": present}
            values = [c + new[c.name] if c.name in new else c for c in copied]
            chosen = sqlalchemy.select(*values).where(
                table.c.trial_id.in_(
                    sqlalchemy.select(trials.c.trial_id).where(
                        trials.c.study_id == study, trials.c.number < count
                    )
                )
            )
            connection.execute(table.insert().from_select([c.name for c in copied], chosen))
        if engine.dialect.name == "postgresql":
            connection.execute(
                sqlalchemy.text("SELECT setval('trials_trial_id_seq', (SELECT max(trial_id) FROM trials))")
            )


if __name__ == "__main__":
    main()
