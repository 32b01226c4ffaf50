"""A report as files: report.html, leaderboard.md, figures/; tables as CSV, that of the runs as Parquet."""

import importlib.util
from pathlib import Path

from cifar_arch.outputs import require_place
from cifar_arch.report import tables
from cifar_arch.report.figures import FIGURES, report_figures
from cifar_arch.report.page import html
from cifar_arch.report.report import Report
from cifar_arch.runfolder import RunFolder, atomic
from cifar_arch.schema import ConfigError, install

PARQUET = "pyarrow"  # the package that writes it
FILES = ("runs.csv", "seeds.csv", "effects.csv", "runs.parquet", "leaderboard.md", "report.html")
BEST_RUNS = 100  # rows of leaderboard.md


def write(report: Report, to: Path) -> list[str]:
    """Writes the report and returns what could not be written, a sentence each.

    Raises ConfigError where `to` is no folder, or holds files that no report has written.
    """
    _require_free(to)
    hints = []
    for name, frame in {"runs": report.runs, "seeds": report.repeats, "effects": report.effects}.items():
        with atomic(to / f"{name}.csv") as temporary:
            frame.to_csv(temporary, index=False, encoding="utf-8")
    if importlib.util.find_spec(PARQUET):
        with atomic(to / "runs.parquet") as temporary:
            report.runs.to_parquet(temporary, index=False)
    else:
        hints.append(f"runs.parquet needs a package that is not installed: {install('report')}")
    with atomic(to / "leaderboard.md") as temporary:
        temporary.write_text(leaderboard(report), encoding="utf-8")
    figures = report_figures(report)
    for name, figure in figures.items():
        with atomic(to / "figures" / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=150)
    for name in set(FIGURES) - figures.keys():  # of an earlier report
        (to / "figures" / f"{name}.png").unlink(missing_ok=True)
    with atomic(to / "report.html") as temporary:
        temporary.write_text(html(report, figures), encoding="utf-8")
    return hints


def _require_free(to: Path) -> None:
    """Raises ConfigError for what is no folder, and for files of one that no report has written."""
    require_place(to)
    if RunFolder(to).summary.exists():  # a card has a seeds.csv of its own
        raise ConfigError(f"--to: {str(to)!r} holds a run or a card; name another folder for the report")
    taken = [name for name in FILES if (to / name).exists()]
    if taken and not _is_ours(to / FILES[0]):
        lack = "that no report wrote" if taken[0] == FILES[0] else f"without a report's {FILES[0]}"
        raise ConfigError(
            f"--to: {str(to)!r} holds a {taken[0]} {lack}; remove it, or name another folder for the report"
        )


def _is_ours(runs: Path) -> bool:
    """Whether a report wrote this table of runs, which it does first."""
    if not runs.is_file():
        return False
    with runs.open(encoding="utf-8", errors="replace") as table:
        return {"folder", "status", "params"} <= set(table.readline().strip().split(","))


def leaderboard(report: Report) -> str:
    """The notes and the best runs as Markdown."""
    lines = [f"- {tables.in_markdown(note)}" for note in report.notes]
    if len(report.runs) > BEST_RUNS:
        lines.append(f"- the first {BEST_RUNS} of {len(report.runs):,}; all are in runs.csv")
    body = tables.markdown(report.runs.head(BEST_RUNS), report.columns)
    return "# Leaderboard\n\n" + "\n".join(lines) + "\n\n" + body
