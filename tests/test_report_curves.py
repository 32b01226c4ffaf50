"""The epochs of all runs as one table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from generated_runs import write_run

from cifar_arch.record import Epoch
from cifar_arch.report import load_curves, load_runs
from cifar_arch.report.curves import read_curves


def test_curves_are_a_long_table(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", 0.6, epochs=3)
    write_run(tmp_path / "runs" / "b", 0.3, epochs=2)
    curves = load_curves(tmp_path)
    assert curves["epoch"].tolist() == [1, 2, 3, 1, 2]
    assert curves["val_accuracy"].to_numpy() == pytest.approx(np.array([0.2, 0.4, 0.6, 0.15, 0.3]))
    chosen = load_curves(load_runs(tmp_path).query("accuracy > 0.5"))
    assert chosen["folder"].unique().tolist() == [str(tmp_path / "runs" / "a")]


def test_a_broken_curve_is_named_and_the_others_are_there(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", epochs=2)
    broken = write_run(tmp_path / "runs" / "b")
    broken.metrics.write_text("epoch,lr\n1,fast\n", encoding="utf-8")
    assert load_curves(tmp_path)["epoch"].tolist() == [1, 2]
    curves = read_curves(load_runs(tmp_path)["folder"])
    pd.testing.assert_frame_equal(curves.table, load_curves(tmp_path))
    assert list(curves.unreadable) == [str(broken.path)]
    assert curves.unreadable[str(broken.path)].startswith("metrics.csv is not ours (")


def test_a_run_without_validation_has_empty_cells(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a")
    run.write_metrics([Epoch(1, 0.1, 2.0, 0.3, None, None, 1.5, 900.0)])
    curves = load_curves(tmp_path)
    assert curves[["epoch", "train_accuracy", "images_per_second"]].to_numpy().tolist() == [[1, 0.3, 900.0]]
    assert curves[["val_loss", "val_accuracy"]].isna().all(axis=None)
