from typing import Any

import pytest
from architectures import convolutions, convs

from cifar_arch.blocks import (
    BLOCKS,
    Block,
    Blueprint,
    Custom,
    CustomConv,
    Dilated,
    Grouped,
    Inverted,
    Plain,
    Separable,
)
from cifar_arch.layers import Activation, Conv, Dropout, Layer, Norm, Shuffle, SqueezeExcite, Sum, named
from cifar_arch.schema import ConfigError, checked


def conv(in_channels: int, out_channels: int, **fields: Any) -> Conv:
    return Conv(in_channels=in_channels, out_channels=out_channels, **fields)


def after(channels: int) -> tuple[Layer, ...]:
    return Norm(channels=channels), Activation(function="silu")


def inverted(given: int, within: int) -> tuple[Layer, ...]:
    return (
        *(conv(given, within, kernel=1), *after(within)),
        *(conv(within, within, padding=1, groups=within), *after(within)),
        SqueezeExcite(channels=within, squeezed=max(1, round(within / 8))),
        *(conv(within, 6, kernel=1), Norm(channels=6)),
    )


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
        Separable(kernel=5, multiplier=2),
        4,
        (conv(4, 8, kernel=5, padding=2, groups=4), conv(8, 6, kernel=1), *after(6)),
    ),
    (
        Blueprint(kernel=7, dilation=2),
        4,
        (conv(4, 6, kernel=1), conv(6, 6, kernel=7, padding=6, dilation=2, groups=6), *after(6)),
    ),
    (Grouped(groups=2), 4, (conv(4, 6, padding=1, groups=2), Shuffle(channels=6, groups=2), *after(6))),
    (
        Plain(preactivation=True, residual=True, layers=2),
        6,
        (Sum(body=(*after(6), conv(6, 6, padding=1)) * 2),),
    ),
    (
        Plain(squeeze=4, residual=True),
        6,
        (Sum(body=(conv(6, 6, padding=1), *after(6), SqueezeExcite(channels=6, squeezed=2))),),
    ),
    (
        Inverted(expansion=2, squeeze=8, residual=True, layers=2),
        4,
        (*inverted(4, 8), Sum(body=inverted(6, 12))),
    ),
    (
        Inverted(expansion=1, preactivation=True, kernel=5),
        4,
        (
            *(*after(4), conv(4, 4, kernel=1)),
            *(*after(4), conv(4, 4, kernel=5, padding=2, groups=4)),
            *(*after(4), conv(4, 6, kernel=1)),
        ),
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
def test_a_block_expands_into_these_layers(block: Block, channels: int, layers: tuple[Layer, ...]) -> None:
    assert block.expand(channels, 6, "silu") == layers


@pytest.mark.parametrize("kind", [kind for kind in BLOCKS if kind != "custom"])
@pytest.mark.parametrize("residual", [False, True])
def test_blocks_keep_the_map(kind: str, residual: bool) -> None:
    block = checked(BLOCKS[kind], {"kind": kind, "residual": residual, "layers": 2}, "b")
    assert {c.out_size(16) for c in convolutions(block.expand(4, 4, "relu"))} == {16}


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_unset_padding_keeps_the_map(kernel: int, dilation: int) -> None:
    (only,) = convolutions(convs({"kernel": kernel, "dilation": dilation}).expand(3, 3, "relu"))
    lost = (kernel - 1) * dilation % 2  # no symmetrical padding makes up for an odd number of pixels
    assert only.out_size(32) == 32 - lost


@pytest.mark.parametrize("kind", BLOCKS)
def test_kind_is_the_class(kind: str) -> None:
    assert BLOCKS[kind].__name__.lower() == kind


GROUPS = [
    ({"depthwise": True, "out": 8}, 4),  # a multiplier of 2
    ({"groups": 2, "out": 6}, 2),
    ({"groups": 4, "depthwise": True}, 4),
]


@pytest.mark.parametrize(("fields", "groups"), GROUPS)
def test_a_convolution_has_the_groups_that_are_written(fields: dict[str, Any], groups: int) -> None:
    (only,) = convolutions(convs(fields).expand(4, 4, "relu"))
    assert only == conv(4, fields.get("out", 4), padding=1, groups=groups)


NO_GROUPS = [
    (
        {"depthwise": True, "out": 9},
        "a depthwise convolution needs channels that are multiples of 4, got",
    ),
    (
        {"groups": 3},
        "a convolution with groups=3 needs channels that are multiples of 3, got",
    ),
    ({"depthwise": True, "groups": 2}, "a depthwise convolution has its 4 channels as groups, got groups=2;"),
]


@pytest.mark.parametrize(("fields", "message"), NO_GROUPS)
def test_groups_that_do_not_divide_the_channels(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        convs(fields).expand(4, 4, "relu")
    assert str(error.value).startswith(message)


def test_groups_that_do_not_divide_the_channels_of_a_block() -> None:
    with pytest.raises(ConfigError, match=r"^a convolution with groups=4 needs channels"):
        Grouped().expand(3, 8, "relu")


def test_a_residual_custom_block_is_a_sum() -> None:
    block = checked(Custom, {"kind": "custom", "convs": [{}], "residual": True}, "b")
    assert block.expand(4, 9, "silu") == (Sum(body=(conv(4, 4, padding=1), *after(4))),)


def test_names_of_layers() -> None:
    layers = Separable(layers=2).expand(4, 4, "relu")
    names = "conv1 conv2 norm1 activation1 conv3 conv4 norm2 activation2"
    assert [name for name, _ in named(layers)] == names.split()
