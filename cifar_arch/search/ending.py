"""What the end of a sweep prints, and the config that it leaves behind."""

from typing import Any

from optuna.trial import FrozenTrial

from cifar_arch.provenance import masked
from cifar_arch.runfolder import atomic
from cifar_arch.schema import SearchStopped
from cifar_arch.search.composer import Composer, best_config
from cifar_arch.search.ranking import ranked, ranking_table
from cifar_arch.search.space import overrides
from cifar_arch.search.study import SearchStudy


def announce(search: SearchStudy) -> None:
    plan, counts = search.plan, search.counts()
    size = plan.space.size()
    points = "endless" if size is None else f"{size:,} point{'s' if size > 1 else ''}"
    print(f"study {plan.name}: {points}, folders in {plan.folder}", flush=True)
    if counts["trained"]:
        print(f"{counts['trained']} trained before", flush=True)


def finish(search: SearchStudy, prefer: str, composer: Composer, config: dict[str, Any]) -> None:
    """Prints the ranking and what to type next, and writes experiment/best.yaml."""
    counts, plan = search.counts(), search.plan
    kinds = ("pruned", "failed", "rejected", "replayed")
    others = ", ".join(f"{counts[name]} {name}" for name in kinds if counts[name])
    print(f"\nstudy {plan.name} is done: {_trained(counts['trained'], plan.n_trials)}", end="")
    print(f" ({others})" if others else "")
    target = config["limits"]["target_accuracy"]
    trials, front = ranked(search.trained(), plan.objectives, prefer, target)
    if not trials:
        raise SearchStopped("no trial was completed; look at run.log in the folders of the failed ones")
    print(ranking_table(trials, plan.objectives, front))
    _print_target(trials[0], plan.objectives[0], target, config["data"]["name"])
    chosen = composer.load([*composer.fixed, *overrides(trials[0].params)])
    path = plan.folder / "experiment" / "best.yaml"
    with atomic(path) as temporary:
        temporary.write_text(best_config(chosen, path))
    print(
        f"\ntrain the best again, and read the test set:\n"
        f"  python -m cifar_arch.run --config-dir {plan.folder} +experiment=best\n"
        f"tables and figures of all runs:\n"
        f"  python -m cifar_arch.report outputs\n"
        f"look at the study:\n"
        f"  optuna-dashboard {masked(plan.storage)} --artifact-dir outputs/artifacts"
    )


def _trained(count: int, wanted: int | None) -> str:
    if wanted is not None and count < wanted:
        return f"{count} trained, and nothing new is left of the {wanted} that were asked for"
    return f"{count} trained"


def _print_target(best: FrozenTrial, objective: str, target: float | None, data: str) -> None:
    if objective != "accuracy" or target is None:
        return
    if data == "shapes":
        print("accuracies on the synthetic data set never count towards the target")
    elif best.values[0] < target:
        missing = 100 * (target - best.values[0])
        print(f"none reaches {target:.0%} on the validation images: the best is {missing:.2f} points below")
