"""Runs in order, the columns of a leaderboard, and how values are written; as text and as Markdown."""

import html
from collections.abc import Sequence
from typing import Any

import pandas as pd

from cifar_arch.data import SYNTHETIC, SYNTHETIC_NOTE
from cifar_arch.record import Status
from cifar_arch.report.columns import COLUMNS, COMPUTED, Column
from cifar_arch.report.effects import EQUAL_PARAMS, comparable, main_part
from cifar_arch.report.settings import nulls, swept
from cifar_arch.terminal import counted, table

BEST_FIRST = "-accuracy"
BASE = ("rank", "val_accuracy", "test_accuracy", "params", "receptive_field", "macs", "latency_ms")
MOST_SETTINGS = 14


def ranking(runs: pd.DataFrame, sort: str = BEST_FIRST) -> pd.DataFrame:
    """The runs with their rank, ascending by the column `sort`, descending by `-COLUMN`; missing values last.

    By accuracy, completed runs come first; among them those on the synthetic data set last, and before
    these the ones that have only a test accuracy, which must decide nothing.
    """
    keys, ascending = [sort.lstrip("-")], [not sort.startswith("-")]
    order = runs.assign(
        _unfinished=runs["status"] != Status.COMPLETED,
        _synthetic=runs["data"] != "cifar10",  # nor is what cannot be read ahead of anything
        _tested=runs["accuracy_of"] == "test",
    )
    if sort == BEST_FIRST:
        keys, ascending = ["_unfinished", "_synthetic", "_tested", *keys], [True, True, True, *ascending]
    order = order.sort_values(keys, ascending=ascending, kind="stable", na_position="last", ignore_index=True)
    # A foreign config may have a key of that name.
    ranked = order.drop(columns=["_unfinished", "_synthetic", "_tested", "rank"], errors="ignore")
    ranked.insert(0, "rank", range(1, len(ranked) + 1))
    return ranked


def shown_columns(runs: pd.DataFrame, sort: str) -> list[str]:
    """What a leaderboard shows: results, sizes, the settings in which the runs differ, and the folder.

    The column that it is sorted by is always among them.
    """
    base = [name for name in BASE if runs[name].notna().any()]
    if (column := sort.lstrip("-")) != "accuracy":  # that of validation or test, both shown
        base.append(column)
    chosen = [name for name in swept(runs) if name != "data"][:MOST_SETTINGS]
    further = [name for name in ("data", "seed") if runs[name].nunique() > 1]
    return list(dict.fromkeys([*base, *chosen, *further, "epochs_done", "seconds", "status", "folder"]))


def label(column: str) -> str:
    return _known(column).label or column.removeprefix("model.").removeprefix("training.")


def _known(column: str) -> Column:
    """What is known of a column; of a key of the config nothing."""
    return COLUMNS.get(column) or COMPUTED.get(column) or Column("")


def cell(column: str, value: Any) -> str:
    """A value as people read it; nothing for a missing one."""
    if pd.isna(value):
        return ""
    if form := _known(column).form:
        return form.format(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def cells(frame: pd.DataFrame, columns: Sequence[str]) -> list[list[str]]:
    """The written values of these columns, row by row."""
    written = [
        [
            "null" if null else cell(name, value)
            for value, null in zip(frame[name], nulls(frame, name), strict=True)
        ]
        for name in columns
    ]
    return [list(row) for row in zip(*written, strict=True)]


def text(frame: pd.DataFrame, columns: Sequence[str]) -> str:
    """These columns for a terminal, numbers to the right."""
    left = {place for place, name in enumerate(columns) if not pd.api.types.is_numeric_dtype(frame[name])}
    return table([[label(name) for name in columns], *cells(frame, columns)], left)


def markdown(frame: pd.DataFrame, columns: Sequence[str]) -> str:
    """These columns as Markdown; in a value neither a vertical bar nor HTML means anything."""
    right = [pd.api.types.is_numeric_dtype(frame[name]) for name in columns]
    rows = [
        [label(name) for name in columns],
        ["---:" if r else "---" for r in right],
        *([in_markdown(c) for c in row] for row in cells(frame, columns)),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def in_markdown(text: str) -> str:
    """The text in a line of Markdown, as it stands."""
    return html.escape(" ".join(text.splitlines()), quote=False).replace("|", "\\|")


def grouped(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Columns: `column`, then mean, std, n and the highest accuracy of the completed runs, the best first.

    Validation accuracies where there are some, and no synthetic data where there are others.
    """
    done = main_part(comparable(runs))
    found = done.groupby(column, dropna=False)["accuracy"].agg(["mean", "std", "count", "max"]).reset_index()
    found = found.rename(columns={"count": "n", "max": "best"})
    return found.sort_values("mean", ascending=False, ignore_index=True)


def notes(runs: pd.DataFrame) -> list[str]:
    """What a reader must know to interpret the accuracies, a sentence each."""
    found = []
    counts = runs["status"].value_counts()
    found.append(
        f"{counted(len(runs), 'run')}: " + ", ".join(f"{n:,} {status}" for status, n in counts.items())
    )
    synthetic = int((runs["data"] == SYNTHETIC).sum())
    if synthetic:
        found.append(f"{synthetic:,} of them on synthetic images: {SYNTHETIC_NOTE}")
        if (comparable(runs)["data"] != SYNTHETIC).any():
            found.append(
                f"effects and groups leave these out; --where \"data == '{SYNTHETIC}'\" shows them alone"
            )
    read = int(runs["test_accuracy"].notna().sum())
    without = ", or of the test images where a run has no others"
    found.append(
        "accuracy is that of the validation images"
        + without * bool((runs["accuracy_of"] == "test").any())
        + (
            f"; the test images were read in {counted(read, 'run')}"
            if read
            else ", the test images were not read"
        )
    )
    if line := target_line(runs):
        found.append(line)
    pruned = int((runs["status"] == Status.PRUNED).sum())
    if pruned and len(comparable(runs)) > 1:
        found.append(
            f"effects, means and groups leave out {counted(pruned, 'pruned run')}, the poor ones: effects "
            "are too small, means too high; to compare designs type pruner=none"
        )
    return found


def of_single_runs(repeats: pd.DataFrame) -> list[str]:
    """A sentence on what ranks by chance where there are means over seeds."""
    if repeats.empty:
        return []
    return ["the ranking and the best run are of single seeds; the means over seeds tell designs apart"]


def not_compared(unequal: Sequence[str]) -> list[str]:
    """A sentence on the changes that have no effect, for no pair of their runs is equal in parameters."""
    if not unequal:
        return []
    more = [f"{len(unequal) - 3:,} more"] if len(unequal) > 3 else []
    return [
        f"not compared, because with width=auto their parameters differ by more than {EQUAL_PARAMS:.0%}: "
        + "; ".join([*unequal[:3], *more])
    ]


def target_line(runs: pd.DataFrame) -> str | None:
    """How many tested runs reach their target, or how far the best is from it; None without tested runs."""
    held = runs[runs["reaches_target"].notna()]
    if not len(held):
        return None
    reached = int(held["reaches_target"].sum())
    if reached:
        return f"{reached:,} of {counted(len(held), 'tested run')} reached the target"
    best = held.loc[held["test_accuracy"].idxmax()]
    missing = best["target_accuracy"] - best["test_accuracy"]
    return (
        f"no tested run reaches its target; the best, {best['folder']}, is {100 * missing:.2f} points below"
    )


def settings_line(runs: pd.DataFrame) -> str:
    """What all runs have in common, of the keys that people ask for first."""
    names = ("data", "training.epochs", "training.batch_size", "training.optimizer", "device")
    common = [n for n in names if n in runs and runs[n].nunique() == 1]
    return ", ".join(f"{label(n)} {runs[n].dropna().iat[0]}" for n in common)
