"""report.html: everything in one file that needs no network."""

import base64
import csv
import io
import re
import zlib
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import msgspec
import pandas as pd
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from matplotlib.figure import Figure

from cifar_arch.analysis import Row, table_rows
from cifar_arch.report import effects, figures, tables
from cifar_arch.report.runs import load_curves
from cifar_arch.runfolder import RunFolder

MOST_ROWS = 500  # of the leaderboard; runs.csv has all
PICTURES = {"confusion_matrix": "Confusion matrix", "misclassified": "Misclassified, the surest first"}


class Page:
    """The contents of a report of ranked runs."""

    def __init__(self, ranked: pd.DataFrame, outputs: Path, group_by: str | None):
        self.runs, self.outputs, self.group_by = ranked, outputs, group_by
        self.done = effects.compared(ranked)
        self.effects = effects.paired_effects(ranked)
        self.importances = effects.importances(ranked)
        self.rejected, self.broken = rejections(outputs, ranked)
        self.curves = load_curves(_with_curves(ranked))
        self.broken |= self.curves.attrs["unreadable"]
        self.figures = dict(self._draw())

    def _draw(self) -> Iterable[tuple[str, Figure]]:
        real = self.done["data"] != "shapes"
        shown = self.done[real] if real.any() else self.done
        for column in ("params", "receptive_field", "macs"):
            if shown[column].notna().any():
                yield f"accuracy_{column}", figures.accuracy_against(shown, column)
        if self.curves["val_accuracy"].notna().any():
            yield "learning_curves", figures.learning_curves(self.runs, self.curves)
        if len(self.importances):
            yield "importances", figures.importance_bars(self.importances)
        main = effects.main_part(self.done)
        keys = effects.swept(main)
        if len(keys) > 1:
            yield "parallel_coordinates", figures.parallel_coordinates(main, keys)
        if len(self.effects):
            yield "paired_effects", figures.effect_bars(self.effects)
        if len(self.rejected):
            yield "rejected", figures.rejected_bars(self.rejected)

    def html(self) -> str:
        environment = Environment(
            loader=PackageLoader("cifar_arch.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        repeats = effects.repeats(self.runs)
        context = {
            "title": str(self.outputs),
            "notes": tables.notes(self.runs),
            "common": tables.settings_line(self.runs),
            "best": self._best(),
            "leaderboard": table(self.runs.head(MOST_ROWS), tables.shown_columns(self.runs)),
            "hidden": max(0, len(self.runs) - MOST_ROWS),
            "group_by": self.group_by,
            "grouped": self._grouped(),
            "repeats": table(repeats, list(repeats.columns)) if len(repeats) else None,
            "effects": self._effect_rows(),
            "problems": self._problems(),
            "figures": {name: svg(figure, self.done) for name, figure in self.figures.items()},
        }
        return environment.get_template("report.html").render(context)

    def _grouped(self) -> dict[str, Any] | None:
        if not self.group_by:
            return None
        return table(
            tables.grouped(self.runs, self.group_by), [self.group_by, "mean", "std", "n", "accuracy"]
        )

    def _effect_rows(self) -> list[dict[str, str]]:
        return [
            {
                "factor": tables.label(row.factor),
                "change": f"{row.baseline} → {row.level}",
                "effect": f"{100 * row.effect:+.2f}",
                "interval": f"{100 * row.low:+.2f} … {100 * row.high:+.2f}" if row.pairs >= 3 else "too few",
                "pairs": str(row.pairs),
                "sure": "sure" if row.pairs >= 3 and row.low * row.high > 0 else "",
            }
            for row in self.effects.itertuples(index=False)
        ]

    def _problems(self) -> list[tuple[str, str, str]]:
        """(status, folder, reason) of what did not complete, and of files that could not be read."""
        wrong = self.runs[self.runs["status"].isin(["failed", "unreadable", "running"])]
        head = wrong[["status", "folder", "reason"]].head(50)
        rows = [(str(status), str(name), str(reason)) for status, name, reason in head.to_numpy()]
        return [*rows, *(("unreadable", name, reason) for name, reason in self.broken.items())]

    def _best(self) -> dict[str, Any] | None:
        """The first completed run of the ranking, with its pictures and its layer table."""
        if not len(self.done):
            return None
        row = self.done.iloc[0]
        folder = RunFolder(row["folder"])
        pictures = {}
        for name, title in PICTURES.items():
            file = folder.plots / f"{name}.png"
            if file.is_file():
                pictures[title] = base64.b64encode(file.read_bytes()).decode()
        facts = ("val_accuracy", "test_accuracy", "params", "receptive_field", "macs", "epochs_done", "seed")
        return {
            "folder": row["folder"],
            "data": figures.NAMES.get(row["data"], row["data"]),
            "facts": {tables.label(n): tables.cell(n, row[n]) for n in facts if not pd.isna(row[n])},
            "pictures": pictures,
            "layers": layer_rows(folder),
        }


def _with_curves(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs whose curves are drawn: the first ones, pruned ones among them."""
    half = figures.MOST_CURVES // 2
    completed = runs[runs["status"] == "completed"].head(half)
    return runs.loc[[*completed.index, *runs[runs["status"].isin(["pruned", "running"])].head(half).index]]


def rejections(outputs: Path, runs: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """(rule, candidates) over the rejected.csv of all studies of the runs, and which cannot be read."""
    counts: dict[str, set[tuple[str, str]]] = {}
    broken = {}
    studies = set(runs["study"].dropna())
    for file in sorted(
        {
            *outputs.glob("sweeps/*/rejected.csv"),
            *outputs.glob("*/rejected.csv"),
            *outputs.glob("rejected.csv"),
        }
    ):
        if file.parent.name in studies:
            try:
                with file.open(newline="") as lines:
                    for row in csv.DictReader(lines, strict=True):
                        counts.setdefault(row["rule"], set()).add((file.parent.name, row["trial"]))
            except (OSError, ValueError, KeyError, csv.Error) as error:
                broken[str(file)] = f"rejected.csv is damaged ({error or type(error).__name__})"
    rows = sorted(((str(rule), len(found)) for rule, found in counts.items()), key=lambda r: -r[1])
    return pd.DataFrame(rows, columns=["rule", "candidates"]), broken


def table(frame: pd.DataFrame, columns: list[str]) -> dict[str, Any]:
    """Headings and rows of (text, key to sort by) for the page."""
    texts = tables.cells(frame, columns)
    values = list(zip(*(frame[name].astype(object) for name in columns), strict=True))
    return {
        "columns": [
            {"label": tables.label(n), "number": pd.api.types.is_numeric_dtype(frame[n])} for n in columns
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
        return f'<a href="#run-{match[1]}"><title>{escape(titles.get(match[1], ""))}</title>'

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
