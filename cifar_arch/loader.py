"""Augmented batches of the training images, image by image or whole batches on the device."""

import functools
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader

from cifar_arch.augment import Augment, Colour
from cifar_arch.batches import BatchAugment
from cifar_arch.cuda_graph import Prefetch
from cifar_arch.data import Dataset, Split, require_batch
from cifar_arch.device import Execution
from cifar_arch.mixing import Batch, Mixing

MOST_PROCESSES = 8  # that augment


class Loader:
    """Shuffled, augmented batches of any epoch, the same for any number of processes.

    The order is drawn from (seed, epoch), the augmentation of an image from (seed, epoch, index).
    `workers` make whole batches ahead of time, beside the training; `helpers` a part of the batch that is
    asked for, and nothing during a step.
    """

    def __init__(
        self,
        split: Split,
        augment: Augment,
        mean: Colour,
        *,
        batch_size: int,
        seed: int,
        workers: int = 0,
        helpers: int = 0,
    ):
        self.order = _EpochOrder(len(split.labels), batch_size, seed)
        self.mixing = Mixing(augment, seed)
        self.loader: DataLoader[Batch] = DataLoader(
            _Augmented(split, augment, mean, seed, helpers),  # type: ignore[arg-type]
            sampler=self.order,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
            # Its own: drawing from the global one would change dropout with the number of workers.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        return len(self.order)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Batches of images (N, 3, 32, 32) uint8, channels last in memory, and labels (N,) int64.

        Or float32 and shares of the labels (N, 10), where they are mixed.
        """
        self.order.number = number
        return self.mixing(self.loader, number)


class BatchLoader:
    """The same order of images as `Loader`, augmented in whole batches, on the device where they stay.

    `captured`: as a CUDA graph, each batch while the one before it is trained with.
    """

    def __init__(
        self,
        split: Split,
        augment: Augment,
        mean: Colour,
        *,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        captured: bool = False,
    ):
        self.mixing = Mixing(augment, seed)
        self.order = _EpochOrder(len(split.labels), batch_size, seed)
        self.augment = BatchAugment(augment, mean, seed, len(split.labels), device)
        self.images = torch.from_numpy(split.images).to(device)  # (N, 32, 32, 3)
        self.labels = torch.from_numpy(split.labels).to(device)
        self.batches = Prefetch(self._batch) if captured else functools.partial(map, self._batch)

    def __len__(self) -> int:
        return len(self.order)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The same batches as from `Loader.epoch`, but on the device."""
        self.augment.draw(number)
        order = torch.from_numpy(self.order.of(number)).to(self.images.device)
        return self.mixing(self.batches(order), number)

    def _batch(self, indices: torch.Tensor) -> Batch:
        images = self.images.index_select(0, indices).permute(0, 3, 1, 2)  # channels last in memory
        return self.augment(images, indices), self.labels[indices]


class _EpochOrder:
    """Shuffled batches of (epoch, index); an incomplete last batch is left out."""

    def __init__(self, count: int, batch_size: int, seed: int):
        require_batch(batch_size, count)
        self.count, self.batch_size, self.seed, self.number = count, batch_size, seed, 0

    def __len__(self) -> int:
        return self.count // self.batch_size

    def of(self, epoch: int) -> np.ndarray:
        """(batches, batch_size) int64"""
        order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
        return order[: len(self) * self.batch_size].reshape(len(self), self.batch_size)

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        for indices in self.of(self.number):
            yield self.number, indices.tolist()


class _Augmented:
    """The data set that a DataLoader sees: a key is (epoch, indices), an item is a whole batch."""

    def __init__(self, split: Split, augment: Augment, mean: Colour, seed: int, helpers: int):
        from cifar_arch.pipeline import Helper, Pipeline

        self.split = split
        self.pipeline = Pipeline(augment, mean, seed)
        self.helpers = [Helper(self.pipeline, split.images) for _ in range(helpers)]

    def __getitem__(self, key: tuple[int, list[int]]) -> Batch:
        epoch, indices = key
        count = 1 + len(self.helpers)
        own, *parts = (
            indices[len(indices) * n // count : len(indices) * (n + 1) // count] for n in range(count)
        )
        for helper, part in zip(self.helpers, parts, strict=True):
            helper.begin(epoch, part)
        images = np.concatenate(
            [self.pipeline.batch(self.split.images, epoch, own), *(h.result() for h in self.helpers)]
        )
        labels = torch.from_numpy(self.split.labels[indices])
        return torch.from_numpy(images).permute(0, 3, 1, 2), labels


def make_loader(
    dataset: Dataset,
    augment: Augment,
    batch_size: int,
    seed: int,
    workers: int | str,
    execution: Execution,
) -> Loader | BatchLoader:
    """The training images in augmented batches; `workers` are processes, which albumentations alone uses."""
    what = (dataset.train, augment, dataset.mean)
    if augment.backend == "albumentations":
        ahead, helpers = _processes(workers, execution)
        return Loader(*what, batch_size=batch_size, seed=seed, workers=ahead, helpers=helpers)
    device, captured = execution.device, execution.captured
    return BatchLoader(*what, batch_size=batch_size, seed=seed, device=device, captured=captured)


def _processes(wanted: int | str, execution: Execution) -> tuple[int, int]:
    """Processes that augment during the steps, and between them: a CPU has no core left during them."""
    if isinstance(wanted, int):
        return wanted, 0
    if execution.device == "cpu":
        return 0, min(MOST_PROCESSES, execution.threads) - 1
    return min(MOST_PROCESSES, execution.threads), 0
