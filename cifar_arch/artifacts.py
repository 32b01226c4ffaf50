"""What a run leaves beside its record: weights, figures, TensorBoard's file."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from cifar_arch.augment import Augment
from cifar_arch.data import Dataset, Split
from cifar_arch.record import Epoch
from cifar_arch.runfolder import RunFolder, atomic

if TYPE_CHECKING:
    from torch import nn


def save_weights(folder: RunFolder, network: "nn.Module") -> str:
    """Writes the weights and returns the SHA-256 of their file."""
    from safetensors.torch import save

    content = save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    with atomic(folder.weights) as temporary:
        temporary.write_bytes(content)  # save_file would leave a file that its owner alone can read
    return hashlib.sha256(content).hexdigest()


def write_tensorboard(folder: RunFolder, row: Epoch) -> None:
    """Adds an epoch to the run's event files. Needs the extra tensorboard."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder.tensorboard)) as writer:
        for name, value in msgspec.structs.asdict(row).items():
            if name != "epoch" and value is not None:
                writer.add_scalar(name, value, row.epoch)


def save_augmented(folder: RunFolder, augment: Augment, seed: int, dataset: Dataset) -> None:
    """Saves plots/augmented.png: an image of each class as it is, and as epochs 1 to 7 show it."""
    from cifar_arch.plots import sheet

    firsts = [int(np.argmax(dataset.train.labels == label)) for label in range(len(dataset.classes))]
    epochs = range(1, 8)
    seen = [dataset.train.images[firsts], *_seen(augment, seed, dataset, firsts, epochs)]
    images = np.stack(seen, 1).reshape(-1, *seen[0].shape[1:])
    titles = [title for name in dataset.classes for title in (name, *(f"epoch {e}" for e in epochs))]
    heading = f"Augmented samples: {', '.join(augment.image_transforms()) or 'none'}"
    folder.save_figure("augmented", sheet(images, titles, heading))


def _seen(
    augment: Augment, seed: int, dataset: Dataset, indices: list[int], epochs: Iterable[int]
) -> Iterator[np.ndarray]:
    """For each epoch the training images with these indices as it shows them, (N, 32, 32, 3)."""
    originals = dataset.train.images[indices]
    if augment.backend == "albumentations":
        from cifar_arch.pipeline import Pipeline

        pipeline = Pipeline(augment, dataset.mean, seed)
        for epoch in epochs:
            yield np.stack([pipeline(o, epoch, i) for o, i in zip(originals, indices, strict=True)])
        return
    import torch

    from cifar_arch.batches import BatchAugment

    batch = BatchAugment(augment, dataset.mean, seed, len(dataset.train.labels))
    for epoch in epochs:
        batch.draw(epoch)
        seen = batch(torch.from_numpy(originals).permute(0, 3, 1, 2), torch.tensor(indices))
        yield seen.permute(0, 2, 3, 1).numpy()


def save_curves(folder: RunFolder, history: list[Epoch], target: float | None) -> None:
    """Saves plots/curves.png; `target`, from 0 to 1, is a line."""
    from cifar_arch import plots

    folder.save_figure("curves", plots.curves(history, target))


def save_misclassified(
    folder: RunFolder, split: Split, probabilities: np.ndarray, classes: Sequence[str]
) -> None:
    """The confusion matrix and the misclassified pictures of a split, from (N, 10) probabilities."""
    from cifar_arch import plots

    if len(split.labels):
        matrix = plots.confusion_matrix(split.labels, probabilities.argmax(1), classes)
        folder.save_figure("confusion_matrix", matrix)
        wrong = plots.misclassified(*split, probabilities, classes)
        folder.save_figure("misclassified", wrong)
