"""What the report's figures show, read from the axes that they are drawn on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from generated_runs import edit_summary, write_run, write_sweep

from cifar_arch.record import Status
from cifar_arch.report import load_runs, tables
from cifar_arch.report.curves import load_curves
from cifar_arch.report.effects import importances, over_seeds, paired_effects
from cifar_arch.report.figures import (
    BLUE,
    GREY,
    accuracy_against,
    effect_bars,
    importance_bars,
    learning_curves,
    parallel_coordinates,
    rejected_bars,
    report_figures,
)
from cifar_arch.report.page import html
from cifar_arch.report.report import Report, read_rejections


def test_the_front_is_that_of_the_means_over_seeds(tmp_path: Path) -> None:
    widths: dict[str, list[Any]] = {"width": [8, 12, 16, 20]}
    seeds = (0, 1, 2)
    write_sweep(tmp_path / "outputs", "s", widths, lambda p: p["width"] / 50, noise=0.01, seeds=seeds)
    write_run(tmp_path / "outputs" / "runs" / "single", 0.6, width=24)  # has no standard deviation
    runs = tables.ranking(load_runs(tmp_path / "outputs"))
    means = runs.groupby("width")["accuracy"].agg(["mean", "std"])
    figure = accuracy_against(runs, "params")
    [axes] = figure.axes
    (front,) = [line for line in axes.lines if line.get_label() == "Pareto front, 5 of 5"]
    assert np.allclose(sorted(np.asarray(front.get_ydata())), 100 * means["mean"])
    (bars,) = axes.containers
    heights = [ends[:, 1] for ends in bars[2][0].get_segments()]
    assert np.allclose(sorted(high - low for low, high in heights), sorted(200 * means["std"].dropna()))
    figure.draw_without_rendering()
    (legend,) = figure.legends  # below, where it covers no point
    assert legend.get_window_extent().y1 <= axes.get_window_extent().y0


# What a limit is drawn as; that of the parameters is far from all points.
SIGNS = {"params": [], "macs": ["limit: <"], "latency_ms": ["limit: <"], "receptive_field": ["limit: >"]}


@pytest.mark.parametrize(("column", "signs"), SIGNS.items())
def test_a_limit_nearby_is_drawn_with_its_sign(tmp_path: Path, column: str, signs: list[str]) -> None:
    limits: dict[str, Any] = {"limits__macs_below": 2_000_000, "limits__params_below": 200_000}
    limits |= {"limits__receptive_field_above": 44, "limits__latency_ms_below": 1.1}
    for width, t1 in ((8, "strided"), (12, "dilated")):  # of one value alone there is no figure
        run = write_run(tmp_path / "outputs" / "runs" / t1, 0.5, width=width, t1=t1, **limits)
        edit_summary(run, latency_ms=width / 20)
    figures = report_figures(Report.of(load_runs(tmp_path / "outputs"), tmp_path / "outputs"))
    [axes] = figures[f"accuracy_{column}"].axes
    labels = [str(line.get_label()) for line in axes.lines]
    assert [text[:8] for text in labels if text.startswith("limit")] == signs


def test_figures_show_no_synthetic_runs_beside_others_and_no_single_column(tmp_path: Path) -> None:
    for width, accuracy, pictures in ((8, 0.5, "cifar10"), (12, 0.6, "cifar10"), (16, 0.99, "shapes")):
        folder = tmp_path / "outputs" / "runs" / str(width)
        write_run(folder, accuracy, pictures=pictures, width=width, epochs=2)
    figures = report_figures(Report.of(load_runs(tmp_path / "outputs"), tmp_path / "outputs"))
    assert "accuracy_params" in figures
    assert "accuracy_receptive_field" not in figures
    [axes] = figures["learning_curves"].axes
    assert sorted(np.asarray(line.get_ydata())[-1] for line in axes.lines) == [50, 60]


def test_a_curve_of_one_epoch_is_a_point(tmp_path: Path) -> None:
    for epochs in (1, 3):
        write_run(tmp_path / "outputs" / "runs" / str(epochs), epochs=epochs)
    runs = load_runs(tmp_path / "outputs")
    [axes] = learning_curves(runs, load_curves(runs)).axes
    assert {len(line.get_xdata()): line.get_marker() for line in axes.lines} == {1: ".", 3: "None"}  # type: ignore[arg-type]


@pytest.mark.parametrize(("runs", "title"), [(1, ""), (5, ""), (7, "the best 5 thick")])
def test_the_best_curves_are_told_from_others_where_there_are_some(
    tmp_path: Path, runs: int, title: str
) -> None:
    for number in range(runs):
        write_run(tmp_path / "outputs" / "runs" / str(number), 0.5 + number / 100)
    table = load_runs(tmp_path / "outputs")
    axes: Any
    [axes] = learning_curves(table, load_curves(table)).axes
    assert axes.get_legend().get_title().get_text() == title


@pytest.mark.parametrize("rates", [[0.01, 0.02, 0.03], [0.001, 0.01, 0.1]], ids=["near", "by factors"])
def test_an_axis_of_powers_is_logarithmic(tmp_path: Path, rates: list[Any]) -> None:
    write_sweep(
        tmp_path / "outputs", "s", {"training__lr": rates}, lambda point: float(point["training__lr"])
    )
    [axes, _] = parallel_coordinates(load_runs(tmp_path / "outputs"), ["training.lr"]).axes
    heights = [np.asarray(line.get_ydata())[0] for line in axes.lines if len(line.get_xdata()) == 1]  # type: ignore[arg-type]
    assert heights == pytest.approx([0, 0.5, 1], abs=0.03)  # what keeps equal lines apart
    assert [text.get_text() for text in axes.texts] == [str(rate) for rate in rates]


def test_null_has_its_place_on_an_axis(tmp_path: Path) -> None:
    write_sweep(tmp_path / "outputs", "s", {"model__stem": [None, 1, 3]}, lambda point: 0.5)
    [axes, _] = parallel_coordinates(load_runs(tmp_path / "outputs"), ["model.stem"]).axes
    assert sorted(text.get_text() for text in axes.texts) == ["1", "3", "null"]


def test_axes_that_end_alike_are_told_apart(tmp_path: Path) -> None:
    write_run(tmp_path / "outputs" / "runs" / "0")
    keys = ["augment.shift_scale_rotate.p", "augment.coarse_dropout.p", "training.lr"]
    axes = parallel_coordinates(load_runs(tmp_path / "outputs"), keys).axes[0]
    names = ["augment\nshift_scale_rotate\np", "augment\ncoarse_dropout\np", "lr"]
    assert [text.get_text() for text in axes.get_xticklabels()] == names


def test_equal_runs_are_no_spread(tmp_path: Path) -> None:
    for number in range(2):
        write_run(tmp_path / "outputs" / "runs" / str(number), 0.5 + number / 10)
    (row,) = over_seeds(load_runs(tmp_path / "outputs"), "params").to_dict("records")
    assert (row["accuracy"], row["n"]) == (pytest.approx(0.55), 1)


def test_with_width_auto_another_limit_is_another_point(tmp_path: Path) -> None:
    for seed, below in enumerate((30_000, 200_000)):
        folder = tmp_path / "outputs" / "runs" / str(seed)
        run = write_run(folder, seed=seed, width="auto", limits__params_below=below)
        edit_summary(run, architecture=str(below), params=below - 1)
    means = over_seeds(load_runs(tmp_path / "outputs"), "params")
    assert means["n"].tolist() == [1, 1]
    assert means["params"].nunique() == 2


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The width gives most, a dilated t1 costs 3 points, and what t2 does is lost in noise."""
    outputs = tmp_path_factory.mktemp("swept") / "outputs"
    kinds: list[Any] = ["strided", "dilated"]
    space: dict[str, list[Any]] = {"t1": kinds, "t2": kinds, "width": [8, 12]}

    def truth(point: dict[str, Any]) -> float:
        odd = (point["t1"] == "dilated") ^ (point["width"] == 12)  # t2 helps as often as it harms
        return (
            0.01 * point["width"]
            - 0.03 * (point["t1"] == "dilated")
            + (0.01 if odd else -0.01) * (point["t2"] == "dilated")
        )

    write_sweep(outputs, "s", space, truth)
    return load_runs(outputs)


def test_an_importance_is_a_bar_as_long_as_its_share_the_largest_on_top(swept: pd.DataFrame) -> None:
    table = importances(swept)
    [axes] = importance_bars(table).axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["t2", "t1", "width"]  # from the bottom upwards
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(100 * table["share"][::-1])  # type: ignore[attr-defined]
    assert axes.get_xlim() == (0, 100)


def test_an_effect_lies_on_its_side_of_nothing_and_is_grey_where_it_may_be_none(swept: pd.DataFrame) -> None:
    axes: Any
    [axes] = effect_bars(paired_effects(swept)).axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert sorted(names) == ["t1: strided to dilated", "t2: strided to dilated", "width: 8 to 12"]
    assert list(axes.lines[-1].get_xdata()) == [0, 0]  # the line of no effect
    found, colours = {}, {}
    for points, _, (intervals,) in axes.containers:
        for x, place, ends in zip(*points.get_data(), intervals.get_segments(), strict=True):
            name = names[round(place)].partition(":")[0]
            found[name], colours[name] = x, points.get_color()
            assert ends[:, 0].mean() == pytest.approx(x)
            assert (min(ends[:, 0]) < 0 < max(ends[:, 0])) == (name == "t2")
    assert found == pytest.approx({"t1": -3, "t2": 0, "width": 4})
    assert colours == {"t1": BLUE, "t2": GREY, "width": BLUE}


def test_the_axis_of_effects_is_named_within_the_figure_beside_long_names() -> None:
    levels = {"baseline": "dilated dilation=3", "level": "dilated_residual dilation=3"}
    row = {"factor": "c3", **levels, "effect": 0.01, "low": 0.0, "high": 0.02, "pairs": 3}
    figure = effect_bars(pd.DataFrame([row]))
    figure.draw_without_rendering()
    [axes] = figure.axes
    named = axes.xaxis.label.get_window_extent()
    assert figure.bbox.x0 <= named.x0
    assert named.x1 <= figure.bbox.x1


def test_each_rule_has_a_bar_of_the_candidates_that_it_rejected(tmp_path: Path) -> None:
    file = tmp_path / "sweeps" / "s" / "rejected.csv"
    file.parent.mkdir(parents=True)
    rows = ["0,head", "1,params", "2,params"]
    file.write_text("\n".join(["trial,rule", *rows, ""]), encoding="utf-8")
    [axes] = rejected_bars(read_rejections(tmp_path, {"s"})[0]).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["head", "params"]
    assert [bar.get_width() for bar in axes.patches] == [1, 2]  # type: ignore[attr-defined]
    assert all(place == round(place) for place in axes.get_xticks())  # there is no half a candidate


@pytest.mark.parametrize(("status", "headed"), [(Status.COMPLETED, True), (Status.FAILED, False)])
def test_a_heading_stands_where_there_are_figures(tmp_path: Path, status: Status, headed: bool) -> None:
    write_run(tmp_path / "outputs" / "runs" / "0", status=status)
    report = Report.of(load_runs(tmp_path / "outputs"), tmp_path / "outputs")
    assert ("<h2>Accuracy and cost</h2>" in html(report, report_figures(report))) == headed
