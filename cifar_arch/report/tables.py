"""Runs in order, the columns of a leaderboard, and how values are written; as text and as Markdown."""

import html
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from cifar_arch.record import Status
from cifar_arch.report.columns import COLUMNS, COMPUTED, Column
from cifar_arch.report.effects import comparable, main_part
from cifar_arch.report.settings import nulls, swept
from cifar_arch.terminal import table

BEST_FIRST = "-accuracy"
BASE = ("rank", "front", "val_accuracy", "test_accuracy", "params", "receptive_field", "macs", "latency_ms")
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
    if column == "front":
        return "*" if value else ""
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
    """These columns as Markdown, in which no value means anything."""
    right = [pd.api.types.is_numeric_dtype(frame[name]) for name in columns]
    rows = [
        [label(name) for name in columns],
        ["---:" if r else "---" for r in right],
        *([in_markdown(c) for c in row] for row in cells(frame, columns)),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def in_markdown(text: str) -> str:
    """The text in a line of Markdown, as it stands."""
    plain = html.escape(" ".join(text.splitlines()), quote=False)
    return re.sub(r"[\\`*|]|\b_|_\b", r"\\\g<0>", plain)


def grouped(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Columns: `column`, then mean, std, n and the highest accuracy of the completed runs, the best first.

    Validation accuracies where there are some, and no synthetic data where there are others.
    """
    done = main_part(comparable(runs))
    found = done.groupby(column, dropna=False)["accuracy"].agg(["mean", "std", "count", "max"]).reset_index()
    found = found.rename(columns={"count": "n", "max": "best"})
    return found.sort_values("mean", ascending=False, ignore_index=True)


def settings_line(runs: pd.DataFrame) -> str:
    """What all runs have in common, of the keys that people ask for first."""
    names = ("data", "training.epochs", "training.batch_size", "training.optimizer", "device")
    common = [n for n in names if n in runs and runs[n].nunique() == 1]
    return ", ".join(f"{label(n)} {runs[n].dropna().iat[0]}" for n in common)
