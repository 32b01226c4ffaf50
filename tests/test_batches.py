"""What each transform does, image by image with albumentations and in whole batches with torch."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from cifar_arch.augment import Augment, Colour, Transform
from cifar_arch.batches import BatchAugment
from cifar_arch.pipeline import Pipeline
from cifar_arch.schema import checked

MEAN = (125.3, 122.6, 113.9)
TRANSFORMS = [name for name in Augment.__struct_fields__ if name != "backend"]
BACKENDS = ["albumentations", "batch"]

Augmented = Callable[..., np.ndarray]


@pytest.fixture(params=BACKENDS)
def augmented(request: pytest.FixtureRequest) -> Augmented:
    """`augmented_by` each backend in turn."""
    return functools.partial(augmented_by, request.param)


def augmented_by(
    backend: str,
    image: np.ndarray,
    count: int,
    mean: Colour = MEAN,
    seed: int = 0,
    epoch: int = 1,
    **transforms: Any,
) -> np.ndarray:
    """`image` as `count` different samples of an epoch, (count, 32, 32, 3)."""
    augment = checked(Augment, transforms, "augment")
    if backend == "albumentations":
        pipeline = Pipeline(augment, mean, seed)
        return np.stack([pipeline(image, epoch, index) for index in range(count)])
    batch = BatchAugment(augment, mean, seed, count)
    batch.draw(epoch)
    images = torch.from_numpy(image).permute(2, 0, 1).expand(count, 3, 32, 32)
    return batch(images, torch.arange(count)).permute(0, 2, 3, 1).numpy()


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)


def which_crop(images: np.ndarray, original: np.ndarray, most: int) -> np.ndarray:
    """How often each shift of at most `most` pixels with mirrored borders is met, by (y, x)."""
    padded = np.pad(original, ((most, most), (most, most), (0, 0)), mode="reflect")
    places = range(2 * most + 1)
    shifts = {padded[y : y + 32, x : x + 32].tobytes(): (y, x) for y in places for x in places}
    counts = np.zeros((len(places), len(places)), int)
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


def test_a_flip_mirrors_left_and_right(augmented: Augmented) -> None:
    image = noise()
    assert (augmented(image, 20, horizontal_flip={"p": 1}) == image[:, ::-1]).all()


@pytest.mark.parametrize("name", ["horizontal_flip", "grayscale", "coarse_dropout", "shift_scale_rotate"])
@pytest.mark.parametrize("p", [0.15, 0.5])
def test_p_is_the_share_of_images_that_change(augmented: Augmented, name: str, p: float) -> None:
    image, count = noise(), 1000
    strong = {"rotate": 90, "shift": 0.5} if name == "shift_scale_rotate" else {}
    transforms: dict[str, Any] = {name: {"p": p, **strong}}
    changed = (augmented(image, count, **transforms) != image).any((1, 2, 3))
    assert abs(changed.mean() - p) < 4 * np.sqrt(p * (1 - p) / count)


def test_coarse_dropout_makes_one_hole_of_the_rounded_mean_inside_the_image(augmented: Augmented) -> None:
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
def test_shifts_are_whole_pixels_uniform_in_both_axes_with_mirrored_borders(
    augmented: Augmented, shift: float, most: int
) -> None:
    image = noise()
    still = {"p": 1, "shift": shift, "scale": 0, "rotate": 0}
    counts = which_crop(augmented(image, 30 * (2 * most + 1) ** 2, shift_scale_rotate=still), image, most)
    assert is_uniform(counts)


def test_shift_moves_an_impulse_and_keeps_it_one_pixel(augmented: Augmented) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[16, 16] = 255
    still = {"p": 1, "scale": 0, "rotate": 0}
    for result in augmented(image, 50, shift_scale_rotate=still):
        ((row, column),) = np.argwhere(result.all(2))
        assert max(abs(row - 16), abs(column - 16)) <= 2
        assert result.sum() == 3 * 255


def test_scale_is_equal_on_both_axes(augmented: Augmented) -> None:
    results = augmented(ramps(), 100, shift_scale_rotate={"p": 1, "shift": 0, "scale": 0.3, "rotate": 0})
    scales = []
    for (across, none_y), (none_x, down) in map(slopes, results):
        assert across == pytest.approx(down, abs=0.03)
        assert (none_x, none_y) == pytest.approx((0, 0), abs=0.03)
        scales.append(1 / across)
    assert 0.67 < min(scales) < 0.8
    assert 1.2 < max(scales) < 1.33


def test_rotation_stays_within_its_range_both_ways(augmented: Augmented) -> None:
    results = augmented(ramps(), 100, shift_scale_rotate={"p": 1, "shift": 0, "scale": 0, "rotate": 15})
    angles = [np.degrees(np.arctan2(s[0, 1], s[0, 0])) for s in map(slopes, results)]
    assert -16 < min(angles) < -12
    assert 12 < max(angles) < 16


def test_no_border_is_black(augmented: Augmented) -> None:
    image = np.full((32, 32, 3), 200, np.uint8)
    strong = {"p": 1, "shift": 0.25, "scale": 0.4, "rotate": 90}
    assert (augmented(image, 100, shift_scale_rotate=strong) == 200).all()


@pytest.mark.parametrize("padding", [1, 4])
def test_pad_crop_is_every_crop_of_the_mirrored_picture(augmented: Augmented, padding: int) -> None:
    image = noise()
    results = augmented(image, 30 * (2 * padding + 1) ** 2, pad_crop={"p": 1, "padding": padding})
    assert is_uniform(which_crop(results, image, padding))


def test_grayscale_has_equal_channels_between_the_darkest_and_the_lightest(augmented: Augmented) -> None:
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
def test_each_part_of_colour_jitter_changes_only_what_it_should(augmented: Augmented, case: Jitter) -> None:
    off = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    grey, colour = np.full((32, 32, 3), 100, np.uint8), noise()
    jitter = {"p": 1, **off, **case.strength}
    for image, changes in ((grey, case.changes_grey), (colour, case.changes_colour)):
        moved = abs(augmented(image, 20, colour_jitter=jitter).astype(int) - image).max((1, 2, 3))
        assert (moved > 2).mean() > 0.8 if changes else moved.max() <= 1


def test_brightness_is_a_factor_within_its_range(augmented: Augmented) -> None:
    only = {"p": 1, "brightness": 0.3, "contrast": 0, "saturation": 0, "hue": 0}
    results = augmented(np.full((32, 32, 3), 100, np.uint8), 100, colour_jitter=only)
    assert 69 <= results.min() < 75
    assert 125 < results.max() <= 130


def test_a_p_of_0_is_off(augmented: Augmented) -> None:
    assert (augmented(noise(), 20, **{name: {"p": 0} for name in TRANSFORMS}) == noise()).all()


EVERYTHING: dict[str, Any] = {name: {"p": 0.5} for name in TRANSFORMS}


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"epoch": 2}, {"seed": 2**32 - 1}], ids=["seed", "epoch", "largest seed"]
)
def test_another_seed_or_epoch_gives_other_images(augmented: Augmented, change: dict[str, int]) -> None:
    image = noise()
    first = augmented(image, 40, **EVERYTHING)
    second = augmented(image, 40, **change, **EVERYTHING)
    assert (first != second).any((1, 2, 3)).mean() > 0.9


def test_images_of_an_epoch_are_augmented_differently(augmented: Augmented) -> None:
    results = augmented(noise(), 40, **EVERYTHING)
    assert len({result.tobytes() for result in results}) > 35


STRENGTHS: dict[str, dict[str, Any]] = {
    "pad_crop": {"padding": 3},
    "horizontal_flip": {},
    "shift_scale_rotate": {"shift": 0.1, "scale": 0.2, "rotate": 30},
    "colour_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.2},
    "grayscale": {},
    "coarse_dropout": {"size": 12},
}


def picture() -> np.ndarray:
    """Smooth, and not alike in any two directions or channels."""
    row, column = np.mgrid[0:32, 0:32] / 31
    channels = [255 * column * row, 255 * (1 - row) ** 2, 120 + 100 * np.sin(5 * column + 2 * row)]
    return np.stack(channels, -1).round().astype(np.uint8)


# Above, the others change the share of images that p says, and a flip is a mirror image.
COMPARED: list[Any] = [
    pytest.param(name, 1.0, 3000, marks=pytest.mark.slow if name == "colour_jitter" else ())
    for name in STRENGTHS
    if name != "horizontal_flip"
]
COMPARED += [("pad_crop", 0.3, 3000), ("colour_jitter", 0.3, 1000)]


@pytest.mark.parametrize(("name", "p", "count"), COMPARED)
def test_both_give_images_of_one_distribution(name: str, p: float, count: int) -> None:
    transform: dict[str, Any] = {name: {"p": p, **STRENGTHS[name]}}
    first, second = (augmented_by(each, picture(), count, **transform).astype("f4") for each in BACKENDS)
    # Each pixel's mean, in standard errors of it; a grey level is what rounding may add.
    error = np.sqrt((first.var(0) + second.var(0)) / count) + 0.2
    assert (abs(first.mean(0) - second.mean(0)) / error).max() < 5.5
    assert abs(first.std(0) - second.std(0)).max() < 6
    # Brightness and contrast, of whole images and of their left halves.
    halves = first[:, :, :16], second[:, :, :16]
    for a, b in ((first, second), halves):
        for statistic in (np.mean, np.std):
            found = (statistic(part, axis=(1, 2, 3)).round(1) for part in (a, b))
            assert ks_2samp(*found).pvalue > 1e-4


@pytest.mark.parametrize("p", [0.2, 0.5, 1.0])
def test_an_alternating_flip_comes_in_an_even_share_of_an_images_epochs(
    augmented: Augmented, p: float
) -> None:
    image, flip = noise(), {"p": p, "alternate": True}
    epochs = np.stack([augmented(image, 500, epoch=e, horizontal_flip=flip) for e in range(1, 21)])
    turned = (epochs == image[:, ::-1]).all((2, 3, 4))  # (epochs, images)
    assert (turned | (epochs == image).all((2, 3, 4))).all()
    assert abs(turned.sum(0) - 20 * p).max() <= 1
    assert (abs(turned.mean(1) - p) < 4 * np.sqrt(p * (1 - p) / 500) + 1e-9).all()
    if p == 0.5:
        assert (turned[1:] != turned[:-1]).all()


class Solarize(Transform, frozen=True, kw_only=True):
    """A transform that somebody added, and forgot to write for batches."""


class More(Augment, frozen=True, kw_only=True):
    solarize: Solarize = Solarize(p=1.0)


def test_a_transform_without_a_form_for_batches_is_named() -> None:
    batch = BatchAugment(More(), MEAN, seed=0, count=1)
    batch.draw(epoch=1)
    with pytest.raises(TypeError, match=r"^no batch transform for Solarize\(p=1\.0\)$"):
        batch(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.arange(1))
