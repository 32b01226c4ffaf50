"""A recipe -> its optimizer, learning-rate schedule and averaged weights."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR
from torch.optim.swa_utils import AveragedModel

from cifar_arch.muon import Muon, orthogonalised
from cifar_arch.recipe import Recipe


def spare_the_compiler() -> None:
    """Has torch not import its compiler, 1.6 s, only to mark methods of optimizers as not to be compiled.

    Nothing here compiles an optimizer. The attribute is torch's own (torch/_compile.py); should it go, the
    import comes back.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    for method in (getattr(Optimizer, name) for name in names):
        inner = inspect.unwrap(method)
        if inner is not method:
            inner.__dict__.setdefault("__dynamo_disable", inner)


def build_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """SGD with Nesterov momentum, AdamW or Muon; weight decay on weights, none on norms and biases."""
    spare_the_compiler()
    filters = orthogonalised(model) if recipe.optimizer == "muon" else []
    taken = {id(p) for p in filters}
    others = [p for p in model.parameters() if id(p) not in taken]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    momentum = max(recipe.cycle_momentum or (recipe.momentum,))
    match recipe.optimizer:
        case "adamw":
            return AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))
        case "muon":
            return Muon(filters, groups, lr=recipe.lr, sgd_lr=recipe.sgd_lr, momentum=momentum)
    nesterov = recipe.momentum > 0 or recipe.cycle_momentum is not None
    return SGD(groups, lr=recipe.lr, momentum=momentum, nesterov=nesterov)


def build_schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """The learning rate over `steps` steps: a warm-up to `recipe.lr`, then a cosine or a line to about 0."""
    if recipe.schedule == "onecycle":
        return _one_cycle(optimizer, recipe, steps)
    rising = min(round(recipe.warmup * steps), steps - 1)
    falling: LRScheduler = CosineAnnealingLR(optimizer, steps - rising)
    if recipe.schedule == "linear":
        falling = LinearLR(optimizer, 1.0, 0.0, total_iters=steps - rising)
    if not rising:
        return falling
    return SequentialLR(optimizer, [LinearLR(optimizer, 1 / rising, total_iters=rising), falling], [rising])


def _one_cycle(optimizer: Optimizer, recipe: Recipe, steps: int) -> OneCycleLR:
    total = steps + 1  # torch also looks up the rate that would follow the last step
    # A rise of exactly one step makes torch divide by its length less one.
    warmup = float(recipe.warmup) + (1e-6 if recipe.warmup * total == 1 else 0)
    low, high = recipe.cycle_momentum or (recipe.momentum, recipe.momentum)
    return OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        total_steps=total,
        pct_start=warmup,
        cycle_momentum=recipe.cycle_momentum is not None,
        base_momentum=low,
        max_momentum=high,
    )


def build_average(model: nn.Module, recipe: Recipe) -> AveragedModel | None:
    """A copy of the model that averages its weights over the steps; None where the recipe has none."""
    if not recipe.ema:
        return None
    averaging = _Average(recipe.ema)
    averaged = AveragedModel(model, multi_avg_fn=averaging, use_buffers=True)
    averaging.count = lambda: float(averaged.n_averaged)
    return averaged


class _Average:
    """Exponential averaging that starts as a plain mean, so that short runs forget their start."""

    def __init__(self, decay: float):
        self.decay = decay
        self.count: Callable[[], float]  # of steps, from the CPU: the one that is handed over lies on the GPU

    @torch.no_grad()
    def __call__(self, averaged: Any, current: Any, _: Any) -> None:
        n = self.count()
        weight = 1 - min(self.decay, (1 + n) / (10 + n))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, weight)
        else:  # counters of batch norm
            for old, new in zip(averaged, current, strict=True):
                old.copy_(new)
