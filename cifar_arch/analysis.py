"""Plan -> one row per layer and totals: exact integers, no torch.

Receptive fields follow Araujo, Norris and Sim (2019, "Computing receptive fields of convolutional
neural networks"): r_out = r_in + (k - 1) * d * j_in and j_out = j_in * s, over both ways of a sum.
Like global pooling, squeeze-and-excitation is not counted: otherwise any network with one would satisfy
a minimum receptive field.

A depthwise-separable layer is a depthwise convolution and, as the next one, a 1x1 over all channels
(Chollet 2017): the pair of the rules. In reverse order (1x1, then depthwise) a single pair does not count;
two in a row contain one, as does a pair followed by a 1x1.
"""

import functools
from collections.abc import Iterable, Iterator

from msgspec import Struct

from cifar_arch.layers import (
    IMAGE_CHANNELS,
    IMAGE_SIZE,
    Activation,
    Conv,
    Dropout,
    GlobalPool,
    Layer,
    Linear,
    Norm,
    Plan,
    Shuffle,
    SqueezeExcite,
    Sum,
    named,
)

IMAGE: tuple[int, ...] = (IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)


class Row(Struct, frozen=True, kw_only=True, gc=False):
    """One layer. Shapes without the batch; fields and jumps in input pixels, seen after the layer."""

    name: str
    kind: str
    in_shape: tuple[int, ...]  # (C, H, W) or (C,)
    out_shape: tuple[int, ...]
    kernel: int | None = None
    stride: int | None = None
    dilation: int | None = None
    padding: int | None = None
    groups: int | None = None
    params: int  # trainable numbers
    macs: int  # multiply-adds of convolutions and linear layers, bias ignored
    receptive_field: int
    jump: int  # distance between two neighbouring units


class Analysis(Struct, frozen=True, kw_only=True):
    """Totals of a network; its rows are made when they are asked for."""

    plan: Plan
    params: int
    macs: int
    receptive_field: int  # of one unit of the last feature map, before global pooling
    receptive_field_with_pooling: int
    separable: int  # depthwise convolutions followed by a 1x1
    dilated: int
    downsamplers: int  # 3x3 convolutions that halve the map, by stride or by dilation
    foreign_downsamplers: tuple[str, ...]  # rows that thin out the map in another way
    fully_connected: bool

    @property
    def totals(self) -> dict[str, int]:
        """The numbers that a run has on record of its network."""
        names = ("params", "macs", "receptive_field", "receptive_field_with_pooling")
        return {name: getattr(self, name) for name in names}

    @property
    def layers(self) -> tuple[Row, ...]:
        """A row for each layer."""
        walk = _Walk(shape=IMAGE)
        return tuple(row for section in self.plan for row in walk.rows(section.layers, section.name))


def analyse(plan: Plan) -> Analysis:
    """Totals of a plan, on images of CIFAR-10's size."""
    params = macs = separable = dilated = downsamplers = 0
    foreign: tuple[str, ...] = ()
    fully_connected = False
    shape = IMAGE
    field = last_field = jump = 1
    before: Conv | None = None
    for section in plan:
        part, others = _walk_section(section.layers, shape)
        params += part.params
        macs += part.macs
        if part.last_field is not None:
            last_field = field + (part.last_field - 1) * jump
        shape, field, jump = part.shape, field + (part.field - 1) * jump, jump * part.jump
        if part.first:
            separable += part.separable + _separable(before, part.first)
            before = part.last
        dilated += part.dilated
        downsamplers += part.downsamplers
        if others:
            foreign += tuple(section.name + name for name in others)
        fully_connected = fully_connected or part.fully_connected
    return Analysis(
        plan=plan,
        params=params,
        macs=macs,
        receptive_field=last_field,
        receptive_field_with_pooling=field,
        separable=separable,
        dilated=dilated,
        downsamplers=downsamplers,
        foreign_downsamplers=foreign,
        fully_connected=fully_connected,
    )


@functools.lru_cache(maxsize=100_000)  # a search asks for the same sections in ever new combinations
def _walk_section(layers: tuple[Layer, ...], shape: tuple[int, ...]) -> tuple["_Walk", tuple[str, ...]]:
    """A walk over a section as if it came first, and its foreign downsamplers by name, such as ".conv1"."""
    walk = _Walk(shape=shape)
    walk.read(layers)
    names: list[str] = []
    if walk.foreign:
        again = _Walk(shape=shape)
        for row in again.rows(layers, ""):
            if again.foreign > len(names):
                names.append(row.name)
    return walk, tuple(names)


def table_rows(layers: Iterable[Row]) -> list[tuple[Row, int]]:
    """The layers that a table shows, each with its parameters and those of the norms after it.

    These sum to the network's parameters.
    """
    shown: list[tuple[Row, int]] = []
    for row in layers:
        if row.kind == "norm" and shown:
            above, params = shown.pop()
            shown.append((above, params + row.params))
        elif row.kind not in ("activation", "dropout", "shuffle"):
            shown.append((row, row.params))
    return shown


class _Walk(Struct, kw_only=True, gc=False):
    """What layers add up to, one after the other; fields and jumps in pixels of what the first is given."""

    shape: tuple[int, ...]
    params: int = 0
    macs: int = 0
    field: int = 1
    last_field: int | None = None  # before the pooling; None where there was none
    jump: int = 1
    separable: int = 0
    dilated: int = 0
    downsamplers: int = 0
    foreign: int = 0  # layers that thin out the map in another way
    fully_connected: bool = False
    first: Conv | None = None
    last: Conv | None = None

    def rows(self, layers: Iterable[Layer], section: str) -> Iterator[Row]:
        """The same walk with a row for each layer."""
        for name, layer in named(layers):
            shape, field, params, macs = self.shape, self.field, self.params, self.macs
            if isinstance(layer, Sum):
                yield from self.rows(layer.body, f"{section}.{name}")
                self.field = max(field, self.field)
                params, macs = self.params, self.macs  # those of its rows
            else:
                self._layer(layer)
            yield Row(
                name=f"{section}.{name}",
                kind=layer.kind,
                in_shape=shape,
                out_shape=self.shape,
                params=self.params - params,
                macs=self.macs - macs,
                receptive_field=self.field,
                jump=self.jump,
                **_geometry(layer, shape),
            )

    def read(self, layers: Iterable[Layer]) -> None:
        for layer in layers:
            self._layer(layer)

    def _layer(self, layer: Layer) -> None:
        match layer:
            case Conv():
                self._conv(layer)
            case Norm():
                self.params += 2 * layer.channels
            case Activation() | Dropout() | Shuffle():  # they count nothing
                pass
            case SqueezeExcite():
                weights = 2 * layer.channels * layer.squeezed
                self.params += weights + layer.squeezed + layer.channels
                self.macs += weights
            case Sum():
                field = self.field
                self.read(layer.body)
                self.field = max(field, self.field)
            case GlobalPool():
                self.last_field = self.field
                channels, size, _ = self.shape
                self.field += (size - 1) * self.jump
                self.shape = (channels,)
            case Linear():
                weights = layer.in_features * layer.out_features
                self.params += weights + layer.out_features
                self.macs += weights
                self.shape = (layer.out_features,)
                self.fully_connected = True
            case _:
                raise TypeError(f"no analysis for {layer!r}")

    def _conv(self, conv: Conv) -> None:
        kernel, stride, out_channels = conv.kernel, conv.stride, conv.out_channels
        size = self.shape[1]
        out = conv.out_size(size)
        weights = out_channels * (conv.in_channels // conv.groups) * kernel * kernel
        self.params += weights + (out_channels if conv.bias else 0)
        self.macs += weights * out * out
        self.field += (kernel - 1) * conv.dilation * self.jump
        self.jump *= stride
        self.shape = (out_channels, out, out)
        self.separable += _separable(self.last, conv)
        self.dilated += conv.dilation != 1 and kernel != 1
        if stride != 1 or 2 * out <= size:  # the map is thinned out
            by_dilation = conv.padding == 0 and 2 * out == size
            by_stride = stride == 2 and abs(2 * out - size) <= 2  # whatever its padding
            known = kernel == 3 and (by_stride or by_dilation)
            self.downsamplers += known
            self.foreign += not known
        self.first = self.first or conv
        self.last = conv


def _separable(conv: Conv | None, following: Conv) -> bool:
    """Whether two convolutions in a row are a depthwise-separable layer."""
    if conv is None or following.kernel != 1 or following.groups != 1:
        return False
    return conv.groups == conv.in_channels > 1 and conv.kernel != 1


def _geometry(layer: Layer, shape: tuple[int, ...]) -> dict[str, int]:
    if isinstance(layer, GlobalPool):
        return {"kernel": shape[1]}
    if not isinstance(layer, Conv):
        return {}
    return {name: getattr(layer, name) for name in ("kernel", "stride", "dilation", "padding", "groups")}
