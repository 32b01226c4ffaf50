"""train(...) -> the trained network and its history; checkpoints; prediction."""

import contextlib
import logging
import math
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from cifar_arch.augment import Augment
from cifar_arch.data import Loader, Pictures, Split
from cifar_arch.network import Normalised
from cifar_arch.recipe import Recipe
from cifar_arch.record import Epoch
from cifar_arch.runfolder import atomic
from cifar_arch.schema import ConfigError

log = logging.getLogger(__name__)


class Trained(NamedTuple):
    network: nn.Module  # the averaged weights where there are some
    history: list[Epoch]
    device: str


class TrainingDiverged(RuntimeError):
    """The loss stopped being a number; the text says where and what to try."""


def train(
    network: nn.Module,
    pictures: Pictures,
    recipe: Recipe,
    *,
    augment: Augment | None = None,
    seed: int = 0,
    workers: int | str = "auto",
    checkpoint: Path | None = None,
    on_epoch: Callable[[list[Epoch]], None] | None = None,
    progress: bool = True,
) -> Trained:
    """Trains `network` ((N, 3, 32, 32) -> (N, 10)), going on from `checkpoint` where there is one.

    After every epoch the checkpoint is written, then `on_epoch` gets the history so far; what it
    raises ends the training. Raises TrainingDiverged on a loss that is not finite.
    """
    device = pick_device(recipe.device)
    model = Normalised(network, pictures.mean, pictures.std).to(device)
    if device.type != "mps":
        model = model.to(memory_format=torch.channels_last)
    loader = Loader(
        pictures.train,
        augment or Augment(),
        pictures.mean,
        batch_size=recipe.batch_size,
        seed=seed,
        workers=_workers(workers, device),
    )
    state = _State(model, recipe, len(loader))
    if checkpoint and checkpoint.exists():
        state.load(checkpoint, device)
    lines_above_bar = logging_redirect_tqdm() if progress else contextlib.nullcontext()
    with lines_above_bar, _progress(recipe, state, len(loader), progress) as bar:
        for number in range(len(state.history) + 1, recipe.epochs + 1):
            start = time.perf_counter()
            loss, accuracy = _train_epoch(state, loader, recipe, device, seed, number, bar)
            trained = time.perf_counter() - start
            val_loss, val_accuracy = score(state.best(), pictures.validation)
            if val_loss is not None and not math.isfinite(val_loss):  # the epoch's last step did it
                raise _diverged("validation", val_loss, number, state, recipe)
            row = Epoch(
                epoch=number,
                lr=float(state.schedule.get_last_lr()[0]),
                train_loss=loss,
                train_accuracy=accuracy,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                seconds=time.perf_counter() - start,
                images_per_second=len(loader) * recipe.batch_size / trained,
            )
            state.history.append(row)
            _log_epoch(state.history, recipe.epochs)
            if checkpoint:
                state.save(checkpoint)
            if on_epoch:
                on_epoch(state.history)
    return Trained(state.best(), state.history, device.type)


def _train_epoch(
    state: "_State",
    loader: Loader,
    recipe: Recipe,
    device: torch.device,
    seed: int,
    number: int,
    bar: "tqdm[Any]",
) -> tuple[float, float]:
    """Mean loss and accuracy over the epoch's batches."""
    random_seed(seed * 1_000_003 + number)  # so that a resumed run draws the same dropout
    model = state.model.train()
    bf16 = _computes_bf16(device)
    total_loss = torch.zeros((), device=device)
    total_right = torch.zeros((), device=device)
    for step, (images, labels) in enumerate(loader.epoch(number), 1):
        images = images.to(device, non_blocking=True)
        labels = labels.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = model(images)
            loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.clip:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        state.optimizer.step()
        state.schedule.step()
        if state.average:
            state.average.update_parameters(model)
        total_loss += loss.detach()
        total_right += (logits.argmax(1) == labels).sum()
        # Reading the loss waits for the device, so that a GPU is asked now and then only.
        if device.type == "cpu" or step % 20 == 0 or step == len(loader):
            _show(bar, step, float(total_loss), float(total_right), recipe, state, number)
    images_seen = len(loader) * recipe.batch_size
    return float(total_loss) / len(loader), float(total_right) / images_seen


def _computes_bf16(device: torch.device) -> bool:
    """Whether it is fast there: GPUs before Ampere, such as Colab's T4, only emulate it."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _show(
    bar: "tqdm[Any]",
    step: int,
    loss: float,
    right: float,
    recipe: Recipe,
    state: "_State",
    number: int,
) -> None:
    if not math.isfinite(loss):
        raise _diverged("training", loss, number, state, recipe)
    seen = step * recipe.batch_size
    bar.set_description_str(
        f"epoch {number}/{recipe.epochs}  loss {loss / step:.3f}  accuracy {right / seen:.1%}",
        refresh=False,
    )
    done = (number - 1) * state.epoch_images + seen
    bar.update(done - bar.n)


def _diverged(kind: str, loss: float, number: int, state: "_State", recipe: Recipe) -> TrainingDiverged:
    return TrainingDiverged(
        f"the {kind} loss is {loss} in epoch {number}, at a learning rate of "
        f"{state.schedule.get_last_lr()[0]:.3g}: lower training.lr (now {recipe.lr:g}) "
        "or set training.clip=1"
    )


def _progress(recipe: Recipe, state: "_State", batches: int, shown: bool) -> "tqdm[Any]":
    """One bar over all images of the run, so that it shows the run's time left; none off a terminal."""
    return tqdm(
        total=recipe.epochs * batches * recipe.batch_size,
        initial=len(state.history) * batches * recipe.batch_size,
        unit=" images",
        unit_scale=True,
        disable=None if shown else True,
        leave=False,
        smoothing=0.05,
        desc="starting",
        bar_format="{percentage:3.0f}% {bar:20} {desc}  {rate_fmt}  {remaining} left",
    )


def _log_epoch(history: list[Epoch], epochs: int) -> None:
    row = history[-1]
    validation = "" if row.val_accuracy is None else f"val accuracy {row.val_accuracy:7.2%}  "
    left = sum(r.seconds for r in history) / len(history) * (epochs - row.epoch)
    log.info(
        f"epoch {row.epoch:3}/{epochs}  loss {row.train_loss:.3f}  "
        f"train accuracy {row.train_accuracy:7.2%}  {validation}"
        f"{row.images_per_second:6,.0f} images/s  {left / 60:4.1f} min left"
    )


_UNREADABLE = (OSError, RuntimeError, LookupError, ValueError, TypeError, EOFError, UnpicklingError)


class _State:
    """All that changes while training, and so all that a checkpoint holds."""

    def __init__(self, model: Normalised, recipe: Recipe, batches: int):
        self.model = model
        self.epoch_images = batches * recipe.batch_size
        self.optimizer = _optimizer(model, recipe)
        self.schedule = _schedule(self.optimizer, recipe, recipe.epochs * batches)
        self.average = (
            AveragedModel(model, multi_avg_fn=_Average(recipe.ema), use_buffers=True) if recipe.ema else None
        )
        self.history: list[Epoch] = []

    def best(self) -> nn.Module:
        """The network to judge: the averaged one where there is one, ready to predict."""
        module = self.average.module if self.average else self.model
        assert isinstance(module, nn.Module)
        return module.eval()

    def save(self, path: Path) -> None:
        parts = self._parts()
        state = {name: part.state_dict() for name, part in parts.items()}
        with atomic(path) as temporary:
            torch.save(
                {**state, "history": [msgspec.structs.astuple(row) for row in self.history]}, temporary
            )

    def load(self, path: Path, device: torch.device) -> None:
        """Goes on from `path`. Raises ConfigError where it is damaged or of another experiment."""
        try:
            saved = torch.load(path, weights_only=True, map_location=device)
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
            self.history = [Epoch(*row) for row in saved["history"]]
        except _UNREADABLE as error:
            raise ConfigError(
                f"training.resume: the checkpoint {str(path)!r} cannot be read "
                f"({(str(error) or type(error).__name__).splitlines()[0]}); "
                "remove it to train from the start"
            ) from error

    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        return {**parts, "average": self.average} if self.average else parts


class _Average:
    """Exponential averaging that starts as a plain mean, so that short runs forget their start."""

    def __init__(self, decay: float):
        self.decay = decay

    @torch.no_grad()
    def __call__(self, averaged: Any, current: Any, count: Any) -> None:
        n = float(count)
        weight = 1 - min(self.decay, (1 + n) / (10 + n))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, weight)
        else:  # counters of batch norm
            for old, new in zip(averaged, current, strict=True):
                old.copy_(new)


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    spared = [p for p in model.parameters() if p.ndim <= 1]  # norms and biases
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))
    nesterov = recipe.momentum > 0 or recipe.cycle_momentum is not None
    momentum = max(recipe.cycle_momentum or (recipe.momentum,))
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=momentum, nesterov=nesterov)


def _schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    if recipe.schedule == "onecycle":
        low, high = recipe.cycle_momentum or (recipe.momentum, recipe.momentum)
        total = steps + 1  # one more than is taken: the last step's successor is looked up too
        # A rise of exactly one step makes torch divide by its length less one.
        warmup = float(recipe.warmup) + (1e-6 if recipe.warmup * total == 1 else 0)
        return OneCycleLR(
            optimizer,
            recipe.lr,
            total_steps=total,
            pct_start=warmup,
            cycle_momentum=recipe.cycle_momentum is not None,
            base_momentum=low,
            max_momentum=high,
        )
    rising = min(round(recipe.warmup * steps), steps - 1)
    falling = CosineAnnealingLR(optimizer, steps - rising)
    if not rising:
        return falling
    return SequentialLR(optimizer, [LinearLR(optimizer, 1 / rising, total_iters=rising), falling], [rising])


def predict(model: nn.Module, images: np.ndarray, batch_size: int = 500) -> np.ndarray:
    """Class probabilities (N, 10) float32 of uint8 images (N, 32, 32, 3)."""
    device = next(model.parameters()).device
    model.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[start : start + batch_size]).permute(0, 3, 1, 2)
            found.append(functional.softmax(model(batch.to(device)).float(), 1).cpu())
    return torch.cat(found).numpy()


def score(model: nn.Module, split: Split) -> tuple[float | None, float | None]:
    """Mean cross entropy in nats and accuracy on a split; None for an empty one."""
    if not len(split.labels):
        return None, None
    return loss_and_accuracy(predict(model, split.images), split.labels)


def loss_and_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    right = probabilities[np.arange(len(labels)), labels]
    loss = -np.log(right.clip(1e-12)).mean()
    return float(loss), float((probabilities.argmax(1) == labels).mean())


def pick_device(wanted: str) -> torch.device:
    """The device to train on. Raises ConfigError for one that this machine does not have."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return torch.device(next((name for name, there in available.items() if there), "cpu"))
    if not available.get(wanted, True):
        there = ", ".join(["auto", "cpu", *(name for name, there in available.items() if there)])
        raise ConfigError(f"training.device: this machine has no {wanted}; choose from {there}")
    return torch.device(wanted)


def _workers(wanted: int | str, device: torch.device) -> int:
    """Processes that augment. On a CPU none: training leaves no core for them to be faster on."""
    if isinstance(wanted, int):
        return wanted
    return 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)


def random_seed(seed: int) -> None:
    """Sets the generators that libraries draw from when nobody hands them one."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
