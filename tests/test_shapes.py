import numpy as np

from cifar_arch import shapes


def test_the_same_pictures_every_time() -> None:
    images, labels = shapes.generate(50, 3)
    shapes.generate.cache_clear()
    again, labels_again = shapes.generate(50, 3)
    assert (images == again).all()
    assert (labels == labels_again).all()


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
