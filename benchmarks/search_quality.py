"""How much training a search saves, replayed on the recorded table of trained networks.

    python benchmarks/search_quality.py               some minutes on one core

Each strategy gets a quarter of the epochs that the whole table took, for ten seeds of its sampler, and
answers with the best network that it trained to the end. Ours is `SearchStudy` as the sweeper uses it,
with its default sampler and pruner, on real SQLite; only the training is read from the table. Random and
the stock sweeper's TPE train every proposal to the end; what lies outside the limits costs them nothing.
"""

import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.pruners import MedianPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from cifar_arch.limits import Violation
from cifar_arch.runfolder import RunFolder, Status
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.space import Point, Space
from cifar_arch.search.storage import quiet_optuna
from cifar_arch.search.study import Job, Plan, SearchStudy

TABLE = json.loads(Path(__file__).with_name("recorded_table.json").read_text())
KEYS = list(TABLE["space"])
CURVES = {tuple(p["values"]): p["curve"] for p in TABLE["points"] if p["seed"] == 0}
SPACE = Space({key: CategoricalDistribution(values) for key, values in TABLE["space"].items()})
EPOCHS = len(next(iter(CURVES.values())))
if len(CURVES) < 102:
    raise SystemExit(f"the table has {len(CURVES)} of 102 networks: finish it with record_table.py")
BUDGET = len(CURVES) * EPOCHS // 4
BEST = max(CURVES, key=lambda values: CURVES[values][-1])
STD = statistics.stdev(p["curve"][-1] for p in TABLE["points"] if tuple(p["values"]) == BEST)
GOAL = CURVES[BEST][-1] - STD
SEEDS = range(10)


def main() -> None:
    quiet_optuna()
    print(f"{len(CURVES)} networks of {EPOCHS} epochs, best {CURVES[BEST][-1]:.2%}, std over seeds {STD:.2%}")
    print(f"budget {BUDGET} epochs, goal {GOAL:.2%}\n")
    for name, strategy in {"ours": ours, "random": random_search, "stock TPE": stock_tpe}.items():
        found = [strategy(seed) for seed in SEEDS]
        reached = sum(value >= GOAL for value in found)
        print(
            f"{name:10} within one std of the best in {reached} of {len(found)} seeds, "
            f"mean {statistics.mean(found):.2%}, worst {min(found):.2%}",
            flush=True,
        )


def ours(seed: int) -> float:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        plan = Plan(
            name="replay",
            storage=f"sqlite:///{folder}/studies.db",
            folder=folder / "sweeps" / "replay",
            space=SPACE,
            objectives=("accuracy",),
            n_trials=len(CURVES),
            exhaustive=False,
            fingerprint={},
        )
        search = SearchStudy(plan, lambda moved_on: default_sampler(seed + moved_on), judge)
        search.study.pruner = MedianPruner(n_startup_trials=5, n_warmup_steps=2)
        best, used = 0.0, 0
        while used < BUDGET and (job := search.ask()):
            curve = replayed(search, job)
            used += len(curve)
            if len(curve) == EPOCHS and used <= BUDGET:
                best = max(best, curve[-1])
        search.workers.leave()
        return best


def default_sampler(seed: int) -> BaseSampler:
    """As conf/hydra/sweeper/sampler/tpe.yaml has it; a test holds the two together."""
    return TPESampler(seed=seed, n_startup_trials=10, multivariate=True, group=True, constant_liar=True)


def judge(point: Point) -> Candidate:
    values = tuple(point[key] for key in KEYS)
    if values in CURVES:
        return Candidate(str(values), (), {"params": 0, "macs": 0, "receptive_field": 0})
    return Candidate("", (Violation(rule="limits", limit=1, actual=2, message="outside"),), {})


def replayed(search: SearchStudy, job: Job) -> list[float]:
    """The epochs of the table that the pruner lets pass, told to the study as a job tells them."""
    curve = CURVES[tuple(job.point[key] for key in KEYS)]
    trial = optuna.trial.Trial(search.study, job.trial_id)
    status, epochs = Status.COMPLETED, len(curve)
    for epoch, value in enumerate(curve, 1):
        trial.report(value, epoch)
        if epoch < len(curve) and trial.should_prune():
            status, epochs = Status.PRUNED, epoch
            break
    summary = {"status": status, "val_accuracy": curve[epochs - 1], "epochs_done": epochs}
    RunFolder(job.folder).write_json(RunFolder(job.folder).summary, summary)
    search.settle(job)
    return curve[:epochs]


def random_search(seed: int) -> float:
    return to_the_end(RandomSampler(seed=seed))


def stock_tpe(seed: int) -> float:
    """The TPE that the stock sweeper makes: not multivariate, no constant liar, FAIL for a failed job."""
    return to_the_end(TPESampler(seed=seed, multivariate=False, constant_liar=False))


def to_the_end(sampler: BaseSampler) -> float:
    return max(proposals(sampler, BUDGET // EPOCHS))


def proposals(sampler: BaseSampler, trainings: int) -> Iterator[float]:
    """The final accuracies of what a sampler has trained, repeats included."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    done = 0
    while done < trainings:
        trial = study.ask(SPACE.distributions)
        curve: list[float] | None = CURVES.get(tuple(trial.params[key] for key in KEYS))
        if curve is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        study.tell(trial, curve[-1])
        done += 1
        yield curve[-1]


if __name__ == "__main__":
    main()
