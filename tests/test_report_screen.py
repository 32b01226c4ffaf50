"""What the terminal shows, and what it leaves out where there is no room."""

from pathlib import Path

import pandas as pd
import pytest
from generated_runs import load_small_sweep, write_run, write_sweep

from cifar_arch.report import load_runs
from cifar_arch.report.files import leaderboard
from cifar_arch.report.report import Report
from cifar_arch.report.screen import fitting, screen
from cifar_arch.report.tables import text


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_small_sweep(tmp_path_factory.mktemp("screen"))


NARROWEST = "rank val_accuracy params folder"  # what a line is for stays in any case
KEPT = {
    200: "rank val_accuracy params receptive_field macs c4 t1 model.width epochs_done seconds status folder",
    120: "rank val_accuracy params receptive_field macs c4 t1 model.width status folder",
    100: "rank val_accuracy params receptive_field c4 t1 model.width folder",
    80: "rank val_accuracy params c4 t1 folder",
    20: NARROWEST,
}


@pytest.mark.parametrize(("room", "kept"), KEPT.items())
def test_a_line_is_no_wider_than_the_room(runs: pd.DataFrame, room: int, kept: str) -> None:
    report = Report.of(runs, Path("outputs"))
    assert " ".join(fitting(report.runs, report.columns, room)) == kept
    width = max(map(len, text(report.runs, kept.split()).splitlines()))
    assert width <= room or kept == NARROWEST


def test_the_status_stays_where_it_says_something(runs: pd.DataFrame) -> None:
    mixed = runs.assign(status=["completed"] * (len(runs) - 1) + ["pruned"])
    report = Report.of(mixed, Path("outputs"))
    assert fitting(report.runs, report.columns, 20) == [*NARROWEST.split()[:-1], "status", "folder"]


def test_the_text_of_a_run_does_not_steer_the_terminal(runs: pd.DataFrame) -> None:
    damaged = runs.assign(status="failed", reason="\x1b[2Jgone", accuracy=float("nan"))
    shown = screen(Report.of(damaged, Path("outputs")))
    assert "\x1b" not in shown
    assert ": \\x1b[2Jgone" in shown


@pytest.mark.parametrize("sort", ["macs", "-seconds", "c4"])
def test_the_column_that_is_sorted_by_stays(runs: pd.DataFrame, sort: str) -> None:
    report = Report.of(runs, Path("outputs"), sort)
    assert sort.lstrip("-") in fitting(report.runs, report.columns, 20, sort)


def test_what_is_left_out_is_said(runs: pd.DataFrame) -> None:
    report = Report.of(runs, Path("outputs"))
    assert "no room for MACs, epochs done, seconds, status: report.html has them" in screen(report, 100)
    assert "no room" not in screen(report)


@pytest.mark.parametrize(
    ("room", "heading", "left_out"),
    [
        (None, "mean accuracy std n parameters t1 width", []),
        (50, "mean accuracy std n parameters t1", ["no room for width: seeds.csv has them"]),
        (20, "mean accuracy std n parameters", ["no room for t1, width: seeds.csv has them"]),
    ],
)
def test_means_over_seeds_stand_with_their_designs(
    tmp_path: Path, room: int | None, heading: str, left_out: list[str]
) -> None:
    for number, (t1, width) in enumerate([("strided", 8), ("dilated", 16)]):
        for seed in (0, 1):
            folder = tmp_path / "runs" / f"{number}-{seed}"
            write_run(folder, 0.5 + 0.1 * number + 0.02 * seed, seed=seed, t1=t1, width=width)
    lines = screen(Report.of(load_runs(tmp_path), tmp_path), room).splitlines()
    place = lines.index("means over seeds:")
    assert " ".join(lines[place + 1].split()) == heading
    assert lines[place + 2].split()[:3] == ["61.00%", "1.41%", "2"]
    assert [line for line in lines if "seeds.csv" in line] == left_out


def test_what_is_more_than_a_screen_or_a_leaderboard_is_counted(runs: pd.DataFrame) -> None:
    many = pd.concat([runs] * 13, ignore_index=True)  # 104
    many.loc[many.index[:8], ["status", "reason"]] = ["failed", "broken"]
    report = Report.of(many, Path("outputs"))
    lines = screen(report).splitlines()
    assert lines.count("... and 89 more in runs.csv") == 1  # behind 15 runs
    assert lines[-1] == "... and 3 more in runs.csv"  # behind 5 failures
    assert "\n- the first 100 of 104; all are in runs.csv\n" in leaderboard(report)
    few = Report.of(runs, Path("outputs"))
    assert "more in runs.csv" not in screen(few)
    assert "all are in runs.csv" not in leaderboard(few)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    write_sweep(tmp_path, "s", {"width": [4, 6, 8, 10, 12, 16]}, lambda point: 0.5 + 0.01 * point["width"])
    for metrics in tmp_path.rglob("metrics.csv"):
        metrics.write_text("epoch,lr\n1,x\n", encoding="utf-8")
    (tmp_path / "sweeps" / "s" / "rejected.csv").write_bytes(b"\xff")
    lines = screen(Report.of(load_runs(tmp_path), tmp_path)).splitlines()
    assert lines[-6].startswith(f"unreadable: {tmp_path / 'sweeps' / 's' / 'rejected.csv'}: rejected.csv is")
    assert all("metrics.csv is not ours (" in line for line in lines[-5:-1])
    assert lines[-1] == "... and 2 more in report.html"  # of 7


def test_effects_stand_in_the_order_of_their_numbers_and_what_is_more_is_counted(tmp_path: Path) -> None:
    write_sweep(tmp_path, "s", {"width": [4, 6, 8, 10, 12, 16]}, lambda point: 0.5 + 0.01 * point["width"])
    lines = screen(Report.of(load_runs(tmp_path), tmp_path)).splitlines()
    place = lines.index("what a change does among runs that are equal in everything else:")
    named = [line.split(" +")[0].strip() for line in lines[place + 1 :]]
    assert named[:6] == [f"width: {a} to {b}" for a, b in ((4, 6), (4, 8), (4, 10), (4, 12), (4, 16), (6, 8))]
    assert named[12:] == ["... and 3 more in effects.csv"]  # of 15
