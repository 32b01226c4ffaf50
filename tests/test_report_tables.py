"""The leaderboard: its order and its columns."""

from pathlib import Path

import pandas as pd
import pytest
from generated_runs import load_small_sweep, write_run

from cifar_arch.record import Status
from cifar_arch.report import load_runs
from cifar_arch.report.effects import repeats
from cifar_arch.report.tables import (
    grouped,
    markdown,
    not_compared,
    notes,
    of_single_runs,
    ranking,
    shown_columns,
    target_line,
    text,
)

END = ["epochs_done", "seconds", "status", "folder"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_small_sweep(tmp_path_factory.mktemp("tables"))


# sort: the column that it adds
ADDED = {"-accuracy": [], "accuracy": [], "params": [], "-images_per_second": ["images_per_second"]}


@pytest.mark.parametrize(("sort", "added"), ADDED.items())
def test_what_differs_is_shown_and_what_is_sorted_by(runs: pd.DataFrame, sort: str, added: list[str]) -> None:
    first = ["rank", "val_accuracy", "params", "receptive_field", "macs", *added]
    assert shown_columns(ranking(runs, sort), sort) == [*first, "c4", "t1", "model.width", *END]


ORDERED = pd.DataFrame(
    [
        ("pruned", "cifar10", "validation", 0.99),
        ("completed", "shapes", "validation", 0.98),
        ("completed", "cifar10", "test", 0.97),
        ("completed", "cifar10", "validation", 0.6),
        ("completed", "cifar10", "validation", 0.7),
        ("unreadable", None, None, None),
    ],
    columns=["status", "data", "accuracy_of", "accuracy"],
).assign(folder=list("012345"))


@pytest.mark.parametrize(("sort", "order"), [("-accuracy", "432105"), ("accuracy", "342105")])
def test_the_best_has_validation_accuracy_and_is_complete(sort: str, order: str) -> None:
    assert "".join(ranking(ORDERED, sort)["folder"]) == order


def test_a_group_is_of_runs_to_learn_from_and_one_of_those_without_the_setting() -> None:
    groups = grouped(ORDERED.assign(c4=["plain"] * 4 + [None] * 2), "c4")
    assert groups[["mean", "n"]].to_numpy().tolist() == [[0.7, 1], [0.6, 1]]


def test_on_a_terminal_numbers_stand_to_the_right() -> None:
    frame = pd.DataFrame({"c4": ["plain", "x"], "params": [1000, 5]})
    assert text(frame, ["c4", "params"]).splitlines()[1:] == ["plain       1,000", "x               5"]


def test_a_foreign_config_may_have_a_key_named_rank(tmp_path: Path) -> None:
    write_run(tmp_path / "a", rank=7)
    assert ranking(load_runs(tmp_path))["rank"].tolist() == [1]


def test_markdown_shows_text_as_it_stands(tmp_path: Path) -> None:
    frame = pd.DataFrame({"folder": ["<script>alert(1)</script>|a\r\nb"], "params": [1]})
    line = markdown(frame, ["folder", "params"]).splitlines()[2]
    assert line == "| &lt;script&gt;alert(1)&lt;/script&gt;\\|a b | 1 |"


def test_the_target_is_held_against_tested_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0.9)
    assert target_line(load_runs(tmp_path)) is None
    write_run(tmp_path / "b", 0.9, test=0.84)
    assert target_line(load_runs(tmp_path)) == (
        f"no tested run reaches its target; the best, {tmp_path / 'b'}, is 1.00 points below"
    )
    write_run(tmp_path / "c", 0.8, test=0.86)
    assert target_line(load_runs(tmp_path)) == "1 of 2 tested runs reached the target"
    assert target_line(load_runs(tmp_path / "c")) == "1 of 1 tested run reached the target"


def test_the_notes_say_what_is_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0.9, pictures="shapes")
    left_out = "effects and groups leave these out; --where \"data == 'shapes'\" shows them alone"
    assert left_out not in notes(load_runs(tmp_path))
    write_run(tmp_path / "b", 0.9)
    assert left_out in notes(load_runs(tmp_path))


def test_the_notes_say_which_images_the_accuracies_are_of(tmp_path: Path) -> None:
    of_validation = "accuracy is that of the validation images"
    write_run(tmp_path / "a", 0.9)
    assert notes(load_runs(tmp_path)) == [
        "1 run: 1 completed",
        f"{of_validation}, the test images were not read",
    ]
    write_run(tmp_path / "b", 0.9, test=0.86)
    assert notes(load_runs(tmp_path))[1] == f"{of_validation}; the test images were read in 1 run"
    write_run(tmp_path / "c", None, test=0.8)
    assert notes(load_runs(tmp_path))[1] == (
        f"{of_validation}, or of the test images where a run has no others; "
        "the test images were read in 2 runs"
    )


def test_the_notes_say_what_pruning_and_single_seeds_do(tmp_path: Path) -> None:
    for number in range(3):
        write_run(
            tmp_path / str(number),
            0.5,
            seed=number,
            status=Status.PRUNED if number == 2 else Status.COMPLETED,
        )
    runs = load_runs(tmp_path)
    (pruned,) = (note for note in notes(runs) if "pruned run" in note and "effects" in note)
    assert pruned.startswith(
        "effects, means and groups leave out 1 pruned run, the poor ones: effects are too small"
    )
    assert not [note for note in notes(runs[runs["status"] == "completed"]) if "effects" in note]
    (single,) = of_single_runs(repeats(runs))
    assert single.startswith("the ranking and the best run are of single seeds")
    assert of_single_runs(repeats(runs[:1])) == []


def test_what_is_not_compared_is_named_as_far_as_it_is_short() -> None:
    note = "not compared, because with width=auto their parameters differ by more than 2%: a; b; c"
    assert not_compared(["a", "b", "c"]) == [note]
    assert not_compared(["a", "b", "c", "d", "e"]) == [f"{note}; 2 more"]
    assert not_compared([]) == []
