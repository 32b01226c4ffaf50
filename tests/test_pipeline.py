from functools import partial
from typing import Any

import albumentations as A
import numpy as np
import pytest

from cifar_arch.augment import Augment, CoarseDropout, Transform
from cifar_arch.pipeline import Pipeline
from cifar_arch.schema import checked

MEAN = (125.3, 122.6, 113.9)


def test_arguments_that_albumentations_does_not_know_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as those of its first version, which it ignores with no more than a warning."""
    monkeypatch.setattr(A, "CoarseDropout", partial(A.CoarseDropout, max_holes=1))
    with (
        pytest.warns(UserWarning, match="not valid"),
        pytest.raises(ValueError, match="max_holes"),
    ):
        Pipeline(Augment(coarse_dropout=CoarseDropout(p=1)), MEAN, 0)


def test_a_transform_that_it_cannot_read_is_refused() -> None:
    class Blur(Transform, frozen=True, kw_only=True):
        pass

    with pytest.raises(TypeError, match=r"no albumentations transform for .*Blur\(p=1"):
        Pipeline(Augment(coarse_dropout=Blur(p=1)), MEAN, 0)  # type: ignore[arg-type]


def test_a_sample_depends_on_seed_epoch_and_index_alone() -> None:
    everything: dict[str, Any] = {name: {"p": 0.5} for name in Augment.__struct_fields__ if name != "backend"}
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    pipeline = Pipeline(checked(Augment, everything, "augment"), MEAN, 3)
    forwards = [pipeline(image, 5, index) for index in range(30)]
    other = Pipeline(checked(Augment, everything, "augment"), MEAN, 3)
    backwards = [other(image, 5, index) for index in reversed(range(30))][::-1]
    assert all((a == b).all() for a, b in zip(forwards, backwards, strict=True))


def test_no_two_images_share_their_random_numbers() -> None:
    pipeline = Pipeline(Augment(), MEAN, 3)
    drawn: list[float] = []
    for index in range(5):
        pipeline(np.zeros((32, 32, 3), np.uint8), 1, index)
        drawn += pipeline.generator.random(12).tolist()
    assert len(set(drawn)) == len(drawn) == 60


def augmented(epoch: int, seed: int, **transforms: Any) -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    pipeline = Pipeline(checked(Augment, transforms, "augment"), MEAN, seed)
    return np.stack([pipeline(image, epoch, index) for index in range(40)])


@pytest.mark.parametrize("name", ["pad_crop", "shift_scale_rotate", "colour_jitter", "coarse_dropout"])
@pytest.mark.parametrize(("epoch", "seed"), [(1, 1), (2, 0)])
def test_each_transform_is_drawn_for_each_seed_and_epoch(name: str, epoch: int, seed: int) -> None:
    always: dict[str, Any] = {name: {"p": 1}}
    first, second = augmented(1, 0, **always), augmented(epoch, seed, **always)
    assert (first != second).any((1, 2, 3)).mean() > 0.8


def test_the_images_that_are_turned_first_differ_by_seed() -> None:
    flip = {"horizontal_flip": {"p": 0.5, "alternate": True}}
    assert (augmented(1, 0, **flip) != augmented(1, 1, **flip)).any()
