from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from conftest import easy_dataset
from matplotlib.figure import Figure

from cifar_arch import artifacts, plots
from cifar_arch.augment import Augment, HorizontalFlip
from cifar_arch.data import Split
from cifar_arch.runfolder import RunFolder


@pytest.mark.parametrize("backend", ["albumentations", "batch"])
def test_the_sheet_has_an_image_of_each_class_as_each_epoch_shows_it(
    backend: Literal["albumentations", "batch"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def sheet(*given: Any) -> Figure:
        drawn.append(given)
        return Figure()

    monkeypatch.setattr(plots, "sheet", sheet)
    dataset = easy_dataset()
    augment = Augment(backend=backend, horizontal_flip=HorizontalFlip(p=0.5, alternate=True))
    artifacts.save_augmented(RunFolder(tmp_path), augment, 0, dataset)
    ((images, titles, heading),) = drawn
    assert titles[7:10] == ["epoch 7", "colour 1", "epoch 1"]
    assert heading == "Augmented samples: horizontal_flip"
    for label, (plain, *seen) in enumerate(images.reshape(10, 8, 32, 32, 3)):
        assert (plain == dataset.train.images[dataset.train.labels == label][0]).all()
        flipped = [np.array_equal(image, plain[:, ::-1]) for image in seen]
        assert flipped in ([True, False] * 3 + [True], [False, True] * 3 + [False])
        assert [np.array_equal(image, plain) for image in seen] == [not turned for turned in flipped]


def test_predictions_are_drawn_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []

    def confusion_matrix(*given: Any) -> Figure:
        drawn.append(given)
        return Figure()

    monkeypatch.setattr(plots, "confusion_matrix", confusion_matrix)
    split = Split(np.zeros((2, 32, 32, 3), np.uint8), np.array([0, 1]))
    artifacts.save_misclassified(RunFolder(tmp_path), split, np.array([[0.9, 0.1], [0.6, 0.4]]), ("a", "b"))
    ((true, predicted, _),) = drawn
    assert (true.tolist(), predicted.tolist()) == ([0, 1], [0, 0])
