"""A typed augmentation, read as an albumentations pipeline that is seeded for each image; its processes."""

import contextlib
import itertools
import multiprocessing
import os
import random
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection

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
    phase,
)
from cifar_arch.layers import IMAGE_SIZE


class Pipeline:
    """Augments an image as determined by (seed, epoch, index), in any process and any order."""

    def __init__(self, augment: Augment, mean: Colour, seed: int):
        """`mean` of the training images, per channel, 0 to 255."""
        cv2.setNumThreads(0)  # workers are the parallelism; threads of threads slow them down
        self.active = list(augment.image_transforms().values())
        self.shares = np.array([transform.p for transform in self.active])
        self.compose = A.Compose([_albumentations(t, mean) for t in self.active], strict=True)
        self.seed = seed
        self.philox = np.random.Philox(0)
        self.state = self.philox.state
        self.generator = np.random.Generator(self.philox)
        self.python_random = random.Random(0)
        self.compose.set_random_state(self.generator, self.python_random)

    def __call__(self, image: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """The augmented (32, 32, 3) uint8 image number `index` of `epoch`."""
        # The state is set: 2 us, against 100 for set_random_seed, which makes new generators.
        self.state["state"]["key"][:] = (self.seed, epoch)
        # The first word counts the numbers that are drawn: those of one image must not be the next one's.
        self.state["state"]["counter"][:] = (0, index, 0, 0)
        self.philox.state = self.state
        # Chosen here rather than by albumentations: a transform that is not applied costs nothing.
        chosen = self.generator.random(len(self.active)) < self.shares
        for number, transform in enumerate(self.active):
            if isinstance(transform, HorizontalFlip) and transform.alternate:
                chosen[number] = transform.flipped(phase(self.seed, index), epoch)
        if chosen.any():
            self.python_random.seed((self.seed << 64) + (epoch << 32) + index)
            for transform in itertools.compress(self.compose.transforms, chosen):
                image = transform(image=image)["image"]
        return image

    def batch(self, images: np.ndarray, epoch: int, indices: Sequence[int]) -> np.ndarray:
        """Those of `images` (N, 32, 32, 3) with these indices, augmented."""
        made = [self(images[index], epoch, index) for index in indices]
        return np.array(made, np.uint8).reshape(-1, *images.shape[1:])


class Helper:
    """Another process that augments its part of a batch while this one augments the rest.

    It sleeps in between, so that a training step has all cores, and ends with this object or this process.
    """

    def __init__(self, pipeline: Pipeline, images: np.ndarray):
        self.pipe, theirs = multiprocessing.Pipe()
        made = multiprocessing.Process(target=_help, args=(pipeline, images, theirs, self.pipe), daemon=True)
        made.start()
        theirs.close()

    def begin(self, epoch: int, indices: Sequence[int]) -> None:
        with contextlib.suppress(OSError):  # `result` says so
            self.pipe.send((epoch, indices))

    def result(self) -> np.ndarray:
        """The images that were begun. Raises RuntimeError where the process is gone."""
        try:
            found: np.ndarray = self.pipe.recv()
        except (EOFError, OSError):
            raise RuntimeError(
                "a process that augments has ended, for want of memory perhaps; data.workers=0 needs none"
            ) from None
        return found


def _help(pipeline: Pipeline, images: np.ndarray, pipe: Connection, callers: Connection) -> None:
    callers.close()  # else the end of the caller would not be seen
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, whose end follows
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(pipeline.batch(images, *pipe.recv()))


def _albumentations(transform: Transform, mean: Colour) -> A.BasicTransform | A.Sequential:
    """The transform, always applied."""
    match transform:
        case PadCrop():
            pad = A.Pad(padding=transform.padding, border_mode=cv2.BORDER_REFLECT_101, p=1)
            return A.Sequential([pad, A.RandomCrop(IMAGE_SIZE, IMAGE_SIZE, p=1)], p=1)
        case HorizontalFlip():
            return A.HorizontalFlip(p=1)
        case ShiftScaleRotate(scale=scale, rotate=degrees):
            pixels = transform.pixels  # translate_percent is cut to -1, 0 or 1 px
            return A.Affine(
                scale=(1 - scale, 1 + scale),
                keep_ratio=True,
                rotate=(-degrees, degrees),
                shear=(0, 0),
                translate_px={"x": (-pixels, pixels), "y": (-pixels, pixels)},
                interpolation=cv2.INTER_LINEAR,
                border_mode=cv2.BORDER_REFLECT_101,
                p=1,
            )
        case ColourJitter(brightness=b, contrast=c, saturation=s, hue=h):
            return A.ColorJitter((1 - b, 1 + b), (1 - c, 1 + c), (1 - s, 1 + s), hue=(-h, h), p=1)
        case Grayscale():
            return A.ToGray(p=1)
        case CoarseDropout(size=size):
            return A.CoarseDropout(
                num_holes_range=(1, 1),
                hole_height_range=(size, size),
                hole_width_range=(size, size),
                fill=tuple(round(channel) for channel in mean),
                fill_mask=None,
                p=1,
            )
    raise TypeError(f"no albumentations transform for {transform!r}")
