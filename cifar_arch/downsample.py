"""Downsamplers: how a transition halves the map, each written once; DOWNSAMPLERS lists them."""

from typing import Any

from msgspec.structs import replace

from cifar_arch.blocks import Block, Custom, described, norm_act, pointwise
from cifar_arch.layers import ActivationName, Conv, Layer
from cifar_arch.schema import ConfigError, Strict


class Downsampler(Strict, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """Base of the variants; the lower-case class name is the `kind` in a config."""

    separable: bool = False  # the convolution of each channel by itself, then a 1x1 across them

    def conv(self, in_channels: int, out_channels: int, size: int) -> Conv:
        """The one convolution that halves a map of `size` x `size` pixels."""
        raise NotImplementedError("its class has no method conv")

    def expand(
        self, in_channels: int, out_channels: int, size: int, act: ActivationName
    ) -> tuple[Layer, ...]:
        conv: Any = self.conv(in_channels, in_channels if self.separable else out_channels, size)
        if not isinstance(conv, Conv):
            raise ConfigError(
                f"conv of {described(self)} has to return one Conv, got {type(conv).__name__}; "
                "type return CONV"
            )
        if not self.separable:
            return conv, *norm_act(out_channels, act)
        alone = replace(conv, groups=in_channels)
        return alone, pointwise(in_channels, out_channels), *norm_act(out_channels, act)


class Strided(Downsampler, frozen=True, kw_only=True):
    """3x3 convolution with stride 2."""

    def conv(self, in_channels: int, out_channels: int, size: int) -> Conv:
        return Conv(in_channels=in_channels, out_channels=out_channels, stride=2, padding=1)


class Dilated(Downsampler, frozen=True, kw_only=True):
    """3x3 convolution, no padding, no stride, dilated by a quarter of the map: it loses half of it."""

    def conv(self, in_channels: int, out_channels: int, size: int) -> Conv:
        if size % 4:
            raise ConfigError(
                f"a dilated downsampler halves maps whose side is a multiple of 4, got {size}x{size}; "
                "use kind=strided"
            )
        return Conv(in_channels=in_channels, out_channels=out_channels, dilation=size // 4)


DOWNSAMPLERS: dict[str, type[Downsampler] | type[Block]] = {
    "strided": Strided,
    "dilated": Dilated,
    "custom": Custom,
}
