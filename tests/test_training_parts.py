"""Each part of a recipe is in force in a training, and not only on record."""

import itertools
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import SGD, easy_dataset, tiny_architecture, tiny_config
from torch import nn
from torch.nn import functional

from cifar_arch import experiment, training
from cifar_arch.augment import Augment, CoarseDropout
from cifar_arch.checkpoint import State
from cifar_arch.data import Dataset
from cifar_arch.device import Execution
from cifar_arch.experiment import Experiment
from cifar_arch.loader import make_loader
from cifar_arch.network import Normalised, build
from cifar_arch.recipe import Recipe
from cifar_arch.spec import Architecture
from cifar_arch.training import Trained, forward_pass, score, train


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return easy_dataset()


def network() -> nn.Module:
    torch.manual_seed(0)
    return build(Architecture.from_dict(tiny_architecture()).plan())


def recipe(**changes: Any) -> Recipe:
    fixed = {"epochs": 1, "batch_size": 40, "lr": 0.05, "device": "cpu", "precision": "float32"}
    return Recipe(**{**SGD, **fixed, **changes})


def fit(dataset: Dataset, **changes: Any) -> Trained:
    return train(network(), dataset, recipe(**changes), augment=Augment(), workers=0)


@pytest.mark.usefixtures("no_figures")
def test_a_run_trains_with_its_augmentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def train_and_tell(*given: Any, **options: Any) -> Trained:
        seen.append(options["augment"])
        return train(*given, **options)

    monkeypatch.setattr(training, "train", train_and_tell)
    config = tiny_config(training={"epochs": 1}, augment={"grayscale": {"p": 0.5}})
    experiment.run_config(config, tmp_path)
    assert seen == [Experiment.from_dict(config).augment] != [Augment()]


@pytest.mark.parametrize("backend", ["albumentations", "batch"])
def test_holes_have_the_mean_of_the_training_images(backend: Any, dataset: Dataset) -> None:
    augment = Augment(coarse_dropout=CoarseDropout(p=1, size=32), backend=backend)
    loader = make_loader(dataset, augment, 40, 0, 0, Execution("cpu", "float32", 1))
    images, _ = next(iter(loader.epoch(1)))
    assert images[0, :, 0, 0].tolist() == [round(mean) for mean in dataset.mean]


def test_an_epoch_is_scored_with_the_averaged_weights(dataset: Dataset) -> None:
    trained = fit(dataset, ema=0.99)
    last = trained.history[-1]
    assert (last.val_loss, last.val_accuracy) == score(trained.network, dataset.validation)


def test_products_have_the_precision_that_is_on_record(dataset: Dataset) -> None:
    exact, rounded = (fit(dataset, precision=name).history[0].train_loss for name in ("float32", "bf16"))
    assert exact != rounded
    assert exact == pytest.approx(rounded, rel=0.05)


def test_the_first_layer_is_whitened_where_it_is_asked_for(dataset: Dataset) -> None:
    nets = [fit(dataset, whiten=whiten, lr=1e-9).network for whiten in (False, True)]
    first, second = (next(net.parameters()) for net in nets)
    assert not torch.allclose(first, second, atol=0.01)


@pytest.mark.parametrize("before", [1, 2])
def test_it_is_whitened_with_the_threads_that_are_on_record(
    before: int, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(training, "whiten", lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(before)
    fit(dataset, threads=3 - before, whiten=True)
    assert seen == [3 - before]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_has_the_threads_that_are_on_record(threads: int, dataset: Dataset) -> None:
    seen = []
    asked = recipe(threads=threads)
    train(network(), dataset, asked, workers=0, on_epoch=lambda _: seen.append(torch.get_num_threads()))
    assert seen == [threads]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_mixed_images_goes_by_the_shares_of_their_labels(smoothing: float) -> None:
    wanted = recipe(label_smoothing=smoothing)
    state = State(
        Normalised(network(), (0, 0, 0), (1, 1, 1)), wanted, 1, Execution("cpu", "float32", threads=1)
    )
    images = torch.rand(6, 3, 32, 32)
    shares = functional.softmax(torch.randn(6, 10), 1)
    state.model.train()
    loss, right = forward_pass(state, images, shares)
    logits = state.model(images)
    smooth = (1 - smoothing) * shares + smoothing / 10
    torch.testing.assert_close(loss, -(smooth * functional.log_softmax(logits, 1)).sum(1).mean())
    assert right == (logits.argmax(1) == shares.argmax(1)).sum()


def weights_with_dropout(p: float, seed: int = 0, drawn_before: int = 0) -> torch.Tensor:
    """All weights after two epochs of one batch each: whatever its order, it is the same images."""
    c2 = {"kind": "custom", "convs": [{"after": ["norm", "activation", "dropout"]}], "dropout": p}
    torch.manual_seed(0)
    net = build(Architecture.from_dict(tiny_architecture(c2=c2)).plan())
    torch.rand(drawn_before)
    asked = recipe(epochs=2, whiten=False)
    train(net, easy_dataset(40), asked, augment=Augment(), workers=0, seed=seed)
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_dropout_is_drawn_by_the_seed_whatever_was_drawn_before() -> None:
    first = weights_with_dropout(0.5)
    assert torch.equal(first, weights_with_dropout(0.5, drawn_before=7))
    assert not torch.allclose(first, weights_with_dropout(0.5, seed=1), atol=1e-3)
    without = weights_with_dropout(0.0)
    torch.testing.assert_close(without, weights_with_dropout(0.0, seed=1), atol=1e-3, rtol=0)


def test_of_mixed_labels_the_largest_share_is_the_right_one() -> None:
    plain = Execution("cpu", "float32", threads=1)
    state = State(Normalised(network(), (0, 0, 0), (1, 1, 1)), recipe(), 1, plain)
    state.model.train()
    images = torch.rand(6, 3, 32, 32)
    shares = functional.softmax(state.model(images).detach(), 1)
    shares[0] = shares[0].roll(1)
    assert forward_pass(state, images, shares)[1] == 5


def test_rates_and_speeds_on_record_are_those_of_their_epoch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = itertools.count(step=30)  # seconds, which go by when it is looked at
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    with caplog.at_level(logging.INFO):
        history = train(network(), easy_dataset(300), recipe(epochs=2), workers=0).history
    assert [(row.seconds, row.images_per_second) for row in history] == [(60, 280 / 30)] * 2
    assert [message.partition("images/s")[2] for message in caplog.messages] == ["  01:00 left", ""]
    assert history[1].lr < history[0].lr < 0.05
    for row, message in zip(history, caplog.messages, strict=True):
        assert f"  train {row.train_accuracy:6.2%}  val {row.val_accuracy:6.2%}  " in message
