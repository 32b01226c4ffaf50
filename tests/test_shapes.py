import numpy as np
import pytest

from cifar_arch import shapes


def test_the_same_pictures_in_every_version() -> None:
    images, labels = shapes.generate(10, 0)  # one of each class
    assert labels.tolist() == [4, 6, 2, 7, 3, 5, 9, 0, 8, 1]
    grey = [98.44, 141.52, 122.58, 123.76, 96.29, 97.73, 117.16, 157.45, 152.21, 165.35]
    assert images.mean((1, 2, 3)) == pytest.approx(grey, abs=0.01)


def test_another_seed_draws_other_pictures() -> None:
    assert not (shapes.generate(20, 0)[0] == shapes.generate(20, 1)[0]).all((1, 2, 3)).any()


def test_ten_balanced_classes_of_32_pixel_colour_pictures() -> None:
    images, labels = shapes.generate(200, 0)
    assert images.shape == (200, 32, 32, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert len(shapes.CLASSES) == len(set(shapes.CLASSES)) == 10
    assert np.bincount(labels).tolist() == [20] * 10
    assert images.std((1, 2)).min() > 1  # no picture is empty
