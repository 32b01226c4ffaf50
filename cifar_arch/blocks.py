"""Block variants: typed fields -> primitive layers, each written once; BLOCKS lists them."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from msgspec import Meta

from cifar_arch.layers import (
    Activation,
    ActivationName,
    Conv,
    Dropout,
    Layer,
    Norm,
    Sum,
)
from cifar_arch.schema import ConfigError, Strict

MOST_LAYERS = 32  # units in a block
Positive = Annotated[int, Meta(ge=1)]
NonNegative = Annotated[int, Meta(ge=0)]


class Block(Strict, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """Base of the variants; the lower-case class name is the `kind` in a config."""

    def expand(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        """The primitive layers that take `in_channels` to `out_channels` on a map of any size."""
        raise NotImplementedError


class Unit(Block, frozen=True, kw_only=True):
    """A chain of `layers` equal 3x3 units; with `residual`, the sum of chain and input.

    As in MobileNetV2 there is a sum only where input and output have the same channels, so that
    `residual` never changes the number of parameters.
    """

    layers: Annotated[int, Meta(ge=1, le=MOST_LAYERS)] = 1
    residual: bool = False

    def unit(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        """One unit of the chain."""
        raise NotImplementedError

    def expand(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        chain: tuple[Layer, ...] = ()
        for index in range(self.layers):
            chain += self.unit(in_channels if index == 0 else out_channels, out_channels, act)
        return (Sum(body=chain),) if self.residual and in_channels == out_channels else chain


class Plain(Unit, frozen=True, kw_only=True):
    """3x3 convolution, norm, activation."""

    def unit(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        conv = Conv(in_channels=in_channels, out_channels=out_channels, padding=1)
        return (conv, *norm_act(out_channels, act))


class Dilated(Unit, frozen=True, kw_only=True):
    """3x3 convolution with dilation, norm, activation; the map keeps its size."""

    dilation: Annotated[int, Meta(ge=2)] = 2

    def unit(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        d = self.dilation
        conv = Conv(in_channels=in_channels, out_channels=out_channels, padding=d, dilation=d)
        return (conv, *norm_act(out_channels, act))


class Separable(Unit, frozen=True, kw_only=True):
    """Depthwise 3x3, then 1x1 across channels, norm, activation.

    Nothing stands between the two convolutions (Chollet 2017, "Xception", section 4.7).
    """

    dilation: Positive = 1

    def unit(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        c, d = in_channels, self.dilation
        depthwise = Conv(in_channels=c, out_channels=c, padding=d, dilation=d, groups=c)
        pointwise = Conv(in_channels=c, out_channels=out_channels, kernel=1)
        return (depthwise, pointwise, *norm_act(out_channels, act))


class CustomConv(Strict, frozen=True, kw_only=True):
    """One convolution of a custom block, and what follows it."""

    out: Positive | None = None  # None: as many channels as come in
    kernel: Positive = 3
    stride: Positive = 1
    padding: NonNegative | None = None  # None: what keeps the map's size at stride 1, or 1 px less
    dilation: Positive = 1
    groups: Positive = 1
    depthwise: bool = False  # a group for each channel that comes in; `out` is a multiple of them
    bias: bool = False
    after: tuple[Literal["norm", "activation", "dropout"], ...] = ("norm", "activation")

    def conv(self, in_channels: int) -> Conv:
        """The convolution on `in_channels`. Raises ConfigError where its groups do not divide them."""
        out = self.out or in_channels
        groups = in_channels if self.depthwise else self.groups
        if self.depthwise and self.groups not in (1, in_channels):
            raise ConfigError(
                f"a depthwise convolution has its {in_channels} channels as groups, "
                f"got groups={self.groups}; leave groups or depthwise out"
            )
        if in_channels % groups or out % groups:
            what = "a depthwise convolution" if self.depthwise else f"a convolution with groups={groups}"
            raise ConfigError(
                f"{what} needs channels that are multiples of {groups}, got {in_channels} in and {out} out; "
                "change out or groups"
            )
        padding = self.dilation * (self.kernel - 1) // 2 if self.padding is None else self.padding
        return Conv(
            in_channels=in_channels,
            out_channels=out,
            kernel=self.kernel,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=groups,
            bias=self.bias,
        )


class Custom(Block, frozen=True, kw_only=True):
    """Convolutions written out one by one, for networks that no other variant expresses.

    With `residual`, the sum of them and the input: both must have the same shape.
    """

    convs: Annotated[tuple[CustomConv, ...], Meta(min_length=1)]
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    residual: bool = False

    def expand(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        chain: list[Layer] = []
        channels = in_channels  # `out_channels` is the architecture's wish: a custom block has its own
        for written in self.convs:
            conv = written.conv(channels)
            channels = conv.out_channels
            follow = {
                "norm": Norm(channels=channels),
                "activation": Activation(function=act),
                "dropout": Dropout(p=self.dropout),
            }
            chain += [conv, *(follow[name] for name in written.after)]
        return (Sum(body=tuple(chain)),) if self.residual else tuple(chain)


def norm_act(channels: int, act: ActivationName) -> tuple[Layer, ...]:
    return Norm(channels=channels), Activation(function=act)


BLOCKS: dict[str, type[Block]] = {
    "plain": Plain,
    "dilated": Dilated,
    "separable": Separable,
    "custom": Custom,
}

if TYPE_CHECKING:
    AnyBlock = Block
else:  # the union that msgspec tells apart by `kind`
    AnyBlock: Any = Union[tuple(BLOCKS.values())]  # noqa: UP007
