"""Draws accuracy against parameters, ours and known networks: docs/accuracy.svg; prints the table of ours.

    python -m benchmarks.accuracy_by_size

Ours are the folders of results/ that `card` wrote, and the default network, whose figures README has. The
others are in results/known.csv too, as their authors published them: all but the assignment's reference
without our rules on downsampling, and with longer training.
"""

import csv
import statistics
from pathlib import Path
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cifar_arch.card import SEEDS
from cifar_arch.runfolder import RunFolder, atomic

ROOT = Path(__file__).parent.parent
HERE = "README"  # the source of what was trained here
RESULTS, FIGURE = ROOT / "results", ROOT / "docs" / "accuracy.svg"
OURS, KNOWN, TARGET = "#3b7dc4", "#6b7280", 85.0
CROWDED = 150_000  # parameters: the label of a larger network stands on its left


class Mark(NamedTuple):
    """A network; accuracies in percent."""

    name: str
    params: int
    mean: float
    std: float | None
    n: int
    epochs: int
    macs: int = 0


def main() -> None:
    ours = sorted(map(_ours, RESULTS.glob(f"*/{SEEDS}")))
    with (RESULTS / "known.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    known = [_known(row) for row in rows if row["source"] != HERE]
    default = [_known(row) for row in rows if row["source"] == HERE]
    with atomic(FIGURE) as temporary, rc_context({"svg.hashsalt": "cifar_arch"}):
        drawn([*ours, *default], known).savefig(temporary, format="svg", metadata={"Date": None})
    print("| network | parameters | multiply-adds | epochs | test accuracy, mean (std, n) |")
    print("|---|---|---|---|---|")
    for m in ours:
        std = "" if m.std is None else f"{m.std:.2f}, "
        print(
            f"| [{m.name}](results/{m.name}) | {m.params:,} | {m.macs / 1e6:.1f} million | {m.epochs} "
            f"| {m.mean:.2f} % ({std}n = {m.n}) |"
        )


def _known(row: dict[str, str]) -> Mark:
    accuracy, std = 100 * float(row["test_accuracy"]), 100 * float(row["std"]) if row["std"] else None
    return Mark(row["name"], int(row["params"]), accuracy, std, 1 if std is None else 3, int(row["epochs"]))


def _ours(seeds: Path) -> Mark:
    summary = RunFolder(seeds.parent).read_summary()
    assert summary is not None
    with seeds.open(newline="", encoding="utf-8") as file:
        tested = [100 * float(row["test_accuracy"]) for row in csv.DictReader(file)]
    std = statistics.stdev(tested) if len(tested) > 1 else None
    size = (summary.params or 0, statistics.mean(tested), std, len(tested), summary.epochs_done or 0)
    return Mark(seeds.parent.name, *size, macs=summary.macs or 0)


def drawn(ours: list[Mark], known: list[Mark]) -> Figure:
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    for marks, colour, marker, label in (
        (known, KNOWN, "s", "published elsewhere"),
        (ours, OURS, "o", "trained here, mean and standard deviation of 3 seeds"),
    ):
        xs, ys = [m.params for m in marks], [m.mean for m in marks]
        errors = [m.std for m in marks if m.std is not None] or None  # none of those published elsewhere
        axes.errorbar(xs, ys, errors, fmt=marker, color=colour, capsize=3, label=label)
        for m in marks:
            _label(axes, m, [*ours, *known], colour)
    axes.axhline(TARGET, color="#b3261e", linestyle="--", linewidth=1)
    axes.text(
        0.5,
        TARGET + 0.15,
        "the target, 85 %",
        transform=axes.get_yaxis_transform(),
        fontsize=7,
        color="#b3261e",
    )
    axes.set(
        xscale="log",
        xlabel="trainable parameters",
        ylabel="CIFAR-10 test accuracy (%)",
        xlim=(14_000, 300_000),
        ylim=(TARGET - 1, 95),
    )
    ticks = [15_000, 25_000, 50_000, 100_000, 200_000]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(loc="upper left", fontsize=8)
    return figure


def _label(axes: Axes, m: Mark, every: list[Mark], colour: str) -> None:
    """Of two that lie together the higher has its label on the other side, or above if both are left.

    One on the line of the target has it below.
    """
    above = any(0 < m.mean - o.mean < 0.5 and abs(m.params / o.params - 1) < 0.05 for o in every)
    crowded = m.params > CROWDED
    left = crowded or above
    height = -11 if abs(m.mean - TARGET) < 0.2 else 3 if crowded and above else -2.5
    axes.annotate(
        f"{m.name}, {m.epochs} epochs",
        (m.params, m.mean),
        (-7 if left else 7, height),
        textcoords="offset points",
        ha="right" if left else "left",
        fontsize=7,
        color=colour,
    )


if __name__ == "__main__":
    main()
