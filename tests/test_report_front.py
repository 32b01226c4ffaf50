"""Which runs a report marks as on the Pareto front."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from generated_runs import write_run

from cifar_arch.record import Status
from cifar_arch.report import load_runs
from cifar_arch.report.figures import report_figures
from cifar_arch.report.front import pareto
from cifar_arch.report.report import Report
from cifar_arch.report.screen import screen

BOTH = ["accuracy", "params"]
FAILED = {"status": Status.FAILED}
# objectives: the accuracy of each trial with its config, and the mark of each
MARKS: dict[str, tuple[Any, list[tuple[float, dict[str, Any]]], str]] = {
    "what nothing beats": (BOTH, [(0.5, {"width": 8}), (0.4, {"width": 12}), (0.6, {"width": 16})], "* *"),
    "equal ones": (BOTH, [(0.5, {"training__lr": 0.1}), (0.5, {"training__lr": 0.2})], "**"),
    "as good in one": (BOTH, [(0.5, {"width": 8}), (0.5, {"width": 12})], "* "),
    "three": ([*BOTH, "macs"], [(0.5, {"width": 8}), (0.4, {"width": 12}), (0.6, {"t1": "dilated"})], "* *"),
    "the mean of seeds": (
        BOTH,
        [(0.5, {"width": 8}), (0.1, {"width": 12, "seed": 0}), (0.7, {"width": 12, "seed": 1})],
        "*  ",
    ),
    "no mean without the failed": (
        BOTH,
        [(0.5, {"width": 8}), (0.7, {"width": 12}), (0.1, {"width": 12, "seed": 1, **FAILED})],
        "*--",
    ),
    "accuracy alone": (["accuracy"], [(0.5, {"width": 8}), (0.6, {"width": 12})], "--"),
    "none": (None, [(0.5, {})], "-"),
    "of another tool": (["speed", "size"], [(0.5, {})], "-"),
}


def write_study(outputs: Path, objectives: Any, trials: list[tuple[float, dict[str, Any]]]) -> pd.DataFrame:
    for number, (accuracy, config) in enumerate(trials):
        path = outputs / "sweeps" / "s" / str(number)
        write_run(path, accuracy, objectives=objectives, study="s", trial__number=number, **config)
    write_run(outputs / "runs" / "alone", 0.99, objectives=objectives)  # is no trial
    return load_runs(outputs)


@pytest.mark.parametrize("case", MARKS)
def test_a_trial_is_on_the_front_if_no_other_beats_its_mean(case: str, tmp_path: Path) -> None:
    objectives, trials, marks = MARKS[case]
    runs = write_study(tmp_path / "outputs", objectives, trials)
    shown = runs["front"].map({True: "*", False: " "}).fillna("-")
    assert "".join(shown[runs["source"] == "sweeps"]) == marks
    assert shown[runs["source"] == "runs"].tolist() == ["-"]


def test_the_front_is_marked_in_the_table_and_in_the_figures(tmp_path: Path) -> None:
    objectives, trials, _ = MARKS["the mean of seeds"]
    report = Report.of(write_study(tmp_path, objectives, trials).query("source == 'sweeps'"), tmp_path)
    lines = screen(report, 80).splitlines()
    (note,) = [line for line in lines if line.startswith("* on the Pareto front: ")]
    assert note.endswith(", in the mean over seeds; objectives=[accuracy,params]")
    assert [line.split()[:2] for line in lines if line[:4].strip() in ("1", "2")] == [
        ["1", "70.00%"],
        ["2", "*"],
    ]
    [axes] = report_figures(report)["accuracy_params"].axes
    (rings,) = [line for line in axes.lines if line.get_label() == "on the front of all objectives"]
    assert list(rings.get_ydata()) == [50]  # type: ignore[arg-type]


def test_the_front_holds_what_nothing_beats() -> None:
    runs = pd.DataFrame({"params": [1, 2, 2, 3, 4], "accuracy": [0.5, 0.4, 0.6, 0.6, 0.7]})
    assert pareto(runs, "params").to_numpy().tolist() == [[1, 0.5], [2, 0.6], [4, 0.7]]
