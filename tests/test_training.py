import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SGD, easy_dataset, tiny_architecture
from msgspec.structs import replace
from torch import nn

from cifar_arch import training
from cifar_arch.augment import Augment, CoarseDropout, HorizontalFlip
from cifar_arch.data import Dataset, Split
from cifar_arch.loader import Loader
from cifar_arch.network import Normalised, build
from cifar_arch.recipe import Recipe
from cifar_arch.record import Epoch
from cifar_arch.schema import ConfigError
from cifar_arch.spec import Architecture
from cifar_arch.training import Trained, TrainingDiverged, train

AUGMENT = Augment(horizontal_flip=HorizontalFlip(p=0.5), coarse_dropout=CoarseDropout(p=0.5))
DROPOUT = {
    "kind": "custom",
    "convs": [{"out": 4, "after": ["norm", "activation", "dropout"]}],
    "dropout": 0.2,
}
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


class Stop(Exception):
    pass


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return easy_dataset()


def network(seed: int = 0, **changes: Any) -> nn.Module:
    torch.manual_seed(seed)
    return build(Architecture.from_dict(tiny_architecture(c1=DROPOUT, **changes)).plan())


def recipe(**changes: Any) -> Recipe:
    fixed = {"epochs": 3, "batch_size": 40, "lr": 0.05, "device": "cpu", "precision": "float32"}
    return Recipe(**{**SGD, **fixed, **changes})


def fit(dataset: Dataset, recipe: Recipe, net: nn.Module | None = None, **options: Any) -> Trained:
    options = {"augment": AUGMENT, "workers": 0, **options}
    return train(net or network(), dataset, recipe, **options)


def assert_equal(first: Trained, second: Trained) -> None:
    """Bit for bit, but for the clock."""
    weights = first.network.state_dict(), second.network.state_dict()
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert timeless(first.history) == timeless(second.history)


def timeless(history: list[Epoch]) -> list[Epoch]:
    return [replace(row, seconds=0.0, images_per_second=0.0) for row in history]


def equal_weights(first: Trained, second: Trained) -> bool:
    pairs = zip(first.network.parameters(), second.network.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_it_learns_easy_pictures() -> None:
    torch.manual_seed(0)
    net = build(Architecture.from_dict(tiny_architecture(width=8)).plan())
    trained = fit(easy_dataset(400), recipe(epochs=8, batch_size=20, ema=0.9), net, augment=Augment())
    assert [row.epoch for row in trained.history] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert trained.history[-1].train_accuracy > 0.5
    assert (trained.history[-1].val_accuracy or 0) > 0.5
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    assert trained.execution.device == "cpu"


@pytest.mark.parametrize(
    ("epochs_before", "settings"),
    [
        (1, {"optimizer": "sgd", "schedule": "onecycle", "ema": 0.9, "clip": 1.0}),
        (2, {"optimizer": "sgd", "schedule": "onecycle", "ema": 0, "cycle_momentum": (0.85, 0.95)}),
        (2, {"optimizer": "sgd", "schedule": "cosine", "ema": 0}),
        (1, {"optimizer": "adamw", "schedule": "cosine", "ema": 0.9, "lr": 0.01}),
        (2, {"optimizer": "adamw", "schedule": "onecycle", "ema": 0, "lr": 0.01}),
        (1, {"optimizer": "muon", "schedule": "linear", "ema": 0.9, "whiten": True}),
        (2, {"optimizer": "muon", "schedule": "onecycle", "ema": 0, "precision": "bf16"}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else f"after{value}",
)
def test_a_resumed_run_ends_as_the_uninterrupted_one(
    dataset: Dataset, tmp_path: Path, epochs_before: int, settings: dict[str, Any]
) -> None:
    def stop(history: list[Epoch]) -> None:
        if len(history) == epochs_before:
            raise Stop

    whole = fit(dataset, recipe(**settings))
    checkpoint = tmp_path / "last.pt"
    with pytest.raises(Stop):
        fit(dataset, recipe(**settings), checkpoint=checkpoint, on_epoch=stop)
    seen: list[int] = []
    resumed = fit(
        dataset,
        recipe(**settings),
        network(seed=9),  # whatever it starts with, the checkpoint replaces it
        checkpoint=checkpoint,
        on_epoch=lambda history: seen.append(len(history)),
    )
    assert seen == list(range(epochs_before + 1, 4))
    assert_equal(whole, resumed)
    assert_equal(whole, fit(dataset, recipe(**settings), checkpoint=checkpoint))  # nothing is left to do


def test_the_same_seed_is_bit_identical_and_another_one_is_not(dataset: Dataset) -> None:
    first = fit(dataset, recipe(epochs=1))
    assert_equal(first, fit(dataset, recipe(epochs=1)))
    assert not equal_weights(first, fit(dataset, recipe(epochs=1), seed=1))


@forks
def test_worker_processes_change_nothing_not_even_dropout_or_a_resume(
    dataset: Dataset, tmp_path: Path
) -> None:
    alone = fit(dataset, recipe())
    assert_equal(alone, fit(dataset, recipe(), workers=2))

    def stop(history: list[Epoch]) -> None:
        raise Stop

    checkpoint = tmp_path / "last.pt"
    with pytest.raises(Stop):
        fit(dataset, recipe(), workers=1, checkpoint=checkpoint, on_epoch=stop)
    assert_equal(alone, fit(dataset, recipe(), workers=1, checkpoint=checkpoint))


def smoothed_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    log_p = logits - logits.exp().sum(1, keepdim=True).log()
    right = log_p[torch.arange(len(labels)), labels]
    return -((1 - smoothing) * right + smoothing * log_p.mean(1)).mean()


def by_hand(dataset: Dataset, recipe: Recipe, net: nn.Module) -> tuple[nn.Module, float]:
    """One epoch of Nesterov SGD written out, and the mean loss; no norm or bias has weight decay."""
    model = Normalised(net, dataset.mean, dataset.std).to(memory_format=torch.channels_last).train()
    parameters = list(model.parameters())
    momenta = [torch.zeros_like(p) for p in parameters]
    loader = Loader(dataset.train, Augment(), dataset.mean, batch_size=recipe.batch_size, seed=0)
    steps, peak = len(loader), recipe.warmup * (len(loader) + 1) - 1
    average: dict[str, torch.Tensor] = {}
    losses = []
    for step, (images, labels) in enumerate(loader.epoch(1)):
        low, high, share = recipe.lr / 25, recipe.lr, step / peak
        if step > peak:
            low, high, share = recipe.lr, recipe.lr / 25 / 1e4, (step - peak) / (steps - peak)
        rate = high + (low - high) * (1 + math.cos(math.pi * share)) / 2
        loss = smoothed_cross_entropy(model(images), labels, recipe.label_smoothing)
        gradients = torch.autograd.grad(loss, parameters)
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
        shrink = min(1.0, recipe.clip / norm) if recipe.clip else 1.0
        with torch.no_grad():
            for p, gradient, momentum in zip(parameters, gradients, momenta, strict=True):
                decay = recipe.weight_decay if p.ndim > 1 else 0
                change = gradient * shrink + decay * p
                momentum.mul_(recipe.momentum).add_(change)
                p.sub_(rate * (change + recipe.momentum * momentum))
        losses.append(loss.item())
        now = {n: t.clone() for n, t in model.state_dict().items() if t.is_floating_point()}
        keep = min(recipe.ema, (1 + step) / (10 + step)) if step else 0.0
        average = {n: t.lerp(average[n], keep) if step else t for n, t in now.items()}
    if recipe.ema:
        model.load_state_dict(average, strict=False)
    return model, sum(losses) / len(losses)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weight_decay": 0.1},
        {"label_smoothing": 0.3},
        {"clip": 0.1},
        {"ema": 0.5},
        {"ema": 0.999},
        {"weight_decay": 0.1, "label_smoothing": 0.1, "clip": 0.5, "ema": 0.9},
    ],
    ids=str,
)
def test_an_epoch_is_the_one_worked_out_by_hand(dataset: Dataset, settings: dict[str, Any]) -> None:
    plain = {"epochs": 1, "weight_decay": 0, "label_smoothing": 0, "ema": 0, "clip": None}
    chosen = recipe(**{**plain, **settings})
    torch.manual_seed(0)
    net = build(Architecture.from_dict(tiny_architecture()).plan())
    expected, loss = by_hand(dataset, chosen, copy.deepcopy(net))
    trained = fit(dataset, chosen, net, augment=Augment())
    assert trained.history[0].train_loss == pytest.approx(loss, rel=1e-4)
    for name, value in expected.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(trained.network.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_a_loss_that_is_no_number_stops_the_run(dataset: Dataset, tmp_path: Path) -> None:
    checkpoint = tmp_path / "last.pt"
    message = r"the training loss is (nan|inf) in epoch 1: lower training\.lr \(now 1e\+30\)"
    with pytest.raises(TrainingDiverged, match=message):
        fit(dataset, recipe(lr=1e30, label_smoothing=0), checkpoint=checkpoint)
    assert not checkpoint.exists()


def test_weights_that_the_last_step_of_an_epoch_broke_are_noticed(tmp_path: Path) -> None:
    checkpoint = tmp_path / "last.pt"
    chosen = recipe(batch_size=40, lr=3e38, warmup=0, ema=0, weight_decay=0)
    with pytest.raises(TrainingDiverged, match="the validation loss is nan in epoch 1"):
        fit(easy_dataset(train=40), chosen, checkpoint=checkpoint)
    assert not checkpoint.exists()


def test_without_validation_images_there_is_no_validation_accuracy(dataset: Dataset) -> None:
    empty = Split(dataset.validation.images[:0], dataset.validation.labels[:0])
    trained = fit(replace(dataset, validation=empty), recipe(epochs=1))
    assert trained.history[0].val_loss is trained.history[0].val_accuracy is None


@pytest.mark.parametrize(
    ("device", "there"),
    [("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())],
)
def test_a_device_that_is_not_there_is_refused(dataset: Dataset, device: str, there: bool) -> None:
    if there:
        pytest.skip(f"this machine has {device}")
    with pytest.raises(ConfigError, match=rf"training\.device: .* no {device}; choose from auto, cpu"):
        fit(dataset, recipe(device=device))


@pytest.mark.parametrize("backend", ["batch", "albumentations"])
def test_no_device_but_cuda_copies_later(
    dataset: Dataset, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = []
    for name, method in (("to", torch.Tensor.to), ("copy_", torch.Tensor.copy_)):

        def recorded(*given: Any, method: Any = method, **options: Any) -> Any:
            later.append(options.get("non_blocking", False))
            return method(*given, **options)

        monkeypatch.setattr(torch.Tensor, name, recorded)
    fit(dataset, recipe(epochs=1), augment=replace(AUGMENT, backend=backend))
    assert later
    assert not any(later)


@pytest.mark.slow  # the compiler takes its time
def test_compiled_it_trains_to_the_same(dataset: Dataset) -> None:
    eager = fit(dataset, recipe(epochs=2))
    compiled = fit(dataset, recipe(epochs=2, compile=True))
    assert compiled.execution.compiled
    for ours, theirs in zip(compiled.history, eager.history, strict=True):  # each step rounds differently
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=0.03)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_learns_on_cuda_and_goes_on_from_a_checkpoint(dataset: Dataset, tmp_path: Path) -> None:
    chosen = recipe(epochs=30, ema=0, device="cuda")
    for _ in range(2):
        trained = fit(dataset, chosen, augment=Augment(), workers=2, checkpoint=tmp_path / "last.pt")
        assert trained.execution.device == "cuda"
        assert (trained.history[-1].val_accuracy or 0) > 0.5


def test_predictions_are_probabilities_whatever_the_batch_size(dataset: Dataset) -> None:
    model = Normalised(network(), dataset.mean, dataset.std)
    images = dataset.test.images[:23]
    whole, pieces = training.predict(model, images), training.predict(model, images, batch_size=5)
    assert whole.shape == (23, 10)
    np.testing.assert_allclose(whole, pieces, atol=1e-6)
    np.testing.assert_allclose(whole.sum(1), 1, atol=1e-5)
    assert (whole >= 0).all()


def test_loss_and_accuracy_by_hand() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.6, 0.0, 0.4]])
    loss, accuracy = training.loss_and_accuracy(probabilities, np.array([0, 1, 2]))
    assert loss == pytest.approx(-(math.log(0.5) + math.log(0.8) + math.log(0.4)) / 3)
    assert accuracy == pytest.approx(2 / 3)
