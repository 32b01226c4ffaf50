"""CIFAR-10 or the synthetic data set in memory, split by class."""

import functools
import os
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from cifar_arch import cifar10, shapes
from cifar_arch.augment import Colour
from cifar_arch.layers import NUM_CLASSES
from cifar_arch.outputs import from_home
from cifar_arch.schema import ConfigError, Strict

SHAPES_SIZES = {"train": 6000, "test": 1000}
SYNTHETIC = "shapes"  # generated
SYNTHETIC_NOTE = "the synthetic data set never counts towards the target"
TRAINING_IMAGES = {"cifar10": 50_000, SYNTHETIC: SHAPES_SIZES["train"]}  # with those of the validation


class DataConfig(Strict, frozen=True, kw_only=True):
    """Which images, how they are split, and how many processes load them: the keys below `data`."""

    name: Literal["cifar10", "shapes"] = "cifar10"
    root: str = "data"  # folder that holds, or will hold, cifar-10-batches-py
    validation: Annotated[int, Meta(ge=0)] = 5000  # training images set aside, equally many of each class
    split_seed: Annotated[int, Meta(ge=0)] = 0
    workers: Annotated[int, Meta(ge=0, le=1024)] | Literal["auto"] = "auto"  # processes that augment

    def __post_init__(self) -> None:
        force_setattr(self, "root", from_home(self.root))
        whole = TRAINING_IMAGES[self.name]
        if self.validation > whole - NUM_CLASSES:
            raise ConfigError(
                f"data.validation: must leave one training image per class, "
                f"at most {whole - NUM_CLASSES} of {whole}, got {self.validation}"
            )

    @property
    def training_images(self) -> int:
        return TRAINING_IMAGES[self.name] - self.validation

    @property
    def epoch_work(self) -> float:
        """The work of an epoch in trained images: one of validation, a forward pass alone, is a third."""
        return self.training_images + self.validation / 3

    @property
    def synthetic(self) -> bool:
        return self.name == SYNTHETIC


def usual_root() -> str:
    """The folder of the images where none is typed, as conf/data has it."""
    return from_home(os.environ.get("CIFAR_ARCH_DATA", "data"))


def require_batch(size: int, images: int) -> None:
    """Raises ConfigError where there are not so many training images."""
    if size > images:
        raise ConfigError(f"training.batch_size: at most the {images} training images, got {size}")


class Split(NamedTuple):
    """Images (N, 32, 32, 3) uint8 with labels (N,) int64."""

    images: np.ndarray
    labels: np.ndarray


class Dataset(Struct, frozen=True, eq=False):
    """A data set, split; `mean` and `std` (0 to 255, per channel) come from `train` alone.

    Equal to itself alone, so that what is computed from it can be remembered.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    mean: Colour
    std: Colour


def load(config: DataConfig, option: str = "data.root") -> Dataset:
    """The data set of a config. Raises ConfigError where it is missing or damaged.

    `option`: what names its folder where the command is typed.
    """
    if config.name == "cifar10":
        classes, parts = cifar10.CLASSES, cifar10.read(Path(config.root), option)
    else:
        sizes = SHAPES_SIZES.values()
        classes, parts = shapes.CLASSES, [shapes.generate(n, seed) for seed, n in enumerate(sizes)]
    whole, test = (Split(*part) for part in parts)
    chosen = _stratified(whole.labels, config.validation, config.split_seed)
    train = Split(whole.images[~chosen], whole.labels[~chosen])
    validation = Split(whole.images[chosen], whole.labels[chosen])
    mean, std = _colour_statistics(train.images)
    return Dataset(config.name, classes, train, validation, test, mean, std)


def load_once(config: DataConfig, option: str = "data.root") -> Dataset:
    """Cached `load`: one data set, read again when its files change. Treat the result as read-only."""
    folder = Path(config.root) / cifar10.FOLDER
    files = sorted(folder.glob("*")) if config.name == "cifar10" else []
    times = tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files)
    return _load_once(config, times, option)


@functools.lru_cache(maxsize=1)
def _load_once(config: DataConfig, files: tuple[tuple[str, int, int], ...], option: str) -> Dataset:
    """`files`, with their times and sizes, is read by the cache alone."""
    return load(config, option)


def _stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """A mask (N,) of `count` images, each class as frequent among them as in the whole."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    # Each image's place among its own class, as a share of the class: the smallest are chosen.
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    mask = np.zeros(len(labels), bool)
    mask[np.argsort(place, kind="stable")[:count]] = True
    return mask


def _colour_statistics(images: np.ndarray) -> tuple[Colour, Colour]:
    """Mean and standard deviation per channel, exact: from counts of the 256 levels."""
    levels = np.arange(256)
    parts = [images[i : i + 500] for i in range(0, len(images), 500)]  # a part fits into a core's cache
    means, stds = [], []
    for channel in range(3):
        counts = np.sum([np.bincount(part[..., channel].ravel(), minlength=256) for part in parts], axis=0)
        share = counts / images[..., channel].size
        mean = float(share @ levels)
        means.append(mean)
        stds.append(float(np.sqrt(share @ (levels - mean) ** 2)))
    return (means[0], means[1], means[2]), (stds[0], stds[1], stds[2])
