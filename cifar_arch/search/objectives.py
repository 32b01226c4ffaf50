"""What a search can optimise: in which direction, where a run has it on record, how it is shown."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import optuna

# How trials are ranked: by the first objective, or by fewest parameters among those that reach the target.
Prefer = Literal["accuracy", "smallest"]


class Objective(NamedTuple):
    direction: Literal["maximize", "minimize"]
    field: str  # of record.Summary
    form: str  # of its value, with its unit

    def shown(self, value: float) -> str:
        """As it is printed."""
        return self.form.format(value)

    def loss(self, value: Any) -> Any:
        """The value with a sign by which less is better; of a number or of a column."""
        return -value if self.direction == "maximize" else value


OBJECTIVES = {
    "accuracy": Objective("maximize", "val_accuracy", "{:.2%}"),
    "test_accuracy": Objective("maximize", "test_accuracy", "{:.2%}"),  # of `confirm` alone
    "params": Objective("minimize", "params", "{:,.0f}"),
    "macs": Objective("minimize", "macs", "{:,.0f}"),
    "latency": Objective("minimize", "latency_ms", "{:.3f} ms"),
}
FRONT = "* on the Pareto front: no other is better in one objective and as good in the rest"
ACCURACIES = ("accuracy", "test_accuracy")  # among them


def pareto_front(losses: Iterable[tuple[float, ...]]) -> set[tuple[float, ...]]:
    """Those that no other ones equal or beat in each place; less is better."""
    front: list[tuple[float, ...]] = []
    for mine in sorted(set(losses)):  # in this order none is beaten by a later one
        if not any(all(a <= b for a, b in zip(other, mine, strict=True)) for other in front):
            front.append(mine)
    return set(front)


def objectives_of(study: "optuna.Study") -> list[str]:
    """The names of a study's objectives; accuracy where it has none, as in a study of another tool."""
    return study.metric_names or ["accuracy"]


def by_accuracy_first(objectives: Sequence[str]) -> bool:
    """Whether trials are ranked by an accuracy, whatever else they are judged by."""
    return objectives[0] in ACCURACIES


def by_accuracy_alone(objectives: Sequence[str]) -> bool:
    """Whether an accuracy decides alone: then its curve foretells a trial's value, and low ones are pruned.

    No curve foretells a size, and Optuna prunes nothing where there are several objectives.
    """
    return len(objectives) == 1 and by_accuracy_first(objectives)
