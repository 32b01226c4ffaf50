"""Plan -> one row per layer and totals: exact integers, no torch.

Receptive fields follow Araujo, Norris and Sim (2019, "Computing receptive fields of convolutional
neural networks"): r_out = r_in + (k - 1) * d * j_in and j_out = j_in * s, over both ways of a sum.
The means that a squeeze-and-excitation takes of whole maps widen no field, as those of the global
pooling do not: with them any network would meet a rule that asks for a field.

A depthwise-separable layer is a depthwise convolution and, as the next one, a 1x1 over all channels
(Chollet 2017): the pair of the rules. Turned round (1x1, then depthwise) a pair is none by itself; two
of them in a row hold one, and so does one before a 1x1.
"""

import functools
from collections.abc import Iterable

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
    Section,
    Shuffle,
    SqueezeExcite,
    Sum,
    named,
)


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
    params: int = 0  # trainable numbers
    macs: int = 0  # multiply-adds of convolutions and linear layers, bias ignored
    receptive_field: int
    jump: int  # distance between two neighbouring units


class Analysis(Struct, frozen=True, kw_only=True):
    """Totals of a network; its rows are made when they are asked for."""

    plan: Plan
    size: int  # side of the image in pixels
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
    def layers(self) -> tuple[Row, ...]:
        walk = _Walk((IMAGE_CHANNELS, self.size, self.size))
        for section in self.plan:
            walk.read(section.layers, section.name)
        return tuple(walk.rows)


class _Part(Struct, frozen=True, kw_only=True, gc=False):
    """Totals of a section, as if it came first: its fields and its jump are in pixels of what it is given."""

    out_shape: tuple[int, ...]
    params: int
    macs: int
    field: int
    last_field: int | None  # before the pooling; None where it holds none
    jump: int
    separable: int
    dilated: int
    downsamplers: int
    foreign_downsamplers: tuple[str, ...]
    fully_connected: bool
    convs: tuple[Row, ...]  # the first and the last, for pairs that two sections share


def analyse(plan: Plan, size: int = IMAGE_SIZE) -> Analysis:
    """Totals of a plan on images of `size` x `size` pixels, and its rows."""
    shape: tuple[int, ...] = (IMAGE_CHANNELS, size, size)
    field = last_field = jump = 1
    parts: list[_Part] = []
    for section in plan:
        part = _part(section, shape)
        parts.append(part)
        if part.last_field is not None:
            last_field = field + (part.last_field - 1) * jump
        shape, field, jump = part.out_shape, field + (part.field - 1) * jump, jump * part.jump
    ends = [row for part in parts for row in part.convs]  # two of each section that has any
    return Analysis(
        plan=plan,
        size=size,
        params=sum(part.params for part in parts),
        macs=sum(part.macs for part in parts),
        receptive_field=last_field,
        receptive_field_with_pooling=field,
        separable=sum(part.separable for part in parts) + sum(map(_separable, ends[1::2], ends[2::2])),
        dilated=sum(part.dilated for part in parts),
        downsamplers=sum(part.downsamplers for part in parts),
        foreign_downsamplers=tuple(name for part in parts for name in part.foreign_downsamplers),
        fully_connected=any(part.fully_connected for part in parts),
    )


@functools.lru_cache(maxsize=100_000)  # a search asks for the same sections in ever new combinations
def _part(section: Section, shape: tuple[int, ...]) -> _Part:
    walk = _Walk(shape)
    walk.read(section.layers, section.name)
    rows = walk.rows
    convs = [row for row in rows if row.kind == "conv"]
    thinning = [row for row in convs if _thins(row)]
    foreign = [row for row in thinning if not _downsamples(row)]
    return _Part(
        out_shape=walk.shape,
        params=sum(row.params for row in rows),
        macs=sum(row.macs for row in rows),
        field=walk.field,
        last_field=walk.last_field,
        jump=walk.jump,
        separable=sum(map(_separable, convs, convs[1:])),
        dilated=sum(row.dilation != 1 and row.kernel != 1 for row in convs),
        downsamplers=len(thinning) - len(foreign),
        foreign_downsamplers=tuple(row.name for row in foreign),
        fully_connected=any(row.kind == "linear" for row in rows),
        convs=(convs[0], convs[-1]) if convs else (),
    )


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


def _thins(row: Row) -> bool:
    return row.stride != 1 or 2 * row.out_shape[1] <= row.in_shape[1]


def _downsamples(row: Row) -> bool:
    """Whether a row that thins out the map is one of the two downsamplers that the rules know."""
    dilated = row.stride == 1 and row.padding == 0 and 2 * row.out_shape[1] == row.in_shape[1]
    return row.kernel == 3 and (row.stride == 2 or dilated)


def _separable(row: Row, following: Row) -> bool:
    depthwise = row.groups == row.in_shape[0] > 1 and row.kernel != 1
    return depthwise and following.kernel == 1 and following.groups == 1


class _Walk:
    """The state of a walk over the layers, one row appended for each."""

    def __init__(self, shape: tuple[int, ...]):
        self.rows: list[Row] = []
        self.shape = shape
        self.field = 1
        self.last_field: int | None = None
        self.jump = 1

    def read(self, layers: tuple[Layer, ...], section: str) -> None:
        for name, layer in named(layers):
            self._layer(layer, f"{section}.{name}")

    def _layer(self, layer: Layer, name: str) -> None:
        match layer:
            case Conv():
                self._conv(layer, name)
            case Norm():
                self._row(name, layer.kind, self.shape, self.shape, params=2 * layer.channels)
            case Activation() | Dropout() | Shuffle():  # they count nothing
                self._row(name, layer.kind, self.shape, self.shape)
            case SqueezeExcite():
                weights = 2 * layer.channels * layer.squeezed
                counts = {"params": weights + layer.squeezed + layer.channels, "macs": weights}
                self._row(name, layer.kind, self.shape, self.shape, **counts)
            case Sum():
                before, field = self.shape, self.field
                self.read(layer.body, name)
                self.field = max(field, self.field)
                self._row(name, layer.kind, before, self.shape)
            case GlobalPool():
                self.last_field = self.field
                channels, size, _ = self.shape
                self.field += (size - 1) * self.jump
                self._row(name, layer.kind, self.shape, (channels,), kernel=size)
            case Linear():
                weights = layer.in_features * layer.out_features
                counts = {"params": weights + layer.out_features, "macs": weights}
                self._row(name, layer.kind, self.shape, (layer.out_features,), **counts)
            case _:
                raise TypeError(f"no analysis for {layer!r}")

    def _conv(self, conv: Conv, name: str) -> None:
        out = conv.out_size(self.shape[1])
        weights = conv.out_channels * (conv.in_channels // conv.groups) * conv.kernel**2
        self.field += (conv.kernel - 1) * conv.dilation * self.jump
        self.jump *= conv.stride
        self._row(
            name,
            conv.kind,
            self.shape,
            (conv.out_channels, out, out),
            kernel=conv.kernel,
            stride=conv.stride,
            dilation=conv.dilation,
            padding=conv.padding,
            groups=conv.groups,
            params=weights + (conv.out_channels if conv.bias else 0),
            macs=weights * out * out,
        )

    def _row(
        self, name: str, kind: str, before: tuple[int, ...], after: tuple[int, ...], **fields: int
    ) -> None:
        self.shape = after
        self.rows.append(
            Row(
                name=name,
                kind=kind,
                in_shape=before,
                out_shape=after,
                receptive_field=self.field,
                jump=self.jump,
                **fields,
            )
        )
