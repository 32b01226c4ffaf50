"""Batches whose images are mixed with others of the batch, and their labels with them: mixup and cutmix."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch.nn import functional

from cifar_arch.augment import Augment
from cifar_arch.layers import NUM_CLASSES

Batch = tuple[torch.Tensor, torch.Tensor]


class Mixing:
    """Mixes a share of the batches, as determined by (seed, epoch) and their order."""

    def __init__(self, augment: Augment, seed: int):
        self.mixup, self.cutmix, self.seed = augment.mixup, augment.cutmix, seed
        self.active = self.mixup.p + self.cutmix.p > 0

    def __call__(self, batches: Iterable[Batch], epoch: int) -> Iterator[Batch]:
        """The batches as they came; where any may be mixed, all float32, with shares (N, 10) for labels.

        Images are (N, 3, H, W), labels that come are (N,). The partner of an image is the one before it:
        batches are shuffled.
        """
        generator = np.random.default_rng((self.seed, epoch))
        for images, labels in batches:
            yield self._mixed(images, labels, generator) if self.active else (images, labels)

    def _mixed(self, images: torch.Tensor, labels: torch.Tensor, generator: np.random.Generator) -> Batch:
        chance = generator.random()
        images, kept = images.float(), 1.0  # the share that an image keeps of itself
        if chance < self.mixup.p:
            kept = generator.beta(self.mixup.alpha, self.mixup.alpha)
            images = torch.lerp(images.roll(1, 0), images, kept)
        elif chance < self.mixup.p + self.cutmix.p:
            size = images.shape[2]
            asked = generator.beta(self.cutmix.alpha, self.cutmix.alpha)
            top, bottom, left, right = _box(size, asked, generator)
            partner = images.roll(1, 0)
            images[:, :, top:bottom, left:right] = partner[:, :, top:bottom, left:right]
            kept = 1 - (bottom - top) * (right - left) / size**2
        shares = functional.one_hot(labels, NUM_CLASSES).to(images.dtype)
        return images, torch.lerp(shares.roll(1, 0), shares, kept)


def _box(size: int, kept: float, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of a square of 1 - `kept` of the image, around a pixel, cut at the edges."""
    side = round(size * (1 - kept) ** 0.5)
    top, left = (int(place) - side // 2 for place in generator.integers(size, size=2))
    return max(top, 0), min(top + side, size), max(left, 0), min(left + side, size)
