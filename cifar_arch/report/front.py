"""The Pareto front: the runs that no other one beats, in a study's objectives or in accuracy and a cost."""

import msgspec
import pandas as pd

from cifar_arch.outputs import SWEEPS
from cifar_arch.record import Objectives, Status
from cifar_arch.report.settings import settings
from cifar_arch.search.objectives import OBJECTIVES, pareto_front


def on_front(runs: pd.DataFrame) -> pd.Series:
    """Whether no other trial of its sweep is better in one objective and as good in the rest, for each run.

    As in the ranking of a sweep, by means over seeds, and without those that lack a failed seed. Missing
    where accuracy alone is sought, and for what is not compared.
    """
    front = pd.Series(pd.NA, index=runs.index, dtype="boolean")
    failed = (runs["status"] == Status.FAILED) & runs["cause"].isna()  # an interrupted trial goes on
    told = runs[(runs["source"] == SWEEPS) & (failed | (runs["status"] == Status.COMPLETED))]
    if "objectives" not in told:
        return front
    sweep = told["folder"].str.rsplit("/", n=1).str[0]
    for (_, written), trials in told.groupby([sweep, told["objectives"].astype("str")]):
        try:
            objectives = msgspec.json.decode(written, type=Objectives)
        except msgspec.MsgspecError:  # of another tool
            continue
        if len(objectives) > 1:
            losses = _mean_losses(trials, objectives).dropna()
            rows = [*losses.itertuples(index=False, name=None)]
            best = pareto_front(rows)
            front[losses.index] = [row in best for row in rows]
    return front


def _mean_losses(trials: pd.DataFrame, objectives: Objectives) -> pd.DataFrame:
    """Each objective in the mean over the seeds of a trial's configuration; less is better in each."""
    losses = pd.DataFrame(index=trials.index)
    for name in objectives:
        losses[name] = OBJECTIVES[name].loss(trials[OBJECTIVES[name].field].astype(float))
    same = [trials[name] for name in (*settings(trials), "architecture") if name != "seed"]
    seeds = losses.where(trials["status"] == Status.COMPLETED).groupby(same, dropna=False)
    return seeds.transform("mean", skipna=False)


def pareto(runs: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The runs that no other one beats in both accuracy and cost, the cheapest first."""
    order = runs.sort_values([cost, "accuracy"], ascending=[True, False])
    best = order["accuracy"].cummax()
    return order[(order["accuracy"] >= best) & ~best.duplicated()]
