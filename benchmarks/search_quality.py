"""How many epochs a search needs, replayed on the published table of trained networks.

    python -m benchmarks.search_quality               about ten minutes on one core

Each search is a `Worker` as the sweeper uses it, on the space of `+search=table` and on real SQLite, with a
sampler and a pruner of conf/hydra/sweeper, and with a number of largest networks to begin with; only the
training is read from the table. It ends with the first network, trained to its last epoch, that is within one
standard deviation over seeds of the best. A network that the table lacks is told as failed, which no sampler
reads, and costs nothing. Random search is also calculated: in random order the first of g among n comes
after (n + 1) / (g + 1).
"""

import argparse
import statistics
import tempfile
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import optuna
from hydra import compose
from hydra.utils import instantiate
from omegaconf import OmegaConf
from optuna.samplers import BaseSampler, TPESampler
from scipy.special import stdtrit

from cifar_arch.compose import composing
from cifar_arch.outputs import Outputs
from cifar_arch.overrides import CONF
from cifar_arch.record import Status, Summary
from cifar_arch.results import load_table
from cifar_arch.runfolder import RunFolder
from cifar_arch.search.ask import Job
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.composer import Composer, read_space
from cifar_arch.search.space import Point, point_identity
from cifar_arch.search.storage import quiet_optuna
from cifar_arch.search.study import SearchConfig
from cifar_arch.search.worker import Worker

SPACE = ["+search=table"]
STOCK = "stock TPE"  # as Hydra's Optuna sweeper makes it: no constraints, no pruning, repeats trained again
SEARCHES = ["tpe+median+5", "tpe+median", "tpe+none", "random+median", "random+none", STOCK]
REJECTIONS = 300  # in a row; see conf/hydra/sweeper/cifar_arch.yaml


class Table:
    """The space, the validation accuracies after each epoch of its points, and what a search has to reach."""

    def __init__(self) -> None:
        with composing():
            base = compose("config", SPACE, return_hydra_config=True)
            self.space, fixed = read_space(base.hydra.sweeper.params, SPACE)
            composer = Composer(lambda chosen: compose("config", chosen), fixed, self.space)
            self.candidates = {point_identity(point): composer.assess(point) for point in self.space.points()}
        table = load_table()
        self.epochs = int(table["epochs"].min())
        table = table[table["epochs"] == self.epochs]
        first = table[table["seed"] == 0]
        columns = {key: key.rpartition("@model.")[2] for key in self.space.distributions}
        points = first[list(columns.values())].rename(columns={v: k for k, v in columns.items()})
        names = [f"val_accuracy_{epoch}" for epoch in range(1, self.epochs + 1)]
        self.curves: dict[Hashable, list[float]] = {
            point_identity(point): curve
            for point, curve in zip(points.to_dict("records"), first[names].to_numpy().tolist(), strict=True)
        }
        spread = table.groupby("architecture")["val_accuracy"].agg(["var", "count"]).query("count > 2")
        if spread.empty or not self.curves.keys() <= self.candidates.keys():
            raise SystemExit(
                "search_quality: the table has no network of three seeds, or not those of the space"
            )
        self.repeated = len(spread)
        self.std = float(spread["var"].mean() ** 0.5)
        self.best = max(curve[-1] for curve in self.curves.values())
        self.goal = self.best - self.std
        self.good = sum(curve[-1] >= self.goal for curve in self.curves.values())

    def assess(self, point: Point) -> Candidate:
        return self.candidates[point_identity(point)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "searches", nargs="*", default=SEARCHES, help="SAMPLER+PRUNER, or SAMPLER+PRUNER+LARGEST"
    )
    parser.add_argument("--seeds", type=int, default=20, help="of the sampler")
    arguments = parser.parse_args()
    quiet_optuna()
    table = Table()
    at_random = table.epochs * (len(table.curves) + 1) / (table.good + 1)
    print(
        f"{len(table.curves)} networks of {table.epochs} epochs, the best {table.best:.2%}; std over seeds "
        f"{table.std:.2%} ({table.repeated} networks);\ngoal {table.goal:.2%}, which {table.good} reach; "
        f"in random order the first takes {at_random:.0f} epochs on average\n"
    )
    print(f"{'search':16} epochs  of random (95 % interval)  longest  n")
    for search in arguments.searches:
        found = [epochs_needed(table, search, seed) for seed in range(arguments.seeds)]
        mean = statistics.mean(found)
        half = stdtrit(len(found) - 1, 0.975) * statistics.stdev(found) / len(found) ** 0.5
        low, middle, high = (number / at_random for number in (mean - half, mean, mean + half))
        shown = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        print(f"{search:16} {mean:6.0f}  {shown:25}  {max(found):7}  {len(found)}", flush=True)


def epochs_needed(table: Table, search: str, seed: int) -> int:
    """The epochs that a search trains until the goal; those of the whole table where it never gets there."""
    if search == STOCK:
        return stock(table, TPESampler(seed=seed, multivariate=False, constant_liar=False))
    sampler, pruner, *largest = search.split("+")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        config = SearchConfig(
            name=f"replay-{seed}",
            storage=f"sqlite:///{folder}/studies.db",
            folder=Outputs(folder).sweep("replay"),
            space=table.space,
            objectives=("accuracy",),
            n_trials=len(table.candidates),
            exhaustive=False,
            fingerprint={},
            largest_first=int(largest[0]) if largest else 0,
        )

        def make(moved_on: int) -> BaseSampler:
            return default("sampler", sampler, seed=1000 * seed + moved_on)

        used = 0
        with Worker(config, make, table.assess) as worker:
            worker.shared.study.pruner = default("pruner", pruner)
            while job := worker.asker.ask():
                curve = replayed(table, worker, job)
                used += len(curve)
                if len(curve) == table.epochs and curve[-1] >= table.goal:
                    return used
        return len(table.curves) * table.epochs


def default(kind: str, name: str, **more: Any) -> Any:
    """The sampler or pruner of conf/hydra/sweeper."""
    node = OmegaConf.load(CONF / "hydra" / "sweeper" / kind / f"{name}.yaml")
    return instantiate(node, _execution_whitelist_=("optuna.*",), **more)


def replayed(table: Table, worker: Worker, job: Job) -> list[float]:
    """The epochs of the table that the pruner lets pass, reported to the study as a run reports them."""
    curve = table.curves.get(point_identity(job.point), [])
    trial = optuna.trial.Trial(worker.shared.study, job.trial_id)
    status = Status.COMPLETED if curve else Status.FAILED
    for epoch, value in enumerate(curve, 1):
        trial.report(value, epoch)
        if epoch < len(curve) and trial.should_prune():
            status, curve = Status.PRUNED, curve[:epoch]
            break
    summary = Summary(status=status, val_accuracy=curve[-1] if curve else None, epochs_done=len(curve))
    RunFolder(job.folder).write_summary(summary)
    worker.teller.tell(job.number)
    return curve


def stock(table: Table, sampler: BaseSampler) -> int:
    """As `epochs_needed`; candidates outside the limits are told as failed too, and cost nothing."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    whole = len(table.curves) * table.epochs
    used = in_a_row = 0
    while used < whole and in_a_row < REJECTIONS:
        trial = study.ask(table.space.distributions)
        curve = table.curves.get(point_identity(trial.params))
        if curve is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            in_a_row += 1
            continue
        in_a_row = 0
        study.tell(trial, curve[-1])
        used += table.epochs
        if curve[-1] >= table.goal:
            return used
    return whole


if __name__ == "__main__":
    main()
