from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cifar_arch import plots
from cifar_arch.record import Epoch

CLASSES = ("cat", "dog", "frog")


def history(epochs: int, validation: bool = True) -> list[Epoch]:
    loss, accuracy = (2.0, 0.5) if validation else (None, None)
    return [Epoch(n, 0.1, 1.5, 0.6, loss, accuracy, 1.0, 500.0) for n in range(1, epochs + 1)]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def drawn(figure: Figure) -> None:
    """Draws the figure, so that what only drawing finds out is found out; no text leaves it."""
    figure.draw_without_rendering()
    for text in [*figure.texts, *figure.axes[0].texts]:
        box = text.get_window_extent()
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, text.get_text()


@pytest.mark.parametrize("epochs", [1, 15])
def test_curves_show_both_parts_and_the_target(epochs: int) -> None:
    figure = plots.curves(history(epochs), target=0.85)
    drawn(figure)
    loss, accuracy = figure.axes
    assert [axes.get_xlabel() for axes in figure.axes] == ["epoch", "epoch"]
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("cross entropy (nats)", "accuracy (%)")
    lines: dict[Any, Any] = {line.get_label(): line.get_ydata() for line in accuracy.lines}
    assert list(lines["training, augmented"]) == [60.0] * epochs
    assert list(lines["validation"]) == [50.0] * epochs
    assert list(lines["target 85% (test)"]) == [85.0, 85.0]
    assert len(loss.lines) == 2
    assert all(axes.get_legend() for axes in figure.axes)
    assert all(place == round(place) for place in loss.get_xticks())  # there is no half an epoch


def test_curves_without_validation_show_training_alone_and_no_target() -> None:
    figure = plots.curves(history(3, validation=False), target=0.85)
    drawn(figure)
    assert [len(axes.lines) for axes in figure.axes] == [1, 1]


def test_confusion_counts_have_true_rows_and_predicted_columns() -> None:
    counts = plots.confusion_counts(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_the_confusion_matrix_gives_percent_of_the_true_class() -> None:
    figure = plots.confusion_matrix(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]), CLASSES)
    drawn(figure)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert [label.get_text() for label in axes.get_xticklabels()] == list(CLASSES)
    # The class that never occurs has a row of zeros.
    assert texts(axes) == ["75", "25", "0", "0", "100", "0", "0", "0", "0"]
    assert [text.get_color() for text in axes.texts[:2]] == ["white", "black"]  # on dark, on light
    assert axes.images[0].get_clim() == (0, 100)


def test_misclassified_shows_the_surest_first_with_both_classes_and_confidence() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    figure = plots.misclassified(images, np.array([1, 2, 1, 2]), probabilities, CLASSES)
    drawn(figure)
    assert figure.get_suptitle().startswith("Misclassified: 2 of 4")
    assert texts(figure.axes[0]) == ["frog\nas cat 90%", "dog\nas cat 60%"]
    mosaic = figure.axes[0].images[0].get_array()
    assert mosaic is not None
    assert [int((mosaic == value).all(2).sum()) for value in (0, 1, 2, 3)] == [32**2, 32**2, 0, 0]
    places = [text.get_position() for text in figure.axes[0].texts]
    assert [int(mosaic[int(y) + 3, int(x), 0]) for x, y in places] == [1, 0]  # each above its picture


@pytest.mark.parametrize(("wrong", "shown"), [(0, 0), (1, 1), (100, 40)])
def test_misclassified_shows_at_most_a_sheet(wrong: int, shown: int) -> None:
    labels = np.repeat([0, 1], [wrong, 5])
    figure = plots.misclassified(
        np.zeros((wrong + 5, 32, 32, 3), np.uint8), labels, np.tile([0.0, 1.0, 0.0], (wrong + 5, 1)), CLASSES
    )
    drawn(figure)
    assert len(texts(figure.axes[0])) == shown
    mosaic: Any = figure.axes[0].images[0].get_array()
    assert (mosaic == 0).all(2).sum() == shown * 32**2  # none over another
    order = ", the surest first (true, as predicted)" * (wrong > 0)
    assert figure.get_suptitle() == f"Misclassified: {wrong} of {wrong + 5}{order}"
