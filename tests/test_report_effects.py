"""Effects that are known beforehand are found again in generated runs."""

import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from generated_runs import Changes, edit_summary, write_run, write_sweep

from cifar_arch.compose import compose
from cifar_arch.provenance import flatten
from cifar_arch.report import load_runs
from cifar_arch.report.effects import compared, importances, paired_effects, repeats
from cifar_arch.report.settings import swept
from cifar_arch.report.tables import cells
from cifar_arch.runfolder import RunFolder

KINDS = ["strided", "dilated"]


def effect(outputs: Path, factor: str, baseline: str, level: str) -> dict[str, Any]:
    table = paired_effects(load_runs(outputs))
    chosen = table[(table["factor"] == factor) & (table["baseline"] == baseline) & (table["level"] == level)]
    (row,) = chosen.to_dict("records")
    return row


def truth(point: Changes) -> float:
    """t1 costs 3 points, t2 gives 1, a separable C4 gives 2; the width gives a lot."""
    return (
        0.6
        - 0.03 * (point.get("t1") == "dilated")
        + 0.01 * (point.get("t2") == "dilated")
        + 0.02 * (point.get("c4") == "separable")
        + 0.01 * (point.get("width", 8) - 8)
    )


SPACE: dict[str, list[Any]] = {"t1": KINDS, "t2": KINDS, "c4": ["plain", "separable"], "width": [8, 12]}


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("exact")
    write_sweep(outputs, "s", SPACE, truth)
    return outputs


# (factor, baseline, level): the change in accuracy
EXACT = {
    ("t1", "strided", "dilated"): -0.03,
    ("t2", "strided", "dilated"): 0.01,
    ("c4", "plain", "separable"): 0.02,
    ("model.width", "8", "12"): 0.04,
}


@pytest.mark.parametrize(("change", "accuracy"), EXACT.items(), ids=[" ".join(change) for change in EXACT])
def test_without_noise_the_truth_comes_out(
    exact: Path, change: tuple[str, str, str], accuracy: float
) -> None:
    row = effect(exact, *change)
    assert row["pairs"] == 8
    assert (row["effect"], row["low"], row["high"]) == pytest.approx((accuracy,) * 3, abs=1e-9)


def test_fields_that_a_record_does_not_name_tell_no_runs_apart(tmp_path: Path) -> None:
    """Those of blocks, which a config that was written in Python may leave out."""
    write_sweep(tmp_path, "s", SPACE, truth, seeds=(0, 1))
    later = re.compile(r"model\.(t\d\.separable|c\d\.(kernel|squeeze|preactivation))")
    for place in sorted((tmp_path / "sweeps" / "s").iterdir())[::3]:
        folder = RunFolder(place)
        config = json.loads(folder.summary.read_text(encoding="utf-8"))["config"]
        edit_summary(folder, config={k: v for k, v in config.items() if not later.fullmatch(k)})
    for change, accuracy in EXACT.items():
        row = effect(tmp_path, *change)
        assert (row["pairs"], row["effect"]) == (16, pytest.approx(accuracy))
    assert set(repeats(load_runs(tmp_path))["n"]) == {2}


def test_a_frame_that_a_user_filtered_or_extended_will_do(exact: Path) -> None:
    runs = load_runs(exact)
    runs["thousands"] = runs["params"] / 1000
    table = paired_effects(runs[runs["width"] == 8].sort_values("params")).set_index("factor")
    assert table["effect"].to_dict() == pytest.approx({"t1": -0.03, "t2": 0.01, "c4": 0.02})
    assert table["pairs"].tolist() == [4, 4, 4]


def test_nothing_else_is_a_factor(exact: Path) -> None:
    assert set(paired_effects(load_runs(exact))["factor"]) == {"t1", "t2", "c4", "model.width"}
    assert swept(load_runs(exact)) == ["c4", "t1", "t2", "model.width"]


def test_all_transitions_at_once(tmp_path: Path) -> None:
    space = dict.fromkeys(("t1", "t2", "t3"), KINDS)
    write_sweep(tmp_path, "s", space, lambda p: 0.5 + 0.01 * list(p.values()).count("dilated"))
    row = effect(tmp_path, "t1, t2 and t3", "strided", "dilated")
    assert (row["pairs"], row["effect"]) == (1, pytest.approx(0.03))
    assert math.isnan(row["low"])  # one pair has no interval


def test_noise_widens_the_interval_around_the_truth(tmp_path: Path) -> None:
    write_sweep(tmp_path, "s", SPACE, truth, noise=0.01, seeds=(0, 1, 2))
    row = effect(tmp_path, "t1", "strided", "dilated")
    assert row["pairs"] == 24
    assert row["low"] < -0.03 < row["high"] < 0
    assert 0.005 < row["high"] - row["low"] < 0.03


def test_runs_that_differ_in_anything_else_are_no_pair(tmp_path: Path) -> None:
    others: dict[str, Changes] = {
        "seed": {"seed": 1},
        "recipe": {"training__lr": 0.2},
        "data": {"pictures": "shapes"},
        "split": {"data__validation": 500},
        "both": {"t2": "dilated"},
    }
    write_run(tmp_path / "runs" / "a", 0.5, t1="strided")
    for name, changes in others.items():
        write_run(tmp_path / "runs" / name, 0.5, t1="dilated", **changes)
    table = paired_effects(load_runs(tmp_path))
    assert "t1" not in set(table["factor"])
    # How and where a run was made, and which ones were wanted, does not part a pair.
    same: Changes = {
        "study": "x",
        "training__device": "cpu",
        "read_test": False,
        "limits__params_below": 100_000,
    }
    write_run(tmp_path / "runs" / "pair", 0.6, t1="dilated", **same)
    assert effect(tmp_path, "t1", "strided", "dilated")["pairs"] == 1


def test_neither_test_images_nor_synthetic_images_join_validated_runs_in_an_effect(tmp_path: Path) -> None:
    for width, accuracy in ((8, 0.7), (12, 0.75)):
        write_run(tmp_path / f"shapes-{width}", accuracy / 2, pictures="shapes", width=width)
        write_run(tmp_path / f"tested-{width}", None, test=0.9, width=width, data__validation=0)
    assert effect(tmp_path, "model.width", "8", "12")["effect"] == 0  # alone, they may be looked at
    for width, accuracy in ((8, 0.7), (12, 0.75)):
        write_run(tmp_path / f"validated-{width}", accuracy, width=width)
    row = effect(tmp_path, "model.width", "8", "12")
    assert (row["effect"], row["pairs"]) == (pytest.approx(0.05), 1)
    assert set(paired_effects(load_runs(tmp_path))["factor"]) == {"model.width"}


def test_with_width_auto_pairs_are_equal_in_parameters(tmp_path: Path) -> None:
    folders = {}
    for c4 in ("plain", "separable", "dilated"):
        folders[c4] = write_run(tmp_path / "runs" / c4, 0.5, c4=c4, width="auto")
    edit_summary(folders["plain"], params=199_000)
    edit_summary(folders["separable"], params=197_000)
    edit_summary(folders["dilated"], params=180_000)
    table = paired_effects(load_runs(tmp_path))
    assert table[["baseline", "level"]].to_numpy().tolist() == [["plain", "separable"]]
    unequal = compared(load_runs(tmp_path))[1]
    assert unequal == [f"c4 dilated and {other}" for other in ("plain", "separable")]


def limited(outputs: Path, width: int | str) -> None:
    """Runs that differ in their limit on the parameters, and in the seed."""
    for seed, below in enumerate((30_000, 200_000)):
        for c4 in ("plain", "separable"):
            accuracy = 0.5 + 0.1 * seed + 0.02 * (c4 == "separable")
            changes: Changes = {"limits__params_below": below, "seed": 0 if c4 == "plain" else seed}
            run = write_run(outputs / "runs" / f"{c4}-{seed}", accuracy, c4=c4, width=width, **changes)
            edit_summary(run, architecture=f"{c4} {below if width == 'auto' else width}")


def test_with_width_auto_another_limit_is_another_network(tmp_path: Path) -> None:
    limited(tmp_path / "auto", "auto")
    limited(tmp_path / "fixed", 8)
    auto, fixed = (load_runs(tmp_path / name) for name in ("auto", "fixed"))
    assert repeats(auto).empty
    assert repeats(fixed)["n"].tolist() == [2]
    for run in (tmp_path / "auto" / "runs").iterdir():  # of an equal seed a pair under the first limit alone
        edit_summary(RunFolder(run), params=1)
    row = effect(tmp_path / "auto", "c4", "plain", "separable")
    assert (row["effect"], row["pairs"]) == (pytest.approx(0.02), 1)


def test_residual_at_equal_layers_is_pooled_over_the_stages(tmp_path: Path) -> None:
    for number, (c2, c3) in enumerate(itertools.product([False, True], repeat=2)):
        write_run(
            tmp_path / "runs" / str(number),
            0.5 + 0.02 * c2 + 0.04 * c3,
            model__c2__residual=c2,
            model__c3__residual=c3,
        )
    row = effect(tmp_path, "residual, at equal layers", "without", "residual")
    assert (row["pairs"], row["effect"]) == (4, pytest.approx(0.03))
    # As a block at its stage it is there too, with its two layers said.
    assert effect(tmp_path, "c3", "dilated x2", "dilated_residual")["effect"] == pytest.approx(0.04)


@pytest.mark.parametrize("status", ["pruned", "failed"])
def test_unfinished_runs_are_no_evidence(tmp_path: Path, status: str) -> None:
    write_run(tmp_path / "runs" / "a", t1="strided")
    edit_summary(write_run(tmp_path / "runs" / "b", t1="dilated"), status=status)
    assert len(paired_effects(load_runs(tmp_path))) == 0


def test_null_is_a_level_like_any_other(tmp_path: Path) -> None:
    space: dict[str, list[Any]] = {"training__clip": [None, 1], "t1": KINDS}
    write_sweep(tmp_path, "s", space, lambda point: 0.5 + 0.02 * (point["training__clip"] == 1))
    (tmp_path / "sweeps" / "s" / "9").mkdir()  # neither null nor 1, as its config is not known
    (tmp_path / "sweeps" / "s" / "9" / "summary.json").write_text("{", encoding="utf-8")
    runs = load_runs(tmp_path)
    assert "training.clip" in swept(runs)
    assert effect(tmp_path, "training.clip", "1", "null")["effect"] == pytest.approx(-0.02)
    assert importances(runs).set_index("setting")["share"]["training.clip"] == pytest.approx(1)
    assert cells(runs, ["training.clip"]) == [["null"], ["null"], ["1"], ["1"], [""]]


# (field, its values, each 2 points better than the one before): baseline, level and change of a pair
FIELDS: dict[tuple[str, tuple[Any, ...]], tuple[str, str, float]] = {
    ("stem", (None, 1, 3)): ("1", "null", -0.02),
    ("c4__squeeze", (None, 4)): ("4", "null", -0.02),
    ("c4__kernel", (3, 5)): ("3", "5", 0.02),
}


@pytest.mark.parametrize(("field", "pair"), FIELDS.items(), ids=str)
def test_fields_that_no_form_names_are_settings(
    tmp_path: Path, field: tuple[str, tuple[Any, ...]], pair: tuple[str, str, float]
) -> None:
    (name, values), (baseline, level, change) = field, pair
    key = f"model__{name}"
    space: dict[str, list[Any]] = {key: list(values), "t1": KINDS}
    write_sweep(tmp_path, "s", space, lambda point: 0.5 + 0.02 * values.index(point[key]))
    setting = key.replace("__", ".")
    assert setting in swept(load_runs(tmp_path))
    assert effect(tmp_path, setting, baseline, level)["effect"] == pytest.approx(change)


def test_a_network_without_a_width_is_compared_too(tmp_path: Path) -> None:
    write_sweep(tmp_path, "s", {"width": [8, 12]}, lambda point: 0.5 + 0.01 * point["width"])
    reference = compose(["model=reference"])["model"]
    run = write_run(tmp_path / "runs" / "a")
    edit_summary(run, config={"seed": 0, "data.name": "cifar10", **dict(flatten({"model": reference}))})
    assert effect(tmp_path, "model.width", "8", "12")["effect"] == pytest.approx(0.04)


def test_one_is_one_whether_written_as_a_float_or_not(tmp_path: Path) -> None:
    for number, multipliers in enumerate([[1, 1, 2, 3], [1.0, 1.0, 2.0, 3.0]]):
        write_run(tmp_path / "runs" / str(number), seed=number, model__multipliers=multipliers)
    runs = load_runs(tmp_path)
    assert runs["model.multipliers"].tolist() == ["[1,1,2,3]"] * 2
    assert swept(runs) == []


def test_importances_rank_what_moves_the_accuracy(exact: Path) -> None:
    shares = importances(load_runs(exact)).set_index("setting")["share"]
    assert list(shares.index)[:2] == ["model.width", "t1"]
    # Of the variance 0.02^2 + 0.015^2 + 0.01^2 + 0.005^2 the width makes the first part.
    explained = 0.02**2 / (0.02**2 + 0.015**2 + 0.01**2 + 0.005**2)
    assert shares["model.width"] == pytest.approx(1 - (1 - explained) * 15 / 14)


@pytest.mark.parametrize("function", [paired_effects, repeats, importances])
def test_no_runs_give_an_empty_table(tmp_path: Path, function: Any) -> None:
    assert len(function(load_runs(tmp_path))) == 0
    write_run(tmp_path / "runs" / "a")
    assert len(function(load_runs(tmp_path))) == 0
