"""Report -> matplotlib figures, drawn small enough to be read on a phone."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from cifar_arch.data import SYNTHETIC
from cifar_arch.record import Status
from cifar_arch.report.effects import main_part, over_seeds
from cifar_arch.report.front import pareto
from cifar_arch.report.report import Report
from cifar_arch.report.settings import levels_of, ordered, swept
from cifar_arch.report.tables import label, ranking
from cifar_arch.terminal import percent

BLUE, ORANGE, GREY = "#2563a8", "#d9822b", "#8a8f98"
SHADES = "viridis_r"  # the best dark, for light lines hardly show; where the page is dark it is turned around
SIZE = (5.8, 4.0)  # inches
WIDE = (11.8, 4.0)  # across the page
MARKERS = {"cifar10": "o", SYNTHETIC: "s"}
NAMES = {"cifar10": "CIFAR-10", SYNTHETIC: "synthetic data set (never counts)"}
BEST_CURVES = 5
MOST_EFFECTS = 24
FRONT_FROM = 3  # points; a line through fewer says nothing
FAR = 2  # times the largest network: a limit beyond that would press all points together
MANY_TIMES = 20  # as large: an axis is logarithmic, for else most of its values would lie at one end


class Axis(NamedTuple):
    """What accuracies are drawn against."""

    label: str
    scale: float  # of its units to those of the label
    limit: str  # the key of its limit
    least: bool = False  # whether that is what a network has to exceed, so that more is no cost


AXES = {
    "params": Axis("trainable parameters (thousands)", 1e3, "limits.params_below"),
    "receptive_field": Axis(
        "receptive field of the last map (px)", 1, "limits.receptive_field_above", least=True
    ),
    "macs": Axis("multiply-adds (millions)", 1e6, "limits.macs_below"),
    "latency_ms": Axis("latency of one image (ms)", 1, "limits.latency_ms_below"),
}

# The names of all figures, of which a report has those that its runs give anything for.
FIGURES = (
    *(f"accuracy_{column}" for column in AXES),
    *("learning_curves", "importances", "parallel_coordinates", "paired_effects", "rejected"),
)


def report_figures(report: Report) -> dict[str, Figure]:
    """Every figure that the runs give anything for, by the name of its file."""
    return dict(_figures(report))


def _figures(report: Report) -> Iterator[tuple[str, Figure]]:
    shown, runs, curves = report.completed, report.runs, report.curves
    if (shown["data"] != SYNTHETIC).any():
        shown, runs = (some[some["data"] != SYNTHETIC] for some in (shown, runs))
        curves = curves[curves["folder"].isin(runs["folder"])]
    for column in AXES:
        if shown[column].nunique() > (column != "params"):  # a column of points says nothing
            yield f"accuracy_{column}", accuracy_against(shown, column)
    if curves.loc[curves["epoch"] > 1, "val_accuracy"].notna().any():
        yield "learning_curves", learning_curves(runs, curves)
    if report.importances["share"].any():  # else the page says why there is none
        yield "importances", importance_bars(report.importances)
    main = main_part(report.completed)
    if len(columns := swept(main)) > 1:
        yield "parallel_coordinates", parallel_coordinates(main, columns)
    if len(report.effects):
        yield "paired_effects", effect_bars(report.effects)
    if len(report.rejections):
        yield "rejected", rejected_bars(report.rejections)


def _axes(height: float = SIZE[1], **labels: Any) -> tuple[Figure, Any]:
    """Of a figure as wide as a phone, and so many inches high."""
    figure = Figure(figsize=(SIZE[0], height), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.25)
    axes.set(**labels)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def accuracy_against(done: pd.DataFrame, column: str) -> Figure:
    """A point for each completed run, the limit as a line, and for costs the Pareto front.

    Where there are seeds, the front is that of the means, whose standard deviations are shown. Test
    accuracies are hollow and have a front of their own: they are of other images, and mostly of longer
    training. A point links to #run-N of the page, N being its rank.
    """
    figure, axes = _axes(xlabel=AXES[column].label, ylabel="accuracy (%)")
    scale = AXES[column].scale
    for (data, images), group in done[done[column].notna()].groupby(["data", "accuracy_of"]):
        tested = images == "test"
        x, y = group[column].astype(float) / scale, 100 * group["accuracy"]
        points = axes.scatter(
            x,
            y,
            s=34,
            marker=MARKERS.get(str(data), "^"),
            alpha=0.75,
            linewidths=1.4 if tested else 0.4,
            facecolors="none" if tested else BLUE,
            edgecolors=ORANGE if tested else "white",
            label=f"{NAMES.get(str(data), data)}, {images}",
            zorder=3,
        )
        points.set_urls([f"#run-{rank}" for rank in group["rank"]])
        _means_and_front(axes, over_seeds(group, column, "front"), column, ORANGE if tested else BLUE)
    _limit_lines(axes, done, column)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def _means_and_front(axes: Any, means: pd.DataFrame, column: str, colour: str) -> None:
    """Where there are several seeds the means with their standard deviations; for costs the Pareto front.

    Rings around the front of a sweep with several objectives.
    """

    def at(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
        return rows[column].astype(float) / AXES[column].scale, 100 * rows["accuracy"]

    several = means[means["n"] > 1]  # one seed has no standard deviation
    if len(several):
        look = {"fmt": "D", "markersize": 4, "color": colour, "capsize": 3, "linewidth": 1, "zorder": 4}
        axes.errorbar(*at(several), 100 * several["std"], **look, label="mean and std over seeds")
    front = pareto(means, column)
    if not AXES[column].least and len(front) >= FRONT_FROM:
        look = {"where": "post", "color": colour, "linewidth": 3, "alpha": 0.3}
        axes.step(*at(front), **look, label=f"Pareto front, {len(front):,} of {len(means):,}")
    ringed = means[means["front"].fillna(False)]
    if len(ringed):
        look = {"markersize": 10, "markerfacecolor": "none", "color": "black", "linewidth": 0}
        axes.plot(*at(ringed), marker="o", **look, label="on the front of all objectives")


def _limit_lines(axes: Any, done: pd.DataFrame, column: str) -> None:
    _, scale, key, least = AXES[column]
    far = math.inf if least else FAR * done[column].max()
    for limit in sorted(v for v in set(done[key].dropna()) if v <= far) if key in done else ():
        text = f"limit: {'>' if least else '<'} {limit:,}"
        axes.axvline(limit / scale, color=GREY, linestyle="--", linewidth=1, label=text)
    held = done[done["data"] != SYNTHETIC]["target_accuracy"].dropna()
    for target in sorted(set(held)):
        name = f"target {percent(target)} (test)"
        axes.axhline(100 * target, color=ORANGE, linestyle=":", linewidth=1.4, label=name)


def learning_curves(runs: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Validation accuracy by epoch: the best runs thick, the others and the pruned ones thin."""
    figure, axes = _axes(xlabel="epoch", ylabel="validation accuracy (%)")
    by_folder = dict(list(curves.dropna(subset=["val_accuracy"]).groupby("folder")))
    seen = runs[runs["folder"].isin(by_folder)]
    completed = seen[seen["status"] == Status.COMPLETED]
    best = list(ranking(completed)["folder"])[:BEST_CURVES]  # whatever the report is sorted by
    styles = {Status.COMPLETED: (BLUE, "completed"), Status.PRUNED: (ORANGE, "pruned")}
    labelled = set()
    for folder, status in zip(seen["folder"], seen["status"], strict=True):
        rows = by_folder[folder]
        colour, name = styles.get(status, (GREY, "running"))
        thick = folder in best
        axes.plot(
            rows["epoch"].astype(float),
            100 * rows["val_accuracy"],
            color=colour,
            linewidth=2 if thick else 0.9,
            alpha=0.95 if thick else 0.45,
            zorder=3 if thick else 2,
            marker="x" if status == Status.PRUNED else "." if len(rows) == 1 else None,
            markevery=[-1],
            markersize=5,
            label=None if name in labelled else name,
        )
        labelled.add(name)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=8, title=f"the best {len(best)} thick" * (len(best) < len(seen)), title_fontsize=8)
    return figure


def importance_bars(table: pd.DataFrame) -> Figure:
    """A bar for each setting: the share of variance that it accounts for by itself."""
    shown = table.head(12).iloc[::-1]
    figure, axes = _axes(xlabel="share of the accuracy's variance (%)")
    bars = axes.barh(shown["setting"].map(label), 100 * shown["share"], color=BLUE)
    axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
    axes.set_xlim(0, 100)
    return figure


def effect_bars(table: pd.DataFrame) -> Figure:
    """Mean differences with their intervals, around the line of no effect."""
    shown = table.head(MOST_EFFECTS).iloc[::-1]
    height = max(SIZE[1], 0.32 * len(shown) + 1)
    figure, axes = _axes(height)
    # From the right end: centred, it would leave the figure where long names make the axis short.
    axes.set_xlabel("change in accuracy (points, 95 % interval)", loc="right")
    places = np.arange(len(shown))
    effect = 100 * shown["effect"].to_numpy(float)
    low, high = (100 * shown[name].to_numpy(float) for name in ("low", "high"))
    error = np.nan_to_num(np.vstack([effect - low, high - effect]))
    sure = (low > 0) | (high < 0)
    for mask, colour in ((sure, BLUE), (~sure, GREY)):
        axes.errorbar(
            effect[mask], places[mask], xerr=error[:, mask], fmt="o", color=colour, capsize=3, markersize=5
        )
    axes.axvline(0, color="black", linewidth=0.8)
    names = [
        f"{label(f)}: {a} to {b}"
        for f, a, b in zip(shown["factor"], shown["baseline"], shown["level"], strict=True)
    ]
    axes.set_yticks(places, names, fontsize=8)
    return figure


def parallel_coordinates(done: pd.DataFrame, columns: list[str]) -> Figure:
    """A line for each completed run over its settings, coloured by accuracy, the best dark and on top."""
    columns = columns[:8]
    figure = Figure(figsize=WIDE, layout="constrained")
    axes = figure.subplots()
    order = done.sort_values("accuracy").tail(300)
    heights = np.empty((len(order), len(columns)))
    for place, name in enumerate(columns):
        heights[:, place], ticks = _height(order, name)
        for at, text in ticks:
            axes.annotate(
                text,
                (place, at),
                fontsize=7,
                ha="center",
                va="bottom",
                zorder=5,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
            )
    accuracy = 100 * order["accuracy"].to_numpy(float)
    scale = Normalize(
        accuracy.min(), accuracy.max() if accuracy.max() > accuracy.min() else accuracy.min() + 1
    )
    jitter = np.random.default_rng(0).uniform(-0.02, 0.02, heights.shape)
    for row, value in zip(heights + jitter, accuracy, strict=True):
        axes.plot(row, color=colormaps[SHADES](scale(value)), linewidth=1.1, alpha=0.7)
    names = [label(name).replace(".", "\n") for name in columns]  # whole: several may end in p
    axes.set_xticks(range(len(columns)), names, fontsize=8)
    axes.set_yticks([])
    axes.set_ylim(-0.06, 1.12)
    for place in range(len(columns)):
        axes.axvline(place, color=GREY, linewidth=0.7)
    axes.spines[:].set_visible(False)
    figure.colorbar(ScalarMappable(scale, SHADES), ax=axes, label="accuracy (%)", pad=0.02)
    return figure


def _height(runs: pd.DataFrame, name: str) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Where each run's value stands on an axis of 0 to 1, and what is written there."""
    column = runs[name]
    if pd.api.types.is_float_dtype(column) or (
        pd.api.types.is_numeric_dtype(column) and column.nunique() > 8
    ):
        values = column.to_numpy(float, na_value=np.nan)
        low, high = np.nanmin(values), np.nanmax(values)
        middle, heights = (low + high) / 2, (values - low) / ((high - low) or 1)
        if high > MANY_TIMES * low > 0:
            middle, heights = np.sqrt(low * high), np.log(values / low) / np.log(high / low)
        return heights, [(0.0, f"{low:.3g}"), (0.5, f"{middle:.3g}"), (1.0, f"{high:.3g}")]
    values = ["none" if pd.isna(level) else level for level in levels_of(runs, name)]
    kinds = sorted(set(values), key=ordered)
    last = max(1, len(kinds) - 1)
    place = {kind: index / last for index, kind in enumerate(kinds)}
    return np.array([place[v] for v in values]), [(at, str(kind)) for kind, at in place.items()]


def rejected_bars(table: pd.DataFrame) -> Figure:
    """How many candidates each rule rejected before training."""
    shown = table.iloc[::-1]
    height = max(1.6, 0.4 * len(shown) + 0.9)
    figure, axes = _axes(height, xlabel="candidates rejected before training")
    bars = axes.barh(shown["rule"], shown["candidates"], color=ORANGE)
    axes.bar_label(bars, padding=3, fontsize=9)
    axes.margins(x=0.1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure
