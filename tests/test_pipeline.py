from dataclasses import dataclass
from functools import partial
from typing import Any

import albumentations as A
import numpy as np
import pytest

from cifar_arch.augment import Augment, CoarseDropout, Colour, Transform
from cifar_arch.pipeline import Pipeline
from cifar_arch.schema import checked

MEAN = (125.3, 122.6, 113.9)


def augmented(
    image: np.ndarray, count: int, mean: Colour = MEAN, seed: int = 0, epoch: int = 1, **transforms: Any
) -> np.ndarray:
    """`image` as `count` different samples of an epoch, (count, 32, 32, 3)."""
    pipeline = Pipeline(checked(Augment, transforms, "augment"), mean, seed)
    return np.stack([pipeline(image, epoch, index) for index in range(count)])


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)


def which_crop(images: np.ndarray, original: np.ndarray, most: int) -> np.ndarray:
    """How often each shift of at most `most` pixels with mirrored borders is met, by (y, x)."""
    padded = np.pad(original, ((most, most), (most, most), (0, 0)), mode="reflect")
    shifts = {
        padded[y : y + 32, x : x + 32].tobytes(): (y, x)
        for y in range(2 * most + 1)
        for x in range(2 * most + 1)
    }
    counts = np.zeros((2 * most + 1, 2 * most + 1), int)
    for image in images:
        counts[shifts[image.tobytes()]] += 1  # a KeyError: something else was done to the pixels
    return counts


def is_uniform(counts: np.ndarray) -> bool:
    expected = counts.sum() / counts.size
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    return bool(chi_squared < counts.size + 5 * np.sqrt(2 * counts.size))


def slopes(image: np.ndarray) -> np.ndarray:
    """Of `ramps`, moved: the slope of channels 0 and 1 in x and in y near the centre, (2, 2)."""
    x = (image[13:19, 20, :2].astype(float) - image[13:19, 11, :2]).mean(0) / 9
    y = (image[20, 13:19, :2].astype(float) - image[11, 13:19, :2]).mean(0) / 9
    return np.stack([x, y]) / 4


def ramps() -> np.ndarray:
    row, column = np.mgrid[0:32, 0:32]
    return np.stack([64 + 4 * column, 64 + 4 * row, 0 * row], -1).astype(np.uint8)


def test_flip_mirrors() -> None:
    image = noise()
    assert (augmented(image, 20, horizontal_flip={"p": 1}) == image[:, ::-1]).all()


@pytest.mark.parametrize("name", ["horizontal_flip", "grayscale", "coarse_dropout", "shift_scale_rotate"])
@pytest.mark.parametrize("p", [0.15, 0.5])
def test_p_is_the_share_of_images_that_change(name: str, p: float) -> None:
    image, count = noise(), 1000
    strong = {"rotate": 90, "shift": 0.5} if name == "shift_scale_rotate" else {}
    transforms: dict[str, Any] = {name: {"p": p, **strong}}
    changed = (augmented(image, count, **transforms) != image).any((1, 2, 3))
    assert abs(changed.mean() - p) < 4 * np.sqrt(p * (1 - p) / count)


def test_coarse_dropout_makes_one_hole_of_the_rounded_mean_inside_the_image() -> None:
    image = np.full((32, 32, 3), 255, np.uint8)
    tops = set()
    for result in augmented(image, 500, mean=(10.4, 20.6, 200.2), coarse_dropout={"p": 1}):
        hole = (result != 255).any(2)
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        assert len(rows) == len(columns) == np.ptp(rows) + 1 == np.ptp(columns) + 1 == 16
        assert hole.sum() == 256
        assert (result[hole] == (10, 21, 200)).all()
        tops |= {rows[0], columns[0]}
    assert tops == set(range(17))  # every place in which it is whole


@pytest.mark.parametrize(("shift", "most"), [(0.0625, 2), (0.05, 2), (0.1, 3), (0.0, 0)])
def test_shifts_are_whole_pixels_uniform_in_both_axes_with_mirrored_borders(shift: float, most: int) -> None:
    image = noise()
    still = {"p": 1, "shift": shift, "scale": 0, "rotate": 0}
    counts = which_crop(augmented(image, 100 * (2 * most + 1) ** 2, shift_scale_rotate=still), image, most)
    assert is_uniform(counts)


def test_shift_moves_an_impulse_and_keeps_it_one_pixel() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[16, 16] = 255
    still = {"p": 1, "scale": 0, "rotate": 0}
    for result in augmented(image, 50, shift_scale_rotate=still):
        ((row, column),) = np.argwhere(result.all(2))
        assert max(abs(row - 16), abs(column - 16)) <= 2
        assert result.sum() == 3 * 255


def test_scale_is_equal_on_both_axes() -> None:
    results = augmented(ramps(), 100, shift_scale_rotate={"p": 1, "shift": 0, "scale": 0.3, "rotate": 0})
    scales = []
    for (across, none_y), (none_x, down) in map(slopes, results):
        assert across == pytest.approx(down, abs=0.03)
        assert (none_x, none_y) == pytest.approx((0, 0), abs=0.03)
        scales.append(1 / across)
    assert 0.67 < min(scales) < 0.8
    assert 1.2 < max(scales) < 1.33


def test_rotation_stays_within_its_range_both_ways() -> None:
    results = augmented(ramps(), 100, shift_scale_rotate={"p": 1, "shift": 0, "scale": 0, "rotate": 15})
    angles = [np.degrees(np.arctan2(s[0, 1], s[0, 0])) for s in map(slopes, results)]
    assert -16 < min(angles) < -12
    assert 12 < max(angles) < 16


def test_no_border_is_black() -> None:
    image = np.full((32, 32, 3), 200, np.uint8)
    strong = {"p": 1, "shift": 0.25, "scale": 0.4, "rotate": 90}
    assert (augmented(image, 100, shift_scale_rotate=strong) == 200).all()


@pytest.mark.parametrize("padding", [1, 4])
def test_pad_crop_is_every_crop_of_the_mirrored_picture(padding: int) -> None:
    image = noise()
    results = augmented(image, 30 * (2 * padding + 1) ** 2, pad_crop={"p": 1, "padding": padding})
    assert is_uniform(which_crop(results, image, padding))


def test_grayscale_has_equal_channels_between_the_darkest_and_the_lightest() -> None:
    image = noise()
    result = augmented(image, 1, grayscale={"p": 1})[0].astype(int)
    assert (result == result[..., :1]).all()
    assert (result[..., 0] >= image.min(2).astype(int) - 1).all()
    assert (result[..., 0] <= image.max(2).astype(int) + 1).all()


@dataclass(frozen=True, kw_only=True)
class Jitter:
    strength: dict[str, float]
    changes_grey: bool
    changes_colour: bool = True


JITTERS = {
    "brightness": Jitter(strength={"brightness": 0.3}, changes_grey=True),
    "contrast": Jitter(strength={"contrast": 0.3}, changes_grey=False),  # an even grey has none
    "saturation": Jitter(strength={"saturation": 0.3}, changes_grey=False),
    "hue": Jitter(strength={"hue": 0.2}, changes_grey=False),
    "nothing": Jitter(strength={}, changes_grey=False, changes_colour=False),
}


@pytest.mark.parametrize("case", JITTERS.values(), ids=JITTERS)
def test_each_part_of_colour_jitter_changes_only_what_it_should(case: Jitter) -> None:
    off = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    grey, colour = np.full((32, 32, 3), 100, np.uint8), noise()
    jitter = {"p": 1, **off, **case.strength}
    for image, changes in ((grey, case.changes_grey), (colour, case.changes_colour)):
        moved = abs(augmented(image, 20, colour_jitter=jitter).astype(int) - image).max((1, 2, 3))
        assert (moved > 2).mean() > 0.8 if changes else moved.max() <= 1


def test_brightness_is_a_factor_within_its_range() -> None:
    only = {"p": 1, "brightness": 0.3, "contrast": 0, "saturation": 0, "hue": 0}
    results = augmented(np.full((32, 32, 3), 100, np.uint8), 100, colour_jitter=only)
    assert 69 <= results.min() < 75
    assert 125 < results.max() <= 130


def test_p_0_is_off() -> None:
    image = noise()
    everything: dict[str, Any] = {name: {"p": 0} for name in Augment.__struct_fields__}
    assert (augmented(image, 20, **everything) == image).all()


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


EVERYTHING: dict[str, Any] = {name: {"p": 0.5} for name in Augment.__struct_fields__}


def test_a_sample_depends_on_seed_epoch_and_index_alone() -> None:
    image, pipeline = noise(), Pipeline(checked(Augment, EVERYTHING, "augment"), MEAN, 3)
    forwards = [pipeline(image, 5, index) for index in range(30)]
    other = Pipeline(checked(Augment, EVERYTHING, "augment"), MEAN, 3)
    backwards = [other(image, 5, index) for index in reversed(range(30))][::-1]
    assert all((a == b).all() for a, b in zip(forwards, backwards, strict=True))


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"epoch": 2}, {"seed": 2**32 - 1}], ids=["seed", "epoch", "largest seed"]
)
def test_another_seed_or_epoch_gives_other_images(change: dict[str, int]) -> None:
    image = noise()
    first = augmented(image, 40, **EVERYTHING)
    second = augmented(image, 40, **change, **EVERYTHING)  # type: ignore[arg-type]
    assert (first != second).any((1, 2, 3)).mean() > 0.9


def test_images_of_an_epoch_are_augmented_differently() -> None:
    results = augmented(noise(), 40, **EVERYTHING)
    assert len({result.tobytes() for result in results}) > 35
