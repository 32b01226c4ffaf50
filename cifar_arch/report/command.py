"""python -m cifar_arch.report [outputs]: tables and figures over a folder of runs, finished or not.

Prints the best runs and writes report/: report.html, leaderboard.md, runs.csv, runs.parquet, figures/.
"""

import argparse
import importlib.util
import shutil
import sys
from pathlib import Path

import pandas as pd

from cifar_arch.report import effects, tables
from cifar_arch.report.runs import load_runs
from cifar_arch.report.where import closest, require_column, where
from cifar_arch.runfolder import atomic
from cifar_arch.schema import ConfigError
from cifar_arch.terminal import sentences

SHOWN = 15  # rows for the terminal
PARQUET = "pyarrow"  # the package that writes it
BEST_RUNS = 100  # rows of leaderboard.md


def main() -> None:
    """Exits with 2 for a mistake in what was typed, 1 where the report cannot be written."""
    with sentences():
        _report(_parser().parse_args())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cifar_arch.report", description=__doc__)
    parser.add_argument("outputs", nargs="?", default="outputs", type=Path, help="default: outputs")
    parser.add_argument("--study", help="only the runs of this study")
    parser.add_argument("--where", help="only runs such as \"params < 100_000 and t1 == 'dilated'\"")
    parser.add_argument(
        "--sort", default=tables.BEST_FIRST, help="a column, or -COLUMN downwards: --sort=-params"
    )
    parser.add_argument("--group-by", help="a column: mean, std and n for each of its values")
    parser.add_argument("--to", default="report", type=Path, help="folder to write to (default: report)")
    return parser


def _report(arguments: argparse.Namespace) -> None:
    runs = chosen(load_runs(arguments.outputs), arguments.outputs, arguments.study, arguments.where)
    require_column(runs, arguments.sort.lstrip("-"), "--sort")
    if arguments.group_by:
        require_column(runs, arguments.group_by, "--group-by")
    ranked = tables.ranking(runs, arguments.sort)
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(screen(ranked, arguments.group_by, room))
    hints = write(ranked, arguments.outputs, arguments.to, arguments.group_by)
    print(f"\nwritten to {arguments.to}: open {arguments.to / 'report.html'} in a browser", *hints, sep="\n")


def chosen(runs: pd.DataFrame, outputs: Path, study: str | None, condition: str | None) -> pd.DataFrame:
    """The runs to report. Raises ConfigError where none is left, or the study does not exist."""
    config = runs.attrs["config"]
    if not len(runs):
        raise ConfigError(
            f"outputs: no runs in {str(outputs)!r}; train one with python -m cifar_arch.run, "
            "or name the folder that holds yours"
        )
    if study is not None:
        names = sorted(set(runs["study"].dropna()))
        if study not in names:
            hint = closest(study, names) if names else "there are no studies here"
            raise ConfigError(f"--study: no study {study!r} in {str(outputs)!r}; {hint}")
        runs = runs[runs["study"] == study].reset_index(drop=True)
    if condition is not None:
        before = len(runs)
        runs = where(runs, condition)
        if not len(runs):
            raise ConfigError(f"--where: none of {before:,} runs keeps {condition!r}; loosen it")
    runs.attrs["config"] = config
    return runs


def screen(ranked: pd.DataFrame, group_by: str | None, room: int | None = None) -> str:
    """What the terminal shows, the best runs in lines of at most `room` characters."""
    parts = ["\n".join(tables.notes(ranked)), ""]
    head, columns = ranked.head(SHOWN), tables.shown_columns(ranked)
    fitting = tables.fitting(head, columns, room) if room else columns
    parts.append(tables.text(head, fitting))
    if left_out := [tables.label(name) for name in columns if name not in fitting]:
        parts.append(f"no room for {', '.join(left_out)}: report.html has them")
    if len(ranked) > SHOWN:
        parts.append(f"... and {len(ranked) - SHOWN:,} more in runs.csv")
    if group_by:
        parts += [
            "",
            tables.text(tables.grouped(ranked, group_by), [group_by, "mean", "std", "n", "accuracy"]),
        ]
    found = effects.paired_effects(ranked)
    if len(found):
        parts += ["", "what a change does among runs that are equal in everything else:"]
        parts += [f"  {line}" for line in effect_lines(found.head(12))]
    wrong = ranked[ranked["status"].isin(["failed", "unreadable"])]
    parts += [""] if len(wrong) else []
    parts += [
        f"{status}: {folder}: {str(reason).splitlines()[0]}"
        for status, folder, reason in wrong[["status", "folder", "reason"]].head(5).itertuples(index=False)
    ]
    parts += [f"... and {len(wrong) - 5:,} more in runs.csv"] if len(wrong) > 5 else []
    return "\n".join(parts)


def effect_lines(found: pd.DataFrame) -> list[str]:
    """An effect a line: t1: strided to dilated -1.20 points (95 % interval -2.00 to -0.40, n=12)."""
    lines = []
    for row in found.itertuples(index=False):
        size = f"95 % interval {100 * row.low:+.2f} to {100 * row.high:+.2f}, " if row.pairs >= 3 else ""
        few = ", too few for an interval" if row.pairs < 3 else ""
        change = f"{tables.label(row.factor)}: {row.baseline} to {row.level} {100 * row.effect:+.2f} points"
        lines.append(f"{change} ({size}n={row.pairs}{few})")
    return lines


def write(ranked: pd.DataFrame, outputs: Path, to: Path, group_by: str | None) -> list[str]:
    """Writes the report and returns what could not be written, a sentence each."""
    from cifar_arch.report.page import Page

    if to.exists() and not to.is_dir():
        raise ConfigError(f"--to: {str(to)!r} is no folder; name one that the report may be written to")
    to.mkdir(parents=True, exist_ok=True)
    table = ranked.copy()
    table.attrs = {}
    with atomic(to / "runs.csv") as temporary:
        table.to_csv(temporary, index=False)
    hints = []
    if importlib.util.find_spec(PARQUET):
        with atomic(to / "runs.parquet") as temporary:
            table.to_parquet(temporary, index=False)
    else:
        hints.append("runs.parquet needs a package that is not installed: uv sync --extra report")
    best, more = ranked.head(BEST_RUNS), len(ranked) - BEST_RUNS
    lines = [f"- {note}" for note in tables.notes(ranked)]
    lines += [f"- the first {BEST_RUNS} of {len(ranked):,}; all are in runs.csv"] if more > 0 else []
    body = tables.markdown(best, tables.shown_columns(ranked))
    with atomic(to / "leaderboard.md") as temporary:
        temporary.write_text("# Leaderboard\n\n" + "\n".join(lines) + "\n\n" + body)
    page = Page(ranked, outputs, group_by)
    for name, figure in page.figures.items():
        with atomic(to / "figures" / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=150)
    with atomic(to / "report.html") as temporary:
        temporary.write_text(page.html())
    return hints


if __name__ == "__main__":
    main()
