from typing import Any

import pytest
from architectures import convs

from cifar_arch.blocks import BLOCKS, Block, Custom, CustomConv, Dilated, Plain, Separable
from cifar_arch.layers import Activation, Conv, Dropout, Layer, Norm, Sum, convolutions, named
from cifar_arch.schema import ConfigError, checked


def conv(in_channels: int, out_channels: int, **fields: Any) -> Conv:
    return Conv(in_channels=in_channels, out_channels=out_channels, **fields)


def after(channels: int) -> tuple[Layer, ...]:
    return Norm(channels=channels), Activation(function="silu")


CASES: list[tuple[Block, int, tuple[Layer, ...]]] = [
    (Plain(), 4, (conv(4, 6, padding=1), *after(6))),
    (Plain(layers=2), 4, (conv(4, 6, padding=1), *after(6), conv(6, 6, padding=1), *after(6))),
    (Plain(residual=True), 6, (Sum(body=(conv(6, 6, padding=1), *after(6))),)),
    (Plain(residual=True), 4, (conv(4, 6, padding=1), *after(6))),  # no sum of unequal shapes
    (Dilated(dilation=3), 4, (conv(4, 6, padding=3, dilation=3), *after(6))),
    (
        Separable(dilation=2),
        4,
        (conv(4, 4, padding=2, dilation=2, groups=4), conv(4, 6, kernel=1), *after(6)),
    ),
    (
        Custom(convs=(CustomConv(out=5, bias=True, after=("dropout",)),), dropout=0.2),
        4,
        (conv(4, 5, padding=1, bias=True), Dropout(p=0.2)),
    ),
    (
        convs({"depthwise": True, "stride": 2, "after": []}, {"kernel": 1, "padding": 1, "out": 2}),
        4,
        (conv(4, 4, padding=1, stride=2, groups=4), conv(4, 2, kernel=1, padding=1), *after(2)),
    ),
]


@pytest.mark.parametrize(("block", "channels", "layers"), CASES)
def test_expansion(block: Block, channels: int, layers: tuple[Layer, ...]) -> None:
    assert block.expand(channels, 6, "silu") == layers


@pytest.mark.parametrize("kind", [kind for kind in BLOCKS if kind != "custom"])
@pytest.mark.parametrize("residual", [False, True])
def test_blocks_keep_the_map(kind: str, residual: bool) -> None:
    block = checked(BLOCKS[kind], {"kind": kind, "residual": residual, "layers": 2}, "b")
    assert [c.out_size(16) for c in convolutions(block.expand(4, 4, "relu"))] == [16] * (
        4 if kind == "separable" else 2
    )


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_unset_padding_keeps_the_map(kernel: int, dilation: int) -> None:
    (only,) = convolutions(convs({"kernel": kernel, "dilation": dilation}).expand(3, 3, "relu"))
    lost = (kernel - 1) * dilation % 2  # no symmetrical padding makes up for an odd number of pixels
    assert only.out_size(32) == 32 - lost


@pytest.mark.parametrize("kind", BLOCKS)
def test_kind_is_the_class(kind: str) -> None:
    assert BLOCKS[kind].__name__.lower() == kind


def test_depthwise_keeps_its_channels() -> None:
    with pytest.raises(ConfigError) as error:
        convs({"depthwise": True, "out": 8}).expand(4, 4, "relu")
    assert str(error.value) == ("a depthwise convolution keeps its 4 channels, got out=8; leave it out")


def test_names_of_layers() -> None:
    layers = Separable(layers=2).expand(4, 4, "relu")
    assert [name for name, _ in named(layers)] == [
        *("conv1", "conv2", "norm1", "activation1"),
        *("conv3", "conv4", "norm2", "activation2"),
    ]
