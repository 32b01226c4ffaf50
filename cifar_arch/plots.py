"""Arrays and tables -> matplotlib figures. No torch."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cifar_arch.record import Epoch
from cifar_arch.terminal import percent

GRID, COLUMNS = 40, 8  # pictures on a sheet, and in a row of it


def curves(history: Sequence[Epoch], target: float | None = None) -> Figure:
    """Loss and accuracy by epoch."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    epochs = [row.epoch for row in history]
    for kind, label in (("train", "training, augmented"), ("val", "validation")):
        for axes, quantity, scale in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
            values = [getattr(row, f"{kind}_{quantity}") for row in history]
            if None not in values:
                axes.plot(epochs, [v * scale for v in values], marker=".", label=label)
    loss.set(xlabel="epoch", ylabel="cross entropy (nats)", title="Loss")
    accuracy.set(xlabel="epoch", ylabel="accuracy (%)", title="Accuracy")
    if target and any(row.val_accuracy is not None for row in history):  # augmented images are no test
        accuracy.axhline(100 * target, color="grey", linestyle="--", label=f"target {percent(target)} (test)")
    for axes in (loss, accuracy):
        axes.grid(alpha=0.3)
        axes.legend()
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # also of one epoch
    return figure


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> Figure:
    """Share of each true class (row) that was taken for each class (column), in percent."""
    counts = confusion_counts(labels, predicted, len(classes))
    share = 100 * counts / counts.sum(1, keepdims=True).clip(1)
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion matrix (% of the true class)")
    for row, column in np.ndindex(share.shape):
        value = share[row, column]
        colour = "white" if value > 50 else "black"
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.8)
    return figure


def confusion_counts(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes): row true, column predicted."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def misclassified(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> Figure:
    """The wrong predictions that the network was surest of, with both classes and its confidence."""
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    surest = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:GRID]
    titles = [
        f"{classes[labels[i]]}\nas {classes[predicted[i]]} {probabilities[i, predicted[i]]:.0%}"
        for i in surest
    ]
    order = ", the surest first (true, as predicted)" * bool(len(wrong))
    heading = f"Misclassified: {len(wrong):,} of {len(labels):,}{order}"
    return sheet(images[surest], titles, heading)


def sheet(images: np.ndarray, titles: Sequence[str], heading: str) -> Figure:
    """A grid of (N, 32, 32, 3) uint8 pictures, each under its title of one or two lines."""
    side, gap, top = 32, 4, 10  # pixels of a picture, between two, for the heading
    above = 4 + 4 * (1 + max((title.count("\n") for title in titles), default=0))  # for a title
    rows = max(1, -(-len(images) // COLUMNS))
    # All pictures in one axes: axes of their own would take seconds to lay out.
    mosaic = np.full((rows * (side + above), COLUMNS * (side + gap) - gap, 3), 255, np.uint8)
    height, width, _ = mosaic.shape
    figure = Figure(figsize=(width / 24, (height + top) / 24))
    axes = figure.add_axes((0, 0, 1, height / (height + top)))
    figure.suptitle(heading, y=1 - 0.3 * top / (height + top))
    for index, (image, title) in enumerate(zip(images, titles, strict=True)):
        row, column = divmod(index, COLUMNS)
        y, x = row * (side + above) + above, column * (side + gap)
        mosaic[y : y + side, x : x + side] = image
        axes.text(x + side / 2, y - 2, title, ha="center", va="bottom", fontsize=8)
    axes.imshow(mosaic, interpolation="nearest", aspect="auto")
    axes.axis("off")
    return figure
