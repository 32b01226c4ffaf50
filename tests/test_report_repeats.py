"""Runs that are equal but for the seed, as a mean with its spread."""

from pathlib import Path

import pytest
from generated_runs import write_run

from cifar_arch.report import load_runs
from cifar_arch.report.effects import repeats


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
