"""A second look at a folder reads only what changed, and says what a first one would."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from generated_runs import edit_summary, write_run, write_sweep

from cifar_arch.blocks import BLOCKS, Plain
from cifar_arch.report import cache, load_runs, runs


def test_a_second_look_reads_no_summary_again_and_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(tmp_path, "s", {"width": [8, 16]}, lambda point: 0.5)
    first = load_runs(tmp_path)

    def forbidden(path: Path) -> None:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(runs, "read_run", forbidden)
    pd.testing.assert_frame_equal(load_runs(tmp_path), first)
    with pytest.raises(AssertionError, match="was read again"):
        load_runs(tmp_path, use_cache=False)


def test_the_cache_sees_what_changed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a", 0.5)
    other = write_run(tmp_path / "runs" / "b", 0.4)
    load_runs(tmp_path)
    edit_summary(run, val_accuracy=0.7)
    os.utime(run.summary, ns=(0, 0))  # another time than before, however coarse the clock
    write_run(tmp_path / "runs" / "c", 0.1)
    other.summary.unlink()
    frame = load_runs(tmp_path)
    assert frame["accuracy"].tolist() == pytest.approx([0.7, 0.4, 0.1])
    assert frame["status"].tolist() == ["completed", "running", "completed"]


@pytest.mark.parametrize("content", [b"", b"\x93\x63", b"nonsense", b"\xff" * 100])
def test_a_damaged_cache_is_replaced(tmp_path: Path, content: bytes) -> None:
    write_run(tmp_path / "runs" / "a")
    first = load_runs(tmp_path)
    (tmp_path / cache.NAME).write_bytes(content)
    pd.testing.assert_frame_equal(load_runs(tmp_path), first)
    assert (tmp_path / cache.NAME).read_bytes() != content


def test_a_column_changes_its_type_with_its_values(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", width=8)
    assert str(load_runs(tmp_path)["model.width"].dtype) == "Int64"
    write_run(tmp_path / "runs" / "b", width="auto", training__lr=1)
    assert load_runs(tmp_path)["model.width"].tolist() == ["8", "auto"]
    assert load_runs(tmp_path)["training.lr"].tolist() == [0.06, 1.0]  # numbers, though of two types
    shutil.rmtree(tmp_path / "runs" / "b")
    assert load_runs(tmp_path)["model.width"].tolist() == [8]


def test_the_cache_follows_the_name_that_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "outputs" / "runs" / "a")
    load_runs(tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    assert load_runs("outputs")["folder"].tolist() == ["outputs/runs/a"]


def test_a_block_of_ones_own_is_known_from_its_import_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_summary(write_run(tmp_path / "runs" / "a"), config={"model.c2.kind": "late"})
    assert "model.c2.layers" not in load_runs(tmp_path, use_cache=False)
    monkeypatch.setitem(BLOCKS, "late", Plain)
    assert load_runs(tmp_path, use_cache=False)["model.c2.layers"].tolist() == [1]
