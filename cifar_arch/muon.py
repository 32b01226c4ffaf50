"""Muon: momentum whose direction is made orthogonal, for the filters of convolutions; SGD for the rest.

After K. Jordan and others, "Muon: An optimizer for hidden layers in neural networks" (2024). torch.optim.Muon
takes matrices alone, one by one; here filters are flattened to matrices, those of equal shape are one batch,
and their norm is kept: what a batch norm follows has no scale of its own.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from cifar_arch.cuda_graph import CapturedGraph
from cifar_arch.device import computes_bf16
from cifar_arch.network import SqueezeExcite

# Of the quintic iteration: five rounds bring singular values from 0.01 to 1 to between 0.68 and 1.14.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5

Rate = float | torch.Tensor


def orthogonalised(model: nn.Module) -> list[torch.Tensor]:
    """The filters that Muon takes: of all convolutions between the first layer and the last one.

    Not of those in groups, depthwise ones included, nor of a squeeze-and-excitation, which no batch norm
    follows.
    """
    gates = {part for m in model.modules() if isinstance(m, SqueezeExcite) for part in m.modules()}
    known = (layer for layer in model.modules() if layer not in gates)
    layers = [layer for layer in known if isinstance(layer, nn.Conv2d | nn.Linear)]
    return [layer.weight for layer in layers[1:-1] if isinstance(layer, nn.Conv2d) and layer.groups == 1]


class Muon(Optimizer):
    """Muon on `filters`, and SGD with Nesterov momentum on the `others`, which are groups of parameters.

    `lr` is that of the filters, each of which has a norm of 1 on average; `sgd_lr` that of the others.
    `captured`: its steps are run as a CUDA graph, so that gradients must keep their place in memory.
    """

    def __init__(
        self,
        filters: list[torch.Tensor],
        others: Iterable[dict[str, Any]],
        *,
        lr: float,
        sgd_lr: float,
        momentum: float,
        captured: bool = False,
    ):
        groups = [{**group, "lr": sgd_lr, "orthogonal": False} for group in others]
        if filters:
            groups.insert(0, {"params": filters, "lr": lr, "weight_decay": 0.0, "orthogonal": True})
        super().__init__(groups, {"momentum": momentum})
        # The rates where a captured step reads them each time.
        where = [group["params"][0].device for group in self.param_groups if group["params"]]
        self.rates = [torch.zeros((), device=where[0]) for _ in self.param_groups] if captured else []
        self.captured = CapturedGraph(self._move) if captured else None

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Moves every parameter that has a gradient."""
        for rate, group in zip(self.rates, self.param_groups, strict=False):
            rate.fill_(group["lr"])
        (self.captured or self._move)()

    def _move(self) -> None:
        rates = self.rates or [group["lr"] for group in self.param_groups]
        for rate, group in zip(rates, self.param_groups, strict=True):
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            move = _orthogonal if group["orthogonal"] else _descend
            move(params, self._directions(params, group), rate)

    def _directions(self, params: list[torch.Tensor], group: dict[str, Any]) -> list[torch.Tensor]:
        """Gradients with weight decay and Nesterov momentum."""
        gradients: list[torch.Tensor] = [p.grad for p in params]  # type: ignore[misc]
        if group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, params, alpha=group["weight_decay"]))
        buffers = [self._momentum(p) for p in params]
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, gradients)
        return list(torch._foreach_add(gradients, buffers, alpha=group["momentum"]))

    def _momentum(self, p: torch.Tensor) -> torch.Tensor:
        if "momentum_buffer" not in self.state[p]:
            self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        return self.state[p]["momentum_buffer"]


def _orthogonal(params: list[torch.Tensor], directions: list[torch.Tensor], lr: Rate) -> None:
    shapes: dict[tuple[int, int], list[int]] = {}
    for index, p in enumerate(params):
        shapes.setdefault((p.shape[0], p[0].numel()), []).append(index)
    for shape, members in shapes.items():
        moves = orthogonal(torch.stack([directions[index].reshape(shape) for index in members]))
        chosen = [params[index] for index in members]
        for p in chosen:
            p.mul_(shape[0] ** 0.5 / p.norm())
        _descend(chosen, [move.view(p.shape) for p, move in zip(chosen, moves, strict=True)], lr)


def _descend(params: list[torch.Tensor], directions: list[torch.Tensor], lr: Rate) -> None:
    if isinstance(lr, torch.Tensor):
        torch._foreach_sub_(params, torch._foreach_mul(directions, lr))
    else:
        torch._foreach_add_(params, directions, alpha=-lr)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices (N, A, B) with the singular vectors of the given ones, and singular values near 1.

    In bfloat16 on a GPU that computes it, as published, for rounding does not disturb the iteration. In
    float32 elsewhere: matrices as small as these gain nothing from bfloat16 on a CPU. Source: see the module.
    """
    a, b, c = COEFFICIENTS
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    if matrices.device.type != "cpu" and computes_bf16(matrices.device.type):
        x = x.bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)  # so that no singular value is above 1
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.mT).to(matrices.dtype)
