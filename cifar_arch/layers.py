"""Primitive layers as frozen data: what a plan is made of. No torch, no formulas but a map's size."""

import functools
import hashlib
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

# The pictures that every network here reads, and what it tells apart.
IMAGE_CHANNELS = 3
IMAGE_SIZE = 32  # pixels
NUM_CLASSES = 10

# The bounds are checked where somebody else's block made the layers.
Count = Annotated[int, Meta(ge=1)]
ActivationName = Literal["relu", "leaky_relu", "silu", "gelu", "hardswish"]


# Layers hold no cycles to collect, and searches look up rows of them by their hashes.
class Layer(Struct, frozen=True, kw_only=True, gc=False, cache_hash=True, tag=str.lower):
    """Base of the primitive layers; the lower-case class name is the layer's kind."""

    kind: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.kind = cls.__name__.lower()


class Conv(Layer, frozen=True, kw_only=True):
    """A square 2-D convolution."""

    in_channels: Count
    out_channels: Count
    kernel: Count = 3
    stride: Count = 1
    padding: Annotated[int, Meta(ge=0)] = 0
    dilation: Count = 1
    groups: Count = 1
    bias: bool = False

    def out_size(self, size: int) -> int:
        """Side of the output map in pixels; below 1 when the map collapses."""
        return (size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1


class Norm(Layer, frozen=True, kw_only=True):
    """Batch normalisation with a learned scale and shift per channel."""

    channels: int


class Activation(Layer, frozen=True, kw_only=True):
    function: ActivationName


class Dropout(Layer, frozen=True, kw_only=True):
    """Zeroes single activations with probability `p` while training."""

    p: Annotated[float, Meta(ge=0, le=1)]


class Shuffle(Layer, frozen=True, kw_only=True):
    """Channels reordered so that each of `groups` groups gets some of every other (Zhang 2018)."""

    channels: int
    groups: Count


class SqueezeExcite(Layer, frozen=True, kw_only=True):
    """Each channel times a factor from 0 to 1, which two 1x1 convolutions make of all channels' means.

    After Hu, Shen and Sun, "Squeeze-and-excitation networks" (2018).
    """

    channels: int
    squeezed: Count  # channels between the two convolutions


class Sum(Layer, frozen=True, kw_only=True):
    """A residual sum: the input plus what `body` makes of it."""

    body: tuple[Layer, ...]


class GlobalPool(Layer, frozen=True, kw_only=True):
    """The mean over the whole map: (N, C, H, W) -> (N, C)."""


class Linear(Layer, frozen=True, kw_only=True):
    """A fully connected layer with bias."""

    in_features: int
    out_features: int


class Section(Struct, frozen=True, kw_only=True, gc=False):
    """The layers of one block, transition or head, under the name that users know it by."""

    name: str
    layers: tuple[Layer, ...]


Plan = tuple[Section, ...]


def content_key(plan: Plan) -> str:
    """Equal for plans with equal layers, however their sections are named."""
    layers = b",".join(_encoded(section.layers) for section in plan if section.layers)
    return hashlib.sha256(b"[" + layers + b"]").hexdigest()[:16]


@functools.lru_cache(maxsize=100_000)
def _encoded(layers: tuple[Layer, ...]) -> bytes:
    """The layers as JSON, without the brackets around them."""
    return msgspec.json.encode(layers)[1:-1]


def named(layers: Iterable[Layer]) -> Iterator[tuple[str, Layer]]:
    """Each layer with a name that is unique among them: conv1, norm1, activation1, conv2, ..."""
    seen: dict[str, int] = {}
    for layer in layers:
        kind = layer.kind
        seen[kind] = count = seen.get(kind, 0) + 1
        yield f"{kind}{count}", layer
