"""What the report's figures show, read from the axes that they are drawn on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from generated_runs import edit_summary, write_run, write_sweep

from cifar_arch.report import load_runs, tables
from cifar_arch.report.curves import load_curves
from cifar_arch.report.effects import over_seeds
from cifar_arch.report.figures import (
    accuracy_against,
    learning_curves,
    parallel_coordinates,
    pareto,
)


def test_the_front_is_that_of_the_means_over_seeds(tmp_path: Path) -> None:
    widths: dict[str, list[Any]] = {"width": [8, 12, 16, 20]}
    seeds = (0, 1, 2)
    write_sweep(tmp_path / "outputs", "s", widths, lambda p: p["width"] / 50, noise=0.01, seeds=seeds)
    runs = tables.ranking(load_runs(tmp_path / "outputs"))
    means = runs.groupby("width")["accuracy"].agg(["mean", "std"])
    figure = accuracy_against(runs, "params")
    [axes] = figure.axes
    (front,) = [line for line in axes.lines if line.get_label() == "Pareto front, 4 of 4"]
    assert np.allclose(sorted(np.asarray(front.get_ydata())), 100 * means["mean"])
    (bars,) = axes.containers
    heights = [ends[:, 1] for ends in bars[2][0].get_segments()]
    assert np.allclose(sorted(high - low for low, high in heights), sorted(200 * means["std"]))
    figure.draw_without_rendering()
    (legend,) = figure.legends  # below, where it covers no point
    assert legend.get_window_extent().y1 <= axes.get_window_extent().y0


@pytest.mark.parametrize(("column", "sign"), {"params": "<", "macs": "<", "receptive_field": ">"}.items())
def test_a_limit_is_drawn_with_its_sign(tmp_path: Path, column: str, sign: str) -> None:
    limits: dict[str, Any] = {"limits__macs_below": 2_000_000, "limits__params_below": 200_000}
    limits["limits__receptive_field_above"] = 44
    for seed in (0, 1):
        write_run(tmp_path / "outputs" / "runs" / str(seed), 0.5 + seed / 10, seed=seed, **limits)
    [axes] = accuracy_against(tables.ranking(load_runs(tmp_path / "outputs")), column).axes
    labels = [str(line.get_label()) for line in axes.lines]
    assert [text[:8] for text in labels if text.startswith("limit")] == [f"limit: {sign}"]


def test_a_curve_of_one_epoch_is_a_point(tmp_path: Path) -> None:
    for epochs in (1, 3):
        write_run(tmp_path / "outputs" / "runs" / str(epochs), epochs=epochs)
    runs = load_runs(tmp_path / "outputs")
    [axes] = learning_curves(runs, load_curves(runs)).axes
    assert {len(line.get_xdata()): line.get_marker() for line in axes.lines} == {1: ".", 3: "None"}  # type: ignore[arg-type]


def test_null_has_its_place_on_an_axis(tmp_path: Path) -> None:
    write_sweep(tmp_path / "outputs", "s", {"model__stem": [None, 1, 3]}, lambda point: 0.5)
    [axes, _] = parallel_coordinates(load_runs(tmp_path / "outputs"), ["model.stem"]).axes
    assert sorted(text.get_text() for text in axes.texts) == ["1", "3", "null"]


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


def test_the_front_holds_what_nothing_beats() -> None:
    runs = pd.DataFrame({"params": [1, 2, 2, 3, 4], "accuracy": [0.5, 0.4, 0.6, 0.6, 0.7]})
    assert pareto(runs, "params").to_numpy().tolist() == [[1, 0.5], [2, 0.6], [4, 0.7]]
