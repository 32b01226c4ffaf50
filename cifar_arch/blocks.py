"""Block variants: typed fields -> primitive layers, each written once; BLOCKS lists them.

A block of one's own is a class more and an entry more in that table, here or in a file of `plugins`.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from msgspec import Meta

from cifar_arch.layers import (
    Activation,
    ActivationName,
    Dropout,
    Layer,
    Norm,
    Shuffle,
    SqueezeExcite,
    Sum,
)
from cifar_arch.layers import Conv as Conv  # from here those who write blocks import it
from cifar_arch.schema import ConfigError, Strict

MOST_LAYERS = 32  # units in a block
Positive = Annotated[int, Meta(ge=1, le=4096)]
Length = Annotated[int, Meta(ge=1, le=64)]  # pixels, twice the image at most
Padding = Annotated[int, Meta(ge=0, le=64)]  # pixels
DepthwiseKernel = Literal[3, 5, 7]


class Block(Strict, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """Base of the variants; the lower-case class name is the `kind` in a config."""

    def expand(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        """The primitive layers that take `in_channels` to `out_channels` on a map of any size."""
        raise NotImplementedError("its class has no method expand")


class Unit(Block, frozen=True, kw_only=True):
    """A chain of `layers` equal units: convolutions, norm, activation; with `residual`, chain plus input.

    As in MobileNetV2 there is a sum only where input and output have the same channels, so that
    `residual` never changes the number of parameters. With `preactivation` norm and activation come before
    the convolutions (He and others 2016, "Identity mappings in deep residual networks"). `squeeze` ends the
    chain with a squeeze-and-excitation through so many times fewer channels.
    """

    layers: Annotated[int, Meta(ge=1, le=MOST_LAYERS)] = 1
    residual: bool = False
    preactivation: bool = False
    squeeze: Positive | None = None

    def convs(self, in_channels: int, out_channels: int) -> tuple[Layer, ...]:
        """The convolutions of one unit of the chain."""
        raise NotImplementedError("its class has no method convs")

    def unit(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        """One unit of the chain."""
        convs = require_layers(self, "convs", self.convs(in_channels, out_channels))
        if self.preactivation:
            return (*norm_act(in_channels, act), *convs)
        return (*convs, *norm_act(out_channels, act))

    def expand(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        chain: tuple[Layer, ...] = ()
        for index in range(self.layers):
            chain += self.unit(in_channels if index == 0 else out_channels, out_channels, act)
        chain += squeeze_excite(out_channels, self.squeeze)
        return (Sum(body=chain),) if self.residual and in_channels == out_channels else chain


class Plain(Unit, frozen=True, kw_only=True):
    """3x3 convolution, norm, activation."""

    def convs(self, in_channels: int, out_channels: int) -> tuple[Layer, ...]:
        return (Conv(in_channels=in_channels, out_channels=out_channels, padding=1),)


class Dilated(Unit, frozen=True, kw_only=True):
    """3x3 convolution with dilation, norm, activation; the map keeps its size."""

    dilation: Annotated[int, Meta(ge=2, le=64)] = 2

    def convs(self, in_channels: int, out_channels: int) -> tuple[Layer, ...]:
        d = self.dilation
        return (Conv(in_channels=in_channels, out_channels=out_channels, padding=d, dilation=d),)


class Grouped(Unit, frozen=True, kw_only=True):
    """3x3 convolution in groups of channels, channel shuffle, norm, activation."""

    groups: Annotated[int, Meta(ge=2, le=4096)] = 4

    def convs(self, in_channels: int, out_channels: int) -> tuple[Layer, ...]:
        require_multiples(in_channels, out_channels, self.groups, f"a convolution with groups={self.groups}")
        conv = Conv(in_channels=in_channels, out_channels=out_channels, padding=1, groups=self.groups)
        return (conv, Shuffle(channels=out_channels, groups=self.groups))


class Separable(Unit, frozen=True, kw_only=True):
    """Depthwise convolution, then 1x1 across channels, norm, activation.

    Nothing stands between the two convolutions (Chollet 2017, "Xception", section 4.7).
    """

    dilation: Length = 1
    kernel: DepthwiseKernel = 3
    multiplier: Positive = 1  # channels that the depthwise one makes of each

    def convs(self, in_channels: int, out_channels: int) -> tuple[Layer, ...]:
        spatial = depthwise(in_channels, self.kernel, self.dilation, self.multiplier)
        return (spatial, pointwise(spatial.out_channels, out_channels))


class Blueprint(Unit, frozen=True, kw_only=True):
    """1x1 across channels, then a depthwise convolution, norm, activation.

    A separable convolution turned round (Haase and Amthor 2020, "Rethinking depthwise separable
    convolutions", BSConv-U); to the rules it is none by itself, see `analysis`.
    """

    dilation: Length = 1
    kernel: DepthwiseKernel = 3

    def convs(self, in_channels: int, out_channels: int) -> tuple[Layer, ...]:
        return (pointwise(in_channels, out_channels), depthwise(out_channels, self.kernel, self.dilation))


class Inverted(Unit, frozen=True, kw_only=True):
    """1x1 to more channels, depthwise convolution, 1x1 back, each with its norm, no activation at the end.

    With `residual` each of the `layers` is a sum of its own, and `squeeze` follows each depthwise one:
    MobileNetV2 (Sandler and others 2018) and V3.
    """

    expansion: Annotated[float, Meta(ge=1, le=64)] = 4.0  # channels within, in those that come in
    dilation: Length = 1
    kernel: DepthwiseKernel = 3

    def unit(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        within = max(1, round(in_channels * self.expansion))
        return (
            *(norm_act(in_channels, act) if self.preactivation else ()),
            *(pointwise(in_channels, within), *norm_act(within, act)),
            *(depthwise(within, self.kernel, self.dilation), *norm_act(within, act)),
            *squeeze_excite(within, self.squeeze),
            pointwise(within, out_channels),
            *(() if self.preactivation else (Norm(channels=out_channels),)),
        )

    def expand(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        chain: list[Layer] = []
        for index in range(self.layers):
            given = in_channels if index == 0 else out_channels
            unit = self.unit(given, out_channels, act)
            chain += (Sum(body=unit),) if self.residual and given == out_channels else unit
        return tuple(chain)


class CustomConv(Strict, frozen=True, kw_only=True):
    """One convolution of a custom block, and what follows it."""

    out: Positive | None = None  # None: as many channels as come in
    kernel: Length = 3
    stride: Length = 1
    padding: Padding | None = None  # None: what keeps the map's size at stride 1, or 1 px less
    dilation: Length = 1
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
        what = "a depthwise convolution" if self.depthwise else f"a convolution with groups={groups}"
        require_multiples(in_channels, out, groups, what)
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


def depthwise(channels: int, kernel: int = 3, dilation: int = 1, multiplier: int = 1) -> Conv:
    """A convolution of each channel by itself that keeps the map's size; odd kernels only."""
    return Conv(
        in_channels=channels,
        out_channels=channels * multiplier,
        kernel=kernel,
        padding=dilation * (kernel - 1) // 2,
        dilation=dilation,
        groups=channels,
    )


def pointwise(in_channels: int, out_channels: int) -> Conv:
    """A 1x1 convolution across channels."""
    return Conv(in_channels=in_channels, out_channels=out_channels, kernel=1)


def squeeze_excite(channels: int, squeeze: int | None) -> tuple[Layer, ...]:
    """Nothing where `squeeze` is None."""
    if squeeze is None:
        return ()
    return (SqueezeExcite(channels=channels, squeezed=max(1, round(channels / squeeze))),)


def require_multiples(in_channels: int, out_channels: int, groups: int, what: str) -> None:
    """Raises ConfigError where the groups do not divide the channels; the sentence begins with `what`."""
    if in_channels % groups or out_channels % groups:
        raise ConfigError(
            f"{what} needs channels that are multiples of {groups}, got {in_channels} in and "
            f"{out_channels} out; change the channels or the groups"
        )


def described(variant: Strict) -> str:
    """A variant in a sentence: the block 'plain'."""
    return f"the {'block' if isinstance(variant, Block) else 'downsampler'} {variant.__struct_config__.tag!r}"


def require_layers(variant: Strict, method: str, made: Any) -> Iterable[Layer]:
    """What a method of a variant made. Raises ConfigError for a single layer in place of a tuple."""
    if isinstance(made, Iterable):
        return made
    raise ConfigError(
        f"{method} of {described(variant)} has to return a tuple of layers, got {type(made).__name__}; "
        "for a single layer type return (LAYER,)"
    )


BLOCKS: dict[str, type[Block]] = {
    "plain": Plain,
    "dilated": Dilated,
    "grouped": Grouped,
    "separable": Separable,
    "blueprint": Blueprint,
    "inverted": Inverted,
    "custom": Custom,
}
