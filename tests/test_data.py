import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifar_arch import data
from cifar_arch.data import DataConfig, Dataset, load
from cifar_arch.schema import ConfigError


def shapes(validation: int, split_seed: int = 0) -> Dataset:
    return load(DataConfig(name="shapes", validation=validation, split_seed=split_seed))


def test_each_class_keeps_a_training_image() -> None:
    with pytest.raises(ConfigError) as error:
        shapes(5991)
    assert str(error.value) == (
        "data.validation: must leave one training image per class, at most 5990 of 6000, got 5991"
    )


@pytest.mark.parametrize("validation", [0, 7, 1000, 5990])
def test_the_split_is_stratified_and_whole(validation: int) -> None:
    dataset = shapes(validation)
    assert len(dataset.validation.labels) == validation
    counts = np.bincount(dataset.validation.labels, minlength=10)
    assert np.ptp(counts) <= 1
    assert (counts + np.bincount(dataset.train.labels, minlength=10) == 600).all()
    parts = [*dataset.train.images, *dataset.validation.images]
    assert len({image.tobytes() for image in parts}) == 6000


def test_the_split_is_fixed_by_its_seed_alone() -> None:
    first, again, other = shapes(100), shapes(100), shapes(100, split_seed=1)
    assert (first.validation.images == again.validation.images).all()
    assert (first.validation.images != other.validation.images).any((1, 2, 3)).mean() > 0.9


def test_colour_statistics_come_from_the_training_part_alone() -> None:
    dataset = shapes(5000)
    exact = dataset.train.images.astype(np.float64)
    assert dataset.mean == pytest.approx(exact.mean((0, 1, 2)), abs=1e-9)
    assert dataset.std == pytest.approx(exact.std((0, 1, 2)), abs=1e-9)


def test_a_process_reads_a_data_set_once_until_its_files_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"1")
    read = itertools.count(1)
    monkeypatch.setattr(data, "load", lambda *_: next(read))
    here, other = DataConfig(root=str(tmp_path)), DataConfig(root=str(tmp_path), split_seed=1)
    found: list[Any] = [data.load_once(config) for config in (here, here, other, other)]
    (folder / "data_batch_1").write_bytes(b"22")
    found += [data.load_once(config) for config in (other, other, here)]
    assert found == [1, 1, 2, 2, 3, 3, 4]
