"""A typed augmentation, read as an albumentations pipeline that is seeded for each image."""

import os
import random

import cv2
import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the network

import albumentations as A

from cifar_arch.augment import (
    Augment,
    CoarseDropout,
    Colour,
    ColourJitter,
    Grayscale,
    HorizontalFlip,
    PadCrop,
    ShiftScaleRotate,
    Transform,
)
from cifar_arch.layers import IMAGE_SIZE


class Pipeline:
    """Augments an image as determined by (seed, epoch, index), in any process and any order."""

    def __init__(self, augment: Augment, mean: Colour, seed: int):
        """`mean` of the training images, per channel, 0 to 255."""
        cv2.setNumThreads(0)  # workers are the parallelism; threads of threads slow them down
        transforms = [_albumentations(transform, mean) for transform in augment.active().values()]
        self.compose = A.Compose(transforms, strict=True)
        self.seed = seed
        self.philox = np.random.Philox(0)
        self.state = self.philox.state
        self.python_random = random.Random(0)
        self.compose.set_random_state(np.random.Generator(self.philox), self.python_random)

    def __call__(self, image: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """The augmented (32, 32, 3) uint8 image number `index` of `epoch`."""
        # The state of both generators is set: 5 us, against 100 for set_random_seed, which makes new ones.
        self.state["state"]["key"][:] = (self.seed, epoch)
        self.state["state"]["counter"][:] = (index, 0, 0, 0)
        self.philox.state = self.state
        self.python_random.seed((self.seed << 64) + (epoch << 32) + index)
        return self.compose(image=image)["image"]


def _albumentations(transform: Transform, mean: Colour) -> A.BasicTransform | A.Sequential:
    p = transform.p
    match transform:
        case PadCrop():
            pad = A.Pad(padding=transform.padding, border_mode=cv2.BORDER_REFLECT_101, p=1)
            return A.Sequential([pad, A.RandomCrop(IMAGE_SIZE, IMAGE_SIZE, p=1)], p=p)
        case HorizontalFlip():
            return A.HorizontalFlip(p=p)
        case ShiftScaleRotate(scale=scale, rotate=degrees):
            pixels = round(IMAGE_SIZE * transform.shift)  # translate_percent is cut to -1, 0 or 1 px
            return A.Affine(
                scale=(1 - scale, 1 + scale),
                keep_ratio=True,
                rotate=(-degrees, degrees),
                shear=(0, 0),
                translate_px={"x": (-pixels, pixels), "y": (-pixels, pixels)},
                interpolation=cv2.INTER_LINEAR,
                border_mode=cv2.BORDER_REFLECT_101,
                p=p,
            )
        case ColourJitter(brightness=b, contrast=c, saturation=s, hue=h):
            return A.ColorJitter((1 - b, 1 + b), (1 - c, 1 + c), (1 - s, 1 + s), hue=(-h, h), p=p)
        case Grayscale():
            return A.ToGray(p=p)
        case CoarseDropout(size=size):
            return A.CoarseDropout(
                num_holes_range=(1, 1),
                hole_height_range=(size, size),
                hole_width_range=(size, size),
                fill=tuple(round(channel) for channel in mean),
                fill_mask=None,
                p=p,
            )
    raise TypeError(f"no albumentations transform for {transform!r}")
