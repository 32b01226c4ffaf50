"""A recipe -> its optimizer, learning-rate schedule and averaged weights."""

import inspect
from typing import assert_never

import torch
from torch import Tensor, nn
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


def build_optimizer(model: nn.Module, recipe: Recipe, *, captured: bool = False) -> Optimizer:
    """SGD with Nesterov momentum, AdamW or Muon; weight decay on weights, none on norms and biases.

    `captured`: Muon's many small steps as a CUDA graph, unless the momentum cycles, which a graph would hold
    still.
    """
    spare_the_compiler()
    filters = orthogonalised(model) if recipe.optimizer == "muon" else []
    taken = {id(p) for p in filters}
    others = [p for p in model.parameters() if id(p) not in taken]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    momentum = max(recipe.cycle_momentum or (recipe.momentum,))
    match recipe.optimizer:  # mypy asks for a case of each
        case "sgd":
            return SGD(groups, lr=recipe.lr, momentum=momentum, nesterov=momentum > 0)
        case "adamw":
            return AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))
        case "muon":
            rates = {"lr": recipe.lr, "sgd_lr": recipe.sgd_lr}
            fixed = recipe.cycle_momentum is None
            return Muon(filters, groups, **rates, momentum=momentum, captured=captured and fixed)


def build_schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """The learning rate over `steps` steps: a warm-up to `recipe.lr`, then a cosine or a line to about 0."""
    if recipe.schedule == "onecycle":
        return _one_cycle(optimizer, recipe, steps)
    rising = min(round(recipe.warmup * steps), steps - 1)
    falling: LRScheduler
    match recipe.schedule:
        case "linear":
            falling = LinearLR(optimizer, 1.0, 0.0, total_iters=steps - rising)
        case "cosine":
            falling = CosineAnnealingLR(optimizer, steps - rising)
        case other:
            assert_never(other)
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


class Average(AveragedModel):
    """Exponential averaging over few steps at first, more later, so that short runs forget their start.

    torch's own looks up and sorts all tensors in every step, which takes longer than to average them.
    """

    def __init__(self, model: nn.Module, decay: float):
        super().__init__(model, use_buffers=True)
        self.decay = decay
        old, new = ([*m.parameters(), *m.buffers()] for m in (self.module, model))
        pairs = list(zip(old, new, strict=True))
        self.averaged, self.current = _split(pairs, floating=True)
        self.counters, self.counted = _split(pairs, floating=False)  # of batch norm

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the present weights of the model that it was made with."""
        n = float(self.n_averaged)  # on the CPU, so that nobody waits for it
        weight = 1 - min(self.decay, (1 + n) / (10 + n)) if n else 1.0
        torch._foreach_lerp_(self.averaged, self.current, weight)
        if self.counters:
            torch._foreach_copy_(self.counters, self.counted)
        self.n_averaged += 1


def _split(pairs: list[tuple[Tensor, Tensor]], *, floating: bool) -> tuple[list[Tensor], list[Tensor]]:
    chosen = [(old.detach(), new.detach()) for old, new in pairs if old.is_floating_point() == floating]
    return [old for old, _ in chosen], [new for _, new in chosen]
