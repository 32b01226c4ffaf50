"""A report as the terminal shows it."""

from collections.abc import Mapping, Sequence

import pandas as pd

from cifar_arch.record import Status
from cifar_arch.report import tables
from cifar_arch.report.reading import UNREADABLE
from cifar_arch.report.report import Report
from cifar_arch.terminal import printable

MOST_RUNS, MOST_EFFECTS, MOST_FAILURES = 15, 12, 5
LEFT_OUT_FIRST = ("seconds", "epochs_done", "macs", "status", "seed", "data", "receptive_field")


def screen(report: Report, room: int | None = None) -> str:
    """All that is printed, the best runs in lines of at most `room` characters."""
    lines = [*report.notes, "", *_best_runs(report, room)]
    if report.group_by:
        columns = list(report.groups.columns)
        lines += ["", tables.text(report.groups, columns)]
    if len(report.repeats):
        lines += ["", "means over seeds:", *_means(report.repeats, room)]
    if len(report.effects):
        lines += ["", "what a change does among runs that are equal in everything else:"]
        lines += [f"  {line}" for line in effect_lines(report.effects.head(MOST_EFFECTS))]
        if (more := len(report.effects) - MOST_EFFECTS) > 0:
            lines.append(f"  ... and {more:,} more in effects.csv")
    if wrong := [*_failures(report.runs), *_unreadable(report.unreadable)]:
        lines += ["", *wrong]
    return printable("\n".join(lines))


def _best_runs(report: Report, room: int | None) -> list[str]:
    head = report.runs.head(MOST_RUNS)
    columns = fitting(head, report.columns, room, report.sort) if room else report.columns
    lines = [tables.text(head, columns)]
    if left_out := [tables.label(name) for name in report.columns if name not in columns]:
        lines.append(f"no room for {', '.join(left_out)}: report.html has them")
    if (more := len(report.runs) - MOST_RUNS) > 0:
        lines.append(f"... and {more:,} more in runs.csv")
    return lines


def _means(repeats: pd.DataFrame, room: int | None) -> list[str]:
    """Means, sizes and settings, the last of which are left out where there is no room."""
    head = repeats.head(MOST_RUNS)
    images = ["accuracy_of"] if (head["accuracy_of"] == "test").any() else []
    measured = ("mean", "std", "n", *images, "params")
    settings = [c for c in head if c not in (*measured, *LEFT_OUT_FIRST, "accuracy_of", "folder")]
    kept = list(settings)
    while room and kept and _width(head, [*measured, *kept]) > room:
        kept.pop()
    lines = [tables.text(head, [*measured, *kept])]
    if left_out := [tables.label(name) for name in settings[len(kept) :]]:
        lines.append(f"no room for {', '.join(left_out)}: seeds.csv has them")
    if (more := len(repeats) - MOST_RUNS) > 0:
        lines.append(f"... and {more:,} more in seeds.csv")
    return lines


def _width(frame: pd.DataFrame, columns: Sequence[str]) -> int:
    return max(map(len, tables.text(frame, columns).splitlines()))


def fitting(
    frame: pd.DataFrame, columns: Sequence[str], width: int, sort: str = tables.BEST_FIRST
) -> list[str]:
    """As many of the columns as fit in lines of `width` characters.

    The cost of a run is left out first, then its settings from the last one on; accuracies, parameters,
    the folder, the column that is sorted by, and the status where one is not completed, stay.
    """
    kept = list(columns)
    settings = [name for name in reversed(columns) if name not in (*tables.BASE, "folder", *LEFT_OUT_FIRST)]
    said = () if (frame["status"] == Status.COMPLETED).all() else ("status",)
    for name in (n for n in (*LEFT_OUT_FIRST, *settings) if n not in said):
        if _width(frame, kept) <= width:
            break
        if name in kept and name != sort.lstrip("-"):
            kept.remove(name)
    return kept


def effect_lines(effects: pd.DataFrame) -> list[str]:
    """An effect a line: t1: strided to dilated -1.20 points (95 % interval -2.00 to -0.40, n=12)."""
    lines = []
    for row in effects.itertuples(index=False):
        known = pd.notna(row.low)
        size = f"95 % interval {100 * row.low:+.2f} to {100 * row.high:+.2f}, " if known else ""
        few = "" if known else ", too few for an interval"
        change = f"{tables.label(row.factor)}: {row.baseline} to {row.level} {100 * row.effect:+.2f} points"
        lines.append(f"{change} ({size}n={row.pairs}{few})")
    return lines


def _failures(runs: pd.DataFrame) -> list[str]:
    """The first runs that failed or cannot be read, with the first line of the reason."""
    wrong = runs[runs["status"].isin([Status.FAILED, UNREADABLE])]
    lines = [
        f"{status}: {folder}: {str(reason).splitlines()[0]}"
        for status, folder, reason in wrong[["status", "folder", "reason"]].head(MOST_FAILURES).to_numpy()
    ]
    if (more := len(wrong) - MOST_FAILURES) > 0:
        lines.append(f"... and {more:,} more in runs.csv")
    return lines


def _unreadable(files: Mapping[str, str]) -> list[str]:
    """The first files that cannot be read beside a run's summary, such as metrics.csv, with the reason."""
    lines = [f"{UNREADABLE}: {path}: {reason}" for path, reason in files.items()]
    if (more := len(lines) - MOST_FAILURES) > 0:
        lines[MOST_FAILURES:] = [f"... and {more:,} more in report.html"]
    return lines
