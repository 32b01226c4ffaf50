"""report.html: the whole report in one file that needs no network."""

import base64
import io
import re
import zlib
from collections.abc import Mapping
from html import escape
from typing import Any

import matplotlib
import msgspec
import pandas as pd
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from matplotlib.figure import Figure
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from cifar_arch.analysis import Row, table_rows
from cifar_arch.record import Status
from cifar_arch.report import tables
from cifar_arch.report.figures import MOST_EFFECTS, NAMES
from cifar_arch.report.reading import RUNNING, UNREADABLE
from cifar_arch.report.report import Report
from cifar_arch.runfolder import FigureName, RunFolder

MOST_ROWS = 500  # of the leaderboard; runs.csv has all
MOST_PROBLEMS = 50
PICTURES: dict[FigureName, str] = {
    "confusion_matrix": "Confusion matrix",
    "misclassified": "Misclassified, the surest first",
}


def html(report: Report, drawn: Mapping[str, Figure]) -> str:
    """The whole page with these figures."""
    environment = Environment(
        loader=PackageLoader("cifar_arch.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    runs, repeats, groups = report.runs, report.repeats, report.groups
    context = {
        "title": str(report.outputs),
        "notes": report.notes,
        "common": tables.settings_line(runs),
        "best": best_run(report),
        "leaderboard": sortable(runs.head(MOST_ROWS), report.columns),
        "hidden": max(0, len(runs) - MOST_ROWS),
        "group_by": report.group_by,
        "grouped": sortable(groups, list(groups.columns)) if report.group_by else None,
        "repeats": sortable(repeats, list(repeats.columns)) if len(repeats) else None,
        "effects": effect_rows(report.effects),
        "drawn_effects": MOST_EFFECTS,
        "no_shares": len(report.importances) and not report.importances["share"].any(),
        "problems": problems(report),
        "figures": {name: svg(figure, report.completed) for name, figure in drawn.items()},
    }
    return environment.get_template("report.html").render(context)


def effect_rows(effects: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "factor": tables.label(row.factor),
            "change": f"{row.baseline} → {row.level}",
            "effect": f"{100 * row.effect:+.2f}",
            "interval": f"{100 * row.low:+.2f} … {100 * row.high:+.2f}" if pd.notna(row.low) else "too few",
            "pairs": str(row.pairs),
            "sure": "sure" if row.low * row.high > 0 else "",
        }
        for row in effects.itertuples(index=False)
    ]


def problems(report: Report) -> list[tuple[str, str, str]]:
    """(status, path, reason) of the runs that did not complete, and of the files that cannot be read."""
    wrong = report.runs[report.runs["status"].isin([Status.FAILED, UNREADABLE, RUNNING])]
    head = wrong[["status", "folder", "reason"]].head(MOST_PROBLEMS)
    rows = [(str(status), str(name), str(reason)) for status, name, reason in head.to_numpy()]
    if (more := len(wrong) - MOST_PROBLEMS) > 0:
        rows.append(("...", f"{more:,} more in runs.csv", ""))
    return [*rows, *((UNREADABLE, name, reason) for name, reason in report.unreadable.items())]


def best_run(report: Report) -> dict[str, Any] | None:
    """The most accurate run, with its pictures and its layer table; None without any."""
    if not len(report.completed):
        return None
    row = tables.ranking(report.completed).iloc[0]
    folder = RunFolder(row["folder"])
    pictures = {}
    for name, title in PICTURES.items():
        file = folder.figure(name)
        if file.is_file():
            pictures[title] = base64.b64encode(file.read_bytes()).decode()
    facts = ("val_accuracy", "test_accuracy", "params", "receptive_field", "macs", "epochs_done", "seed")
    return {
        "folder": row["folder"],
        "data": NAMES.get(row["data"], row["data"]),
        "command": None if pd.isna(row["command"]) else row["command"],
        "facts": {tables.label(n): tables.cell(n, row[n]) for n in facts if not pd.isna(row[n])},
        "pictures": pictures,
        "images": "validation" if pd.isna(row["test_accuracy"]) else "test",  # that the pictures are of
        "layers": layer_rows(folder),
    }


def sortable(frame: pd.DataFrame, columns: list[str]) -> dict[str, Any]:
    """Headings and rows of (text, key to sort by)."""
    texts = tables.cells(frame, columns)
    values = zip(*(frame[name].astype(object) for name in columns), strict=True)
    return {
        "columns": [
            {"label": tables.label(n), "number": is_numeric_dtype(frame[n]) and not is_bool_dtype(frame[n])}
            for n in columns
        ],
        "rows": [
            [(text, "" if pd.isna(v) else v) for text, v in zip(line, row, strict=True)]
            for line, row in zip(texts, values, strict=True)
        ],
    }


def layer_rows(folder: RunFolder) -> list[dict[str, Any]]:
    """The lines of the layer table, from architecture.json; none where it cannot be read."""
    try:
        layers = msgspec.convert(folder.read_json(folder.architecture)["layers"], list[Row])
    except (OSError, ValueError, KeyError, msgspec.ValidationError):
        return []
    return [
        {
            "name": row.name,
            "output": "x".join(map(str, row.out_shape)),
            "kernel": f"{row.kernel}x{row.kernel}" if row.kind == "conv" else "",
            "stride": row.stride or "",
            "dilation": row.dilation or "",
            "groups": row.groups or "",
            "params": f"{params:,}",
            "macs": f"{row.macs:,}",
            "field": row.receptive_field,
        }
        for row, params in table_rows(layers)
    ]


def svg(figure: Figure, done: pd.DataFrame) -> Markup:
    """The figure as an element of the page, its points linked to their rows and named on hover."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    titles = {
        str(rank): f"{folder}: {accuracy:.2%}, {params:,} parameters"
        for rank, folder, accuracy, params in done[["rank", "folder", "accuracy", "params"]].itertuples(
            index=False
        )
        if not pd.isna(params)
    }

    def named(match: re.Match[str]) -> str:
        row = f' href="#run-{match[1]}"' if int(match[1]) <= MOST_ROWS else ""
        # The keyboard reaches the rows in the table, without a stop at every point of every figure.
        return f'<a{row} tabindex="-1"><title>{escape(titles.get(match[1], ""))}</title>'

    text = re.sub(r'<a xlink:href="#run-(\d+)"[^>]*>', named, text)
    widest = f"{1.25 * figure.get_figwidth():.1f}in"  # larger, its letters would be out of proportion
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', rf'\1 style="max-width: {widest}"', text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return Markup(_own_ids(text, f"f{zlib.crc32(text.encode())}"))


def _own_ids(text: str, prefix: str) -> str:
    """The ids of one figure made different from those of the others on the page."""
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'(xlink:href="#)(?!run-)', rf"\1{prefix}-", text)
    return re.sub(r"url\(#", f"url(#{prefix}-", text)
