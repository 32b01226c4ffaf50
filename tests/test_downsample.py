import pytest
from architectures import convolutions

from cifar_arch.blocks import Block, pointwise
from cifar_arch.downsample import DOWNSAMPLERS, Dilated, Downsampler, Strided
from cifar_arch.layers import Activation, Norm
from cifar_arch.schema import ConfigError

KINDS = [kind for kind in DOWNSAMPLERS.values() if not issubclass(kind, Block)]


@pytest.mark.parametrize("size", [32, 16, 8, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_each_halves_the_map_with_one_3x3_convolution(kind: type[Downsampler], size: int) -> None:
    layers = kind().expand(4, 6, size, "relu")
    (conv,) = convolutions(layers)
    assert (conv.kernel, conv.in_channels, conv.out_channels) == (3, 4, 6)
    assert conv.out_size(size) == size // 2
    assert layers[1:] == (Norm(channels=6), Activation(function="relu"))


@pytest.mark.parametrize("size", [32, 16, 8, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_a_separable_one_halves_each_channel_alone_and_then_mixes_them(
    kind: type[Downsampler], size: int
) -> None:
    layers = kind(separable=True).expand(4, 6, size, "relu")
    alone, mixing = convolutions(layers)
    assert (alone.kernel, alone.in_channels, alone.out_channels, alone.groups) == (3, 4, 4, 4)
    assert alone.out_size(size) == size // 2
    assert mixing == pointwise(4, 6)
    assert layers[2:] == (Norm(channels=6), Activation(function="relu"))


@pytest.mark.parametrize(("size", "dilation"), [(32, 8), (16, 4), (8, 2)])
def test_a_dilated_downsampler_halves_the_map_by_its_dilation(size: int, dilation: int) -> None:
    conv = Dilated().conv(4, 6, size)
    assert (conv.stride, conv.padding, conv.dilation) == (1, 0, dilation)


def test_a_strided_downsampler_halves_the_map_by_its_stride() -> None:
    conv = Strided().conv(4, 6, 9)
    assert (conv.stride, conv.padding, conv.dilation, conv.out_size(9)) == (2, 1, 1, 5)


@pytest.mark.parametrize("size", [1, 2, 6, 9, 18])
def test_a_map_that_dilation_cannot_halve(size: int) -> None:
    with pytest.raises(ConfigError) as error:
        Dilated().expand(4, 4, size, "relu")
    assert str(error.value) == (
        "a dilated downsampler halves maps whose side is a multiple of 4, "
        f"got {size}x{size}; use kind=strided"
    )


@pytest.mark.parametrize("kind", DOWNSAMPLERS)
def test_kind_is_the_class(kind: str) -> None:
    assert DOWNSAMPLERS[kind].__name__.lower() == kind
