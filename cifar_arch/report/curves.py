"""load_curves: the epochs of many runs -> one long pandas table."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from cifar_arch.record import Epoch
from cifar_arch.report.columns import NUMBER, TEXT, WHOLE
from cifar_arch.report.reading import Problem, read_curve
from cifar_arch.report.runs import load_runs


class Curves(NamedTuple):
    table: pd.DataFrame  # a row for each epoch of each run
    unreadable: dict[str, str]  # the reason by folder


def load_curves(outputs: "str | Path | pd.DataFrame" = "outputs") -> pd.DataFrame:
    """One row for each epoch of each run: its folder, then the fields of `record.Epoch`.

    Takes a folder or a table of runs. Leaves out what cannot be read; `read_curves` says what and why.
    """
    runs = outputs if isinstance(outputs, pd.DataFrame) else load_runs(outputs)
    return read_curves(runs["folder"]).table


def read_curves(folders: Iterable[str]) -> Curves:
    """The epochs of the runs in these folders, and the folders whose metrics.csv cannot be read."""
    found: list[tuple[str, Epoch]] = []
    unreadable: dict[str, str] = {}
    for folder in folders:
        try:
            found += [(folder, epoch) for epoch in read_curve(folder)]
        except Problem as problem:
            unreadable[folder] = str(problem)
    columns = {"folder": pd.array([folder for folder, _ in found], dtype=TEXT)}
    for name in Epoch.__struct_fields__:
        kind = WHOLE if name == "epoch" else NUMBER
        columns[name] = pd.array([getattr(epoch, name) for _, epoch in found], dtype=kind)
    return Curves(pd.DataFrame(columns), unreadable)
