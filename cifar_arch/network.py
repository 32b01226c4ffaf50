"""Plan -> torch module."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from cifar_arch import layers
from cifar_arch.layers import Layer, Plan, named

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
}


class Sum(nn.Module):
    """The input plus what `body` makes of it; both of one shape."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class SqueezeExcite(nn.Module):
    """Each channel of (N, C, H, W) times a factor from 0 to 1, made of all channels' means."""

    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x)


class Shuffle(nn.ChannelShuffle):
    """The channels of every group beside each other, on any device: torch has no kernel of it for MPS."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if input.device.type in ("cpu", "cuda"):
            return super().forward(input)
        return torch.unflatten(input, 1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)


class GlobalPool(nn.Module):
    """(N, C, H, W) -> (N, C)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))


class Normalised(nn.Module):
    """A network that takes pixels of 0 to 255: (N, 3, 32, 32), any dtype -> (N, 10) logits.

    Mean and standard deviation (per channel, 0 to 255) are saved with the weights.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network((x.to(self.mean.dtype) - self.mean) / self.std)


def build(plan: Plan) -> nn.Sequential:
    """The network of a plan: (N, 3, 32, 32) -> (N, 10) logits, weights freshly drawn by torch.

    Its children carry the names of the sections (c1_1, t1, ..., o): `build(plan)[:-1]` is the
    network up to its last feature map where the head is `linear` or `none`.
    """
    return nn.Sequential(
        OrderedDict((section.name.replace(".", "_"), _chain(section.layers)) for section in plan)
    )


def _chain(chain: Iterable[Layer]) -> nn.Sequential:
    return nn.Sequential(OrderedDict((name, _module(layer)) for name, layer in named(chain)))


def _module(layer: Layer) -> nn.Module:
    match layer:
        case layers.Conv():
            return nn.Conv2d(
                layer.in_channels,
                layer.out_channels,
                layer.kernel,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
                groups=layer.groups,
                bias=layer.bias,
            )
        case layers.Norm():
            return nn.BatchNorm2d(layer.channels)
        case layers.Activation():
            return ACTIVATIONS[layer.function]()
        case layers.Dropout():
            return nn.Dropout(layer.p)
        case layers.Shuffle():
            return Shuffle(layer.groups)
        case layers.SqueezeExcite():
            return SqueezeExcite(layer.channels, layer.squeezed)
        case layers.Sum():
            return Sum(_chain(layer.body))
        case layers.GlobalPool():
            return GlobalPool()
        case layers.Linear():
            return nn.Linear(layer.in_features, layer.out_features)
    raise TypeError(f"no torch module for {layer!r}")
