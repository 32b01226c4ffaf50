"""Report: everything that is said about some runs, computed once and read by every renderer."""

import csv
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cifar_arch.outputs import REJECTED, SWEEPS
from cifar_arch.record import Status
from cifar_arch.report import effects, tables
from cifar_arch.report.curves import read_curves
from cifar_arch.report.notes import notes
from cifar_arch.report.reading import RUNNING

MOST_CURVES = 60
REJECTIONS = (f"{SWEEPS}/*/{REJECTED}", f"*/{REJECTED}", REJECTED)  # below the folder that was named


@dataclass(frozen=True, kw_only=True)
class Report:
    """The ranked runs of a folder and what follows from them; every frame may be empty."""

    outputs: Path
    runs: pd.DataFrame  # as `load_runs` gives them, with their rank
    sort: str  # as it was typed: COLUMN or -COLUMN
    columns: list[str]  # of the leaderboard
    notes: list[str]  # what a reader must know, a sentence each
    completed: pd.DataFrame  # the runs with an accuracy to compare
    effects: pd.DataFrame
    importances: pd.DataFrame
    repeats: pd.DataFrame
    group_by: str | None
    groups: pd.DataFrame  # one row for each value of `group_by`
    rejections: pd.DataFrame  # rule, candidates
    curves: pd.DataFrame  # a row for each epoch of the runs whose curves are drawn
    unreadable: dict[str, str]  # files and folders beside the runs' summaries: the reason by path

    @classmethod
    def of(
        cls, runs: pd.DataFrame, outputs: Path, sort: str = tables.BEST_FIRST, group_by: str | None = None
    ) -> "Report":
        """The report on these runs of a folder; `sort` and `group_by` name columns of theirs."""
        ranked = tables.ranking(runs, sort)
        rejections, damaged = read_rejections(outputs, set(ranked["study"].dropna()))
        curves, broken = read_curves(_drawn(ranked)["folder"])
        changes, unequal = effects.compared(ranked)
        repeats = effects.repeats(ranked)
        return cls(
            outputs=outputs,
            runs=ranked,
            sort=sort,
            columns=tables.shown_columns(ranked, sort),
            notes=list(notes(ranked, repeats, unequal)),
            completed=effects.comparable(ranked),
            effects=changes,
            importances=effects.importances(ranked),
            repeats=repeats,
            group_by=group_by,
            groups=tables.grouped(ranked, group_by) if group_by else pd.DataFrame(),
            rejections=rejections,
            curves=curves,
            unreadable=damaged | broken,
        )


def _drawn(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs whose curves are drawn: the first completed ones, and as many that were not completed."""
    half = MOST_CURVES // 2
    completed = runs[runs["status"] == Status.COMPLETED].head(half)
    return pd.concat([completed, runs[runs["status"].isin([Status.PRUNED, RUNNING])].head(half)])


def read_rejections(outputs: Path, studies: set[str]) -> tuple[pd.DataFrame, dict[str, str]]:
    """(rule, candidates) over the rejected.csv of these studies, and the reason for each that is damaged."""
    candidates: dict[str, set[tuple[str, str]]] = {}
    damaged = {}
    for file in sorted({file for pattern in REJECTIONS for file in outputs.glob(pattern)}):
        if file.parent.name not in studies:
            continue
        try:
            with file.open(newline="", encoding="utf-8") as lines:
                for row in csv.DictReader(lines, strict=True):
                    candidates.setdefault(row["rule"], set()).add((file.parent.name, row["trial"]))
        except (OSError, ValueError, KeyError, csv.Error) as error:
            damaged[str(file)] = f"{REJECTED} is damaged ({error or type(error).__name__})"
    rows = sorted(((str(rule), len(found)) for rule, found in candidates.items()), key=lambda r: -r[1])
    return pd.DataFrame(rows, columns=["rule", "candidates"]), damaged
