"""What a report says of the accuracies that it shows."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from generated_runs import write_run

from cifar_arch.record import Status
from cifar_arch.report import load_runs
from cifar_arch.report.effects import repeats
from cifar_arch.report.notes import notes

NONE = pd.DataFrame()


def said(runs: pd.DataFrame, means: pd.DataFrame = NONE, unequal: Sequence[str] = ()) -> list[str]:
    return list(notes(runs, means, unequal))


def of_target(runs: pd.DataFrame) -> list[str]:
    return [note for note in said(runs) if "target" in note]


def test_the_target_is_held_against_tested_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0.9)
    assert of_target(load_runs(tmp_path)) == []
    write_run(tmp_path / "b", 0.9, test=0.84)
    assert of_target(load_runs(tmp_path)) == [
        f"no tested run reaches its target; the best, {tmp_path / 'b'}, is 1.00 points below"
    ]
    write_run(tmp_path / "c", 0.8, test=0.86)
    assert of_target(load_runs(tmp_path)) == ["1 of 2 tested runs reached the target"]
    assert of_target(load_runs(tmp_path / "c")) == ["1 of 1 tested run reached the target"]


def test_the_notes_say_what_is_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0.9, pictures="shapes")
    left_out = "effects and groups leave these out; --where \"data == 'shapes'\" shows them alone"
    assert left_out not in said(load_runs(tmp_path))
    write_run(tmp_path / "b", 0.9)
    assert left_out in said(load_runs(tmp_path))


def test_the_notes_say_which_images_the_accuracies_are_of(tmp_path: Path) -> None:
    of_validation = "accuracy is that of the validation images"
    write_run(tmp_path / "a", 0.9)
    assert said(load_runs(tmp_path)) == [
        "1 run: 1 completed",
        f"{of_validation}, the test images were not read",
    ]
    write_run(tmp_path / "b", 0.9, test=0.86)
    assert said(load_runs(tmp_path))[1] == f"{of_validation}; the test images were read in 1 run"
    write_run(tmp_path / "c", None, test=0.8)
    assert said(load_runs(tmp_path))[1] == (
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
    (pruned,) = (note for note in said(runs) if "pruned run" in note and "effects" in note)
    assert pruned.startswith(
        "effects, means and groups leave out 1 pruned run, the poor ones: effects are too small"
    )
    assert not [note for note in said(runs[runs["status"] == "completed"]) if "effects" in note]
    single = "the ranking and the best run are of single seeds; the means over seeds tell designs apart"
    assert single in said(runs, repeats(runs))
    assert single not in said(runs, repeats(runs[:1]))


def test_what_is_not_compared_is_named_as_far_as_it_is_short(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0.9)
    runs = load_runs(tmp_path)
    note = "not compared, because with width=auto their parameters differ by more than 2%: a; b; c"
    assert said(runs, unequal=["a", "b", "c"]) == [*said(runs), note]
    assert said(runs, unequal=["a", "b", "c", "d", "e"]) == [*said(runs), f"{note}; 2 more"]
