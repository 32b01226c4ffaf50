"""train(...) -> the trained network and its history; prediction and scores."""

import contextlib
import gc
import logging
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from cifar_arch.augment import Augment, Colour
from cifar_arch.checkpoint import State
from cifar_arch.cuda_graph import CapturedGraph
from cifar_arch.data import Dataset, Split
from cifar_arch.device import Execution, choose_execution, keep_memory
from cifar_arch.loader import BatchLoader, Loader, make_loader
from cifar_arch.network import Normalised
from cifar_arch.recipe import Recipe
from cifar_arch.record import Epoch
from cifar_arch.whitening import whiten

log = logging.getLogger(__name__)

# float32 on a GPU too, not TF32 with its 10 bits.
torch.backends.cudnn.allow_tf32 = False

READ_EVERY = 20  # steps between two looks at the loss on a GPU, which has to finish its work for each

# Images and labels of a batch -> loss and number of images predicted right.
Step = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class Trained(NamedTuple):
    network: nn.Module  # the averaged weights where there are some
    history: list[Epoch]
    execution: Execution


class TrainingDiverged(RuntimeError):
    """The loss is no longer finite; the text says where and what to try."""


def train(
    network: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    *,
    augment: Augment | None = None,
    seed: int = 0,
    workers: int | str = "auto",
    checkpoint: Path | None = None,
    on_epoch: Callable[[list[Epoch]], None] | None = None,
    progress: bool = True,
) -> Trained:
    """`network` ((N, 3, 32, 32) -> (N, 10)) after training, which resumes from `checkpoint` if it exists.

    Sets torch's number of threads. After every epoch the checkpoint is written, then `on_epoch` gets the
    history so far; what it raises ends the training. Raises TrainingDiverged on a loss that is not finite.
    """
    execution = choose_execution(recipe, len(dataset.train.labels))
    if execution.device != "cpu":  # of the training before, in whose cycles batches and graphs lie
        gc.collect()
    torch.set_num_threads(execution.threads)  # which changes the last bits of whatever is computed
    if recipe.whiten:
        whiten(network, dataset)
    loader = make_loader(dataset, augment or Augment(), recipe.batch_size, seed, workers, execution)
    state = build_state(network, recipe, dataset.mean, dataset.std, recipe.epochs * len(loader), execution)
    if checkpoint and checkpoint.exists():
        state.load(checkpoint)
    torch.set_num_threads(state.execution.threads)
    step = training_step(state)
    with _progress_bar(state, len(loader), progress) as bar:
        while len(state.history) < recipe.epochs:
            state.history.append(_run_epoch(state, step, loader, dataset.validation, seed, bar))
            if checkpoint:
                state.save(checkpoint)
            if on_epoch:
                on_epoch(state.history)
            _log_epoch(state.history, recipe.epochs)  # last: whoever sees it may stop the run
    return Trained(state.final(), state.history, state.execution)


def build_state(
    network: nn.Module, recipe: Recipe, mean: Colour, std: Colour, steps: int, execution: Execution
) -> State:
    """A network on its device, ready for the first of `steps` steps."""
    keep_memory()
    model = Normalised(network, mean, std).to(execution.device)
    if execution.device != "mps":
        model = model.to(memory_format=torch.channels_last)
    return State(model, recipe, steps, execution)


def _run_epoch(
    state: State, step: Step, loader: Loader | BatchLoader, validation: Split, seed: int, bar: "tqdm[Any]"
) -> Epoch:
    """The next epoch, trained and scored."""
    torch.manual_seed(seed * 1_000_003 + state.epoch)  # so that a resumed run draws the same dropout
    start = time.perf_counter()
    train_loss, train_accuracy = _train_epoch(state, step, loader, bar)
    training_seconds = time.perf_counter() - start
    val_loss, val_accuracy = score(state.final(), validation)
    if val_loss is not None:  # the last step may have broken the weights
        _require_finite("validation", val_loss, state)
    return Epoch(
        epoch=state.epoch,
        lr=state.lr,
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        seconds=time.perf_counter() - start,
        images_per_second=len(loader) * state.recipe.batch_size / training_seconds,
    )


def _train_epoch(
    state: State, step: Step, loader: Loader | BatchLoader, bar: "tqdm[Any]"
) -> tuple[float, float]:
    """Mean loss and accuracy over the epoch's batches."""
    state.model.train()
    device, batch_size = state.device, state.recipe.batch_size
    read_every = 1 if device.type == "cpu" else READ_EVERY
    ahead = device.type == "cuda"  # MPS would copy later what may be overwritten by then (pytorch#189690)
    total_loss, total_right = torch.zeros(2, device=device)
    mean_loss = accuracy = 0.0
    for number, (images, labels) in enumerate(loader.epoch(state.epoch), 1):
        images = images.to(device, non_blocking=ahead)
        labels = labels.to(device, non_blocking=ahead)
        loss, right = step(images, labels)
        total_loss += loss
        total_right += right
        if number % read_every == 0 or number == len(loader):
            mean_loss = float(total_loss) / number
            accuracy = float(total_right) / (number * batch_size)
            _require_finite("training", mean_loss, state)
            _describe(bar, state, mean_loss, accuracy)
        bar.update(batch_size)
    return mean_loss, accuracy


def training_step(state: State) -> Step:
    """The function that makes a step on a batch; what it returns was measured before the step."""
    backward: Step = partial(backward_pass, state)
    if state.execution.captured:
        backward = CapturedGraph(backward)

    def step(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = backward(images, labels)
        state.step()
        return found

    return step


def backward_pass(
    state: State, images: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and the number of images predicted right; leaves the gradients, and makes no step."""
    loss, right = forward_pass(state, images, labels)
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach(), right


def forward_pass(
    state: State, images: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and the number of images predicted right; computes no gradients."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=state.execution.precision == "bf16"):
        logits = state.forward(images).float()
        loss = functional.cross_entropy(logits, labels, label_smoothing=state.recipe.label_smoothing)
    if labels.ndim > 1:  # mixed
        labels = labels.argmax(1)
    return loss, (logits.argmax(1) == labels).sum()


def _require_finite(kind: str, loss: float, state: State) -> None:
    if not math.isfinite(loss):
        raise TrainingDiverged(
            f"the {kind} loss is {loss} in epoch {state.epoch}: lower training.lr "
            f"(now {state.recipe.lr:g}) or set training.clip=1"
        )


@contextlib.contextmanager
def _progress_bar(state: State, batches: int, shown: bool) -> "Iterator[tqdm[Any]]":
    """One bar over all images of the run, to show the time left in the run; none without a terminal."""
    images = batches * state.recipe.batch_size
    lines_above_bar = logging_redirect_tqdm() if shown else contextlib.nullcontext()
    with (
        lines_above_bar,
        tqdm(
            total=state.recipe.epochs * images,
            initial=len(state.history) * images,
            unit=" images",
            unit_scale=True,
            disable=None if shown else True,
            leave=False,
            smoothing=0.05,
            desc="starting",
            # The rate comes last: it is what 80 columns cut off first.
            bar_format="{percentage:3.0f}% {bar:6} {desc}  {remaining} left  {rate_fmt}",
        ) as bar,
    ):
        yield bar


def _describe(bar: "tqdm[Any]", state: State, loss: float, accuracy: float) -> None:
    text = f"epoch {state.epoch}/{state.recipe.epochs}  loss {loss:.3f}  accuracy {accuracy:.1%}"
    bar.set_description_str(text, refresh=False)


def _log_epoch(history: list[Epoch], epochs: int) -> None:
    """Logs losses, accuracies and speed, in about 80 characters."""
    row = history[-1]
    validation = "" if row.val_accuracy is None else f"val {row.val_accuracy:6.2%}  "
    seconds_left = sum(r.seconds for r in history) / len(history) * (epochs - row.epoch)
    left = f"  {tqdm.format_interval(seconds_left)} left" * (row.epoch < epochs)
    log.info(
        f"epoch {row.epoch:{len(str(epochs))}}/{epochs}  loss {row.train_loss:.3f}  "
        f"train {row.train_accuracy:6.2%}  {validation}{row.images_per_second:5,.0f} images/s{left}"
    )


def predict(model: nn.Module, images: np.ndarray, batch_size: int = 500) -> np.ndarray:
    """Class probabilities (N, 10) float32 of uint8 images (N, 32, 32, 3), of which there may be none.

    Leaves the model in eval mode.
    """
    keep_memory()
    device = next(model.parameters()).device
    model.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, max(1, len(images)), batch_size):
            batch = torch.from_numpy(images[start : start + batch_size]).permute(0, 3, 1, 2)
            found.append(functional.softmax(model(batch.to(device)).float(), 1).cpu())
    return torch.cat(found).numpy()


def score(model: nn.Module, split: Split) -> tuple[float | None, float | None]:
    """Mean cross entropy in nats and accuracy of a trained network on a split; None for an empty one.

    It takes pixels, as what `train` and `load_network` return does, and what `build` returns does not.
    """
    if not len(split.labels):
        return None, None
    return loss_and_accuracy(predict(model, split.images), split.labels)


def loss_and_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cross entropy in nats and accuracy from 0 to 1, of probabilities (N, 10) and labels (N,)."""
    right = probabilities[np.arange(len(labels)), labels]
    loss = -np.log(right.clip(1e-12)).mean()
    return float(loss), float((probabilities.argmax(1) == labels).mean())
