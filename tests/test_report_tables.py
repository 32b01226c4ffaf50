"""The leaderboard: what it shows, and what it leaves out where there is no room."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from generated_runs import write_run, write_sweep

from cifar_arch.report import command, load_runs
from cifar_arch.report.tables import fitting, ranking, shown_columns, target_line, text

END = ["epochs_done", "seconds", "status", "folder"]
SIZES = ["params", "receptive_field", "macs"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    outputs = tmp_path_factory.mktemp("tables") / "outputs"
    space: dict[str, list[Any]] = {
        "t1": ["strided", "dilated"],
        "c4": ["plain", "separable_residual"],
        "width": [8, 12],
    }
    write_sweep(outputs, "s", space, lambda p: 0.5 + 0.01 * p["width"])
    table = load_runs(outputs)
    table["folder"] = [f"outputs/sweeps/s/{trial}" for trial in table["trial"]]
    return table


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("-accuracy", ["rank", "val_accuracy", *SIZES]),
        ("params", ["rank", "val_accuracy", *SIZES]),
        ("-images_per_second", ["rank", "val_accuracy", *SIZES, "images_per_second"]),
    ],
)
def test_what_differs_is_shown_and_what_is_sorted_by(runs: pd.DataFrame, sort: str, first: list[str]) -> None:
    assert shown_columns(ranking(runs, sort)) == [*first, "c4", "t1", "model.width", *END]


ROOM = [
    (
        200,
        "rank val_accuracy params receptive_field macs c4 t1 model.width epochs_done seconds status folder",
    ),
    (120, "rank val_accuracy params receptive_field macs c4 t1 model.width status folder"),
    (100, "rank val_accuracy params receptive_field c4 t1 model.width folder"),
    (80, "rank val_accuracy params c4 t1 folder"),
    (20, "rank val_accuracy params folder"),
]


@pytest.mark.parametrize(("room", "kept"), ROOM, ids=[str(room) for room, _ in ROOM])
def test_a_line_is_no_wider_than_the_room(runs: pd.DataFrame, room: int, kept: str) -> None:
    ranked = ranking(runs)
    assert " ".join(fitting(ranked, shown_columns(ranked), room)) == kept
    width = max(map(len, text(ranked, kept.split()).splitlines()))
    assert width <= room or kept == ROOM[-1][1]  # what a line is for stays in any case


@pytest.mark.parametrize("column", ["macs", "seconds", "c4"])
def test_the_column_that_is_sorted_by_stays(runs: pd.DataFrame, column: str) -> None:
    ranked = ranking(runs, column)
    assert column in fitting(ranked, shown_columns(ranked), 20)


def test_what_is_left_out_is_said(runs: pd.DataFrame) -> None:
    seen = command.screen(ranking(runs), None, 100)
    assert "no room for MACs, epochs done, seconds, status: report.html has them" in seen
    assert "no room" not in command.screen(ranking(runs), None)


def test_the_target_is_held_against_tested_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0.9)
    assert target_line(load_runs(tmp_path)) is None
    write_run(tmp_path / "b", 0.9, test=0.84)
    assert target_line(load_runs(tmp_path)) == (
        f"no tested run reaches its target; the best, {tmp_path / 'b'}, is 1.00 points below"
    )
    write_run(tmp_path / "c", 0.8, test=0.86)
    assert target_line(load_runs(tmp_path)) == "1 of 2 tested runs reach their target"
