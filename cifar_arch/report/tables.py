"""The leaderboard, as text for a terminal, as Markdown and as cells for a page."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from cifar_arch.experiment import SYNTHETIC
from cifar_arch.report.effects import main_part, settings, swept

BEST_FIRST = "-accuracy"
# key: (label with unit, how a value is written); what is not here is written as it is
LABELS: dict[str, tuple[str, str]] = {
    "rank": ("rank", "{:d}"),
    "folder": ("folder", "{}"),
    "status": ("status", "{}"),
    "val_accuracy": ("validation", "{:.2%}"),
    "test_accuracy": ("test", "{:.2%}"),
    "accuracy": ("accuracy", "{:.2%}"),
    "mean": ("mean accuracy", "{:.2%}"),
    "std": ("std", "{:.2%}"),
    "params": ("parameters", "{:,}"),
    "macs": ("MACs", "{:,}"),
    "receptive_field": ("field (px)", "{:d}"),
    "epochs_done": ("epochs done", "{:d}"),
    "seconds": ("seconds", "{:,.0f}"),
    "accuracy_of": ("of", "{}"),
    "share": ("share of variance", "{:.0%}"),
}
BASE = ("rank", "val_accuracy", "test_accuracy", "params", "receptive_field", "macs")
MOST_SETTINGS = 14
LEFT_OUT_FIRST = ("seconds", "epochs_done", "macs", "status", "seed", "data", "receptive_field")


def ranking(runs: pd.DataFrame, sort: str = BEST_FIRST) -> pd.DataFrame:
    """The runs in order: `column` upwards, `-column` downwards; missing values and ties by the folder last.

    By the accuracy means: completed runs before others, those on the synthetic data set behind, and so
    those that have a test accuracy alone, which chooses nothing.
    """
    keys, downwards = [sort.lstrip("-")], [not sort.startswith("-")]
    order = runs.assign(
        _unfinished=runs["status"] != "completed",
        _synthetic=runs["data"] != "cifar10",  # nor is what cannot be read ahead of anything
        _tested=runs["accuracy_of"] == "test",
    )
    if sort == BEST_FIRST:
        keys, downwards = ["_unfinished", "_synthetic", "_tested", *keys], [True, True, True, *downwards]
    order = order.sort_values(keys, ascending=downwards, kind="stable", na_position="last", ignore_index=True)
    ranked = order.drop(columns=["_unfinished", "_synthetic", "_tested"])
    ranked.insert(0, "rank", range(1, len(ranked) + 1))
    ranked.attrs = {**runs.attrs, "sort": sort.lstrip("-")}
    return ranked


def shown_columns(runs: pd.DataFrame) -> list[str]:
    """What a leaderboard shows: results, sizes, the settings in which the runs differ, and the folder.

    The column that it is sorted by is always among them.
    """
    base = [name for name in BASE if runs[name].notna().any()]
    if (sort := runs.attrs["sort"]) != "accuracy":  # that of validation or test, both shown
        base.append(sort)
    chosen = [name for name in swept(runs) if name != "data"][:MOST_SETTINGS]
    further = [name for name in ("data", "seed") if runs[name].nunique() > 1]
    return list(dict.fromkeys([*base, *chosen, *further, "epochs_done", "seconds", "status", "folder"]))


def fitting(frame: pd.DataFrame, columns: Sequence[str], width: int) -> list[str]:
    """The columns without as many as it takes for `text` to be at most `width` characters wide.

    Effort goes first, then the settings from the last one on; accuracies, parameters, the folder and the
    column that is sorted by stay.
    """
    kept = list(columns)
    chosen = [name for name in reversed(columns) if name not in (*BASE, "folder", *LEFT_OUT_FIRST)]
    for name in (*LEFT_OUT_FIRST, *chosen):
        if max(map(len, text(frame, kept).splitlines())) <= width:
            break
        if name in kept and name != frame.attrs["sort"]:
            kept.remove(name)
    return kept


def label(column: str) -> str:
    return LABELS[column][0] if column in LABELS else column.removeprefix("model.").removeprefix("training.")


def cell(column: str, value: Any) -> str:
    """A value as people read it; nothing for a missing one."""
    if pd.isna(value):
        return ""
    if column in LABELS:
        return LABELS[column][1].format(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def cells(frame: pd.DataFrame, columns: Sequence[str]) -> list[list[str]]:
    """The written values of these columns, row by row."""
    return [
        [cell(name, value) for name, value in zip(columns, row, strict=True)]
        for row in zip(*(frame[name] for name in columns), strict=True)
    ]


def text(frame: pd.DataFrame, columns: Sequence[str]) -> str:
    """The table for a terminal, numbers to the right."""
    rows = [[label(name) for name in columns], *cells(frame, columns)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    right = [pd.api.types.is_numeric_dtype(frame[name]) for name in columns]
    return "\n".join(
        "  ".join(
            c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    )


def markdown(frame: pd.DataFrame, columns: Sequence[str]) -> str:
    """The table as Markdown; a vertical bar in a value is escaped."""
    right = [pd.api.types.is_numeric_dtype(frame[name]) for name in columns]
    rows = [
        [label(name) for name in columns],
        ["---:" if r else "---" for r in right],
        *([c.replace("|", "\\|").replace("\n", " ") for c in row] for row in cells(frame, columns)),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def grouped(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean, std, n and best of the completed runs' accuracy for each value of a column, the best first.

    Validation accuracies where there are some, and without the synthetic data where others are there.
    """
    done = runs[(runs["status"] == "completed") & runs["accuracy"].notna()]
    done = main_part(done)
    table = done.groupby(column, dropna=False)["accuracy"].agg(["mean", "std", "max", "count"]).reset_index()
    table = table.rename(columns={"count": "n", "max": "accuracy"})
    return table.sort_values("mean", ascending=False, ignore_index=True)


def notes(runs: pd.DataFrame) -> list[str]:
    """What a reader has to know to read the accuracies rightly, a sentence each."""
    found = []
    counts = runs["status"].value_counts()
    found.append(
        f"{len(runs):,} run{'s' * (len(runs) > 1)}: "
        + ", ".join(f"{n:,} {status}" for status, n in counts.items())
    )
    synthetic = int((runs["data"] == "shapes").sum())
    if synthetic:
        found.append(f"{synthetic:,} of them on the synthetic data set: {SYNTHETIC}")
    read = int(runs["test_accuracy"].notna().sum())
    found.append(
        "accuracy is that of the validation images"
        + (f"; the test images were read in {read:,} runs" if read else ", the test images were not read")
    )
    if line := target_line(runs):
        found.append(line)
    return found


def target_line(runs: pd.DataFrame) -> str | None:
    """Whether the target was reached, on test images and on CIFAR-10 alone; or the distance to it."""
    held = runs[runs["reaches_target"].notna()]
    if not len(held):
        return None
    reached = int(held["reaches_target"].sum())
    if reached:
        return f"{reached:,} of {len(held):,} tested runs reach their target"
    best = held.loc[held["test_accuracy"].idxmax()]
    missing = best["target_accuracy"] - best["test_accuracy"]
    return (
        f"no tested run reaches its target; the best, {best['folder']}, is {100 * missing:.2f} points below"
    )


def settings_line(runs: pd.DataFrame) -> str:
    """What all runs have in common, the keys that people ask for first."""
    names = ("data", "training.epochs", "training.batch_size", "training.optimizer", "device")
    common = [n for n in names if n in runs and runs[n].nunique() == 1]
    return ", ".join(
        f"{label(n)} {runs[n].dropna().iat[0]}" for n in common if n in {*settings(runs), "device"}
    )
