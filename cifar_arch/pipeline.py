"""A typed augmentation, read as an albumentations pipeline that is seeded for each image."""

import os
import random

import numpy as np

from cifar_arch.augment import Augment, Colour


class Pipeline:
    """Augments an image as (seed, epoch, index) say, whichever process does it and in any order."""

    def __init__(self, augment: Augment, mean: Colour, seed: int):
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the network
        import albumentations as A
        import cv2

        cv2.setNumThreads(0)  # workers are the parallelism; threads of threads slow them down
        transforms = [transform.build(mean) for transform in augment.active().values()]
        self.compose = A.Compose(transforms, strict=True)
        self.seed = seed
        self.philox = np.random.Philox(0)
        self.state = self.philox.state
        self.python_random = random.Random(0)
        self.compose.set_random_state(np.random.Generator(self.philox), self.python_random)

    def __call__(self, image: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """The augmented (32, 32, 3) uint8 image number `index` of `epoch`."""
        # Both generators are set rather than made anew: 5 us instead of the 100 of set_random_seed.
        self.state["state"]["key"][:] = (self.seed, epoch)
        self.state["state"]["counter"][:] = (index, 0, 0, 0)
        self.philox.state = self.state
        self.python_random.seed((self.seed << 64) + (epoch << 32) + index)
        return self.compose(image=image)["image"]
