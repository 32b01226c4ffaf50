"""What reports compute with: means over seeds, their intervals, and which keys tell runs apart."""

import math
from pathlib import Path

import pytest
from generated_runs import write_run

from cifar_arch.compose import compose
from cifar_arch.provenance import flatten
from cifar_arch.record import decides_result
from cifar_arch.report import load_runs
from cifar_arch.report.effects import interval, repeats


def test_repeats_give_mean_std_and_n_over_seeds(tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        write_run(tmp_path / "runs" / str(seed), accuracy, seed=seed)
    write_run(tmp_path / "runs" / "other", 0.9, t1="dilated")
    (row,) = repeats(load_runs(tmp_path)).to_dict("records")
    assert (row["mean"], row["std"], row["n"]) == (pytest.approx(0.6), pytest.approx(0.1), 3)


def test_runs_of_an_equal_seed_are_no_repeats(tmp_path: Path) -> None:
    for number, (seed, accuracy) in enumerate([(0, 0.5), (1, 0.7), (0, 0.5), (1, 0.7)]):
        write_run(tmp_path / "runs" / str(number), accuracy, seed=seed)
    write_run(tmp_path / "runs" / "4", 0.9, seed=3, t1="dilated")
    write_run(tmp_path / "runs" / "5", 0.9, seed=3, t1="dilated")
    (row,) = repeats(load_runs(tmp_path)).to_dict("records")
    assert (row["mean"], row["std"], row["n"]) == (pytest.approx(0.6), pytest.approx(0.02**0.5), 2)


def test_designs_stand_beside_their_means(tmp_path: Path) -> None:
    for number, (t1, width) in enumerate([("strided", 8), ("strided", 16), ("dilated", 8)]):
        for seed in (0, 1):
            accuracy = 0.5 + 0.1 * number + 0.02 * seed
            write_run(tmp_path / "runs" / f"{number}-{seed}", accuracy, seed=seed, t1=t1, width=width)
    found = repeats(load_runs(tmp_path))
    assert list(found.columns[:6]) == ["mean", "std", "n", "accuracy_of", "t1", "model.width"]
    assert found[["t1", "model.width", "n"]].to_numpy().tolist() == [
        ["dilated", 8, 2],
        ["strided", 16, 2],
        ["strided", 8, 2],
    ]
    assert found["mean"].tolist() == pytest.approx([0.71, 0.61, 0.51])


def test_the_interval_is_students() -> None:
    mean, low, high = interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx((2.0, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-6)
    assert math.isnan(interval([1.0, 2.0])[1])


def test_a_config_key_that_decides_a_result_is_known_by_its_dot() -> None:
    undotted = {key for key, _ in flatten(compose()) if "." not in key and decides_result(key)}
    assert undotted == {"seed"}
