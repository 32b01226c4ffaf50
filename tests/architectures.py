"""Random draws of the whole search space, and small architectures to start a case from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hypothesis import assume
from hypothesis import strategies as st

from cifar_arch.blocks import (
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
from cifar_arch.downsample import Dilated as DilatedDownsampler
from cifar_arch.downsample import Strided
from cifar_arch.layers import NUM_CLASSES, Conv, Layer, Plan, Sum
from cifar_arch.schema import ConfigError
from cifar_arch.spec import Architecture

Head = Literal["linear", "conv", "none"]
CHANNELS = st.integers(1, 6)  # few: no number that is tested depends on there being many
LAYERS = st.integers(1, 2)
AFTER = st.lists(st.sampled_from(["norm", "activation", "dropout"]), max_size=3).map(tuple)


def custom_convs(stride: st.SearchStrategy[int]) -> st.SearchStrategy[CustomConv]:
    shape = {"kernel": st.integers(1, 5), "stride": stride, "dilation": st.integers(1, 2)}
    padding = st.none() | st.integers(0, 2)
    mixing = st.builds(
        CustomConv, out=st.none() | CHANNELS, bias=st.booleans(), after=AFTER, padding=padding, **shape
    )
    depthwise = st.builds(
        CustomConv, depthwise=st.just(True), bias=st.booleans(), after=AFTER, padding=padding, **shape
    )
    return mixing | depthwise


def customs(stride: st.SearchStrategy[int]) -> st.SearchStrategy[Custom]:
    convs = st.lists(custom_convs(stride), min_size=1, max_size=2).map(tuple)
    return st.builds(Custom, convs=convs, dropout=st.sampled_from([0.0, 0.3]))


UNIT: dict[str, st.SearchStrategy[Any]] = {
    "layers": LAYERS,
    "residual": st.booleans(),
    "preactivation": st.booleans(),
    "squeeze": st.none() | st.integers(1, 4),
}
DEPTHWISE: dict[str, st.SearchStrategy[Any]] = {
    "dilation": st.integers(1, 2),
    "kernel": st.sampled_from([3, 5, 7]),
}
BLOCK_DRAWS: st.SearchStrategy[Block] = st.one_of(
    st.builds(Plain, **UNIT),
    st.builds(Dilated, dilation=st.integers(2, 3), **UNIT),
    st.builds(Grouped, groups=st.just(2), **UNIT),
    st.builds(Separable, multiplier=st.integers(1, 2), **DEPTHWISE, **UNIT),
    st.builds(Blueprint, **DEPTHWISE, **UNIT),
    st.builds(Inverted, expansion=st.sampled_from([1.0, 1.5, 4.0]), **DEPTHWISE, **UNIT),
    customs(st.just(1)),
)
DOWNSAMPLER_DRAWS = st.one_of(
    st.builds(Strided, separable=st.booleans()),
    st.builds(DilatedDownsampler, separable=st.booleans()),
    customs(st.integers(1, 2)),
)


@dataclass(frozen=True)
class Drawn:
    architecture: Architecture
    plan: Plan


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    """An architecture of the search space that can be planned, with its plan."""
    parts: dict[str, Any] = {name: draw(BLOCK_DRAWS) for name in ("c1", "c2", "c3", "c4")}
    parts |= {name: draw(DOWNSAMPLER_DRAWS) for name in ("t1", "t2", "t3")}
    head: Head = draw(st.sampled_from(get_args(Head)))
    if head == "none":
        parts["c4"] = Custom(convs=(draw(custom_convs(st.just(1))), CustomConv(out=NUM_CLASSES)))
    written_out = all(isinstance(part, Custom) for part in parts.values())
    multiplier = st.sampled_from([0.5, 1.0, 1.5, 2.0])
    architecture = Architecture(
        **parts,
        width=None if written_out else draw(CHANNELS),
        multipliers=draw(st.tuples(*[multiplier] * 4)),
        depth=draw(st.integers(1, 2) | st.tuples(*[st.integers(1, 2)] * 4)),
        activation=draw(st.sampled_from(["relu", "leaky_relu", "silu", "gelu", "hardswish"])),
        head=head,
        stem=None if written_out else draw(st.sampled_from([None, 1, 3])),
    )
    try:
        return Drawn(architecture, architecture.plan())
    except ConfigError:  # a map that collapses or cannot be halved
        assume(False)
        raise


def architecture(**changes: Any) -> Architecture:
    """A small network with one field or another changed; not written out, so that width counts."""
    parts = dict.fromkeys(("c1", "c2", "c3", "c4"), Plain()) | dict.fromkeys(("t1", "t2", "t3"), Strided())
    return Architecture(**{**parts, "width": 8, **changes})


def convolutions(layers: Iterable[Layer]) -> Iterator[Conv]:
    """Every convolution in the order of computation, those inside sums too."""
    for layer in layers:
        if isinstance(layer, Conv):
            yield layer
        elif isinstance(layer, Sum):
            yield from convolutions(layer.body)


def convs(*written: dict[str, Any]) -> Custom:
    """A custom block of convolutions given by their fields."""
    return Custom(convs=tuple(CustomConv(**fields) for fields in written))
