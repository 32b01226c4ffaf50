"""python -m cifar_arch.report [outputs]: tables and figures over a folder of runs, finished or not.

It prints the best runs and writes report/: report.html, leaderboard.md, figures/, runs.parquet, and CSV files
of the runs, the means over seeds and the effects.
"""

import argparse
import contextlib
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_arch.outputs import typed_path
from cifar_arch.schema import ConfigError
from cifar_arch.terminal import counted, exit_on_errors

if TYPE_CHECKING:
    import pandas as pd


def main() -> None:
    """Exits with 2 for a mistake in what was typed, 1 where the report cannot be written."""
    with exit_on_errors():
        _report(_parser().parse_args(_joined(sys.argv[1:])))


def _joined(words: list[str]) -> list[str]:
    """`--sort -params` as --sort=-params, where argparse would read two options."""
    for place in (i for i, word in enumerate(words[:-1]) if word == "--sort"):
        if re.match(r"-\w", words[place + 1]):
            return [*words[:place], f"--sort={words[place + 1]}", *words[place + 2 :]]
    return words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cifar_arch.report", description=__doc__)
    parser.add_argument("outputs", nargs="?", default="outputs", type=typed_path, help="default: outputs")
    parser.add_argument("--study", help="only the runs of this study")
    parser.add_argument("--where", help="only runs such as \"params < 100_000 and t1 == 'dilated'\"")
    parser.add_argument("--sort", help="a column; -COLUMN is descending: --sort=-params (default: -accuracy)")
    parser.add_argument("--group-by", help="a column: mean, std and n for each of its values")
    parser.add_argument(
        "--to", default="report", type=typed_path, help="folder to write to (default: report)"
    )
    return parser


def _report(arguments: argparse.Namespace) -> None:
    from cifar_arch.report.filter import require_column  # with pandas, which --help need not wait for
    from cifar_arch.report.report import Report
    from cifar_arch.report.runs import load_runs
    from cifar_arch.report.screen import screen
    from cifar_arch.report.tables import BEST_FIRST

    sort = arguments.sort or BEST_FIRST
    runs = chosen(load_runs(arguments.outputs), arguments.outputs, arguments.study, arguments.where)
    require_column(runs, sort.lstrip("-"), "--sort")
    if arguments.group_by:
        require_column(runs, arguments.group_by, "--group-by")
        if arguments.group_by == "accuracy":
            raise ConfigError("--group-by: the groups are compared in accuracy; name another, such as c4")
    report = Report.of(runs, arguments.outputs, sort, arguments.group_by)
    with contextlib.suppress(BrokenPipeError):  # as after `| head`: the files are written all the same
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(screen(report, width), flush=True)

    from cifar_arch.report.files import write  # with matplotlib: nothing to wait for after a mistake

    hints = write(report, arguments.to)
    print(f"\nwritten to {arguments.to}: open {arguments.to / 'report.html'} in a browser", *hints, sep="\n")


def chosen(runs: "pd.DataFrame", outputs: Path, study: str | None, condition: str | None) -> "pd.DataFrame":
    """The runs to report. Raises ConfigError where none is left, or the study does not exist."""
    from cifar_arch.report.filter import closest, filter_runs

    if not len(runs):
        raise ConfigError(
            f"outputs: no runs in {str(outputs)!r}; train one with python -m cifar_arch.run, "
            "or name the folder that holds yours"
        )
    if study is not None:
        names = sorted(set(runs["study"].dropna()))
        if study not in names:
            raise ConfigError(f"--study: no study {study!r} in {str(outputs)!r}; {closest(study, names)}")
        runs = runs[runs["study"] == study].reset_index(drop=True)
    if condition is None:
        return runs
    left = filter_runs(runs, condition)
    if not len(left):
        raise ConfigError(f"--where: none of {counted(len(runs), 'run')} meets {condition!r}; relax it")
    return left
