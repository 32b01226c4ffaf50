"""What torch cannot count; parameters, fields and shapes are held against torch in test_network."""

from typing import Any

import pytest
from architectures import Drawn, architecture, convs, drawn
from conftest import cases
from hypothesis import given

from cifar_arch.analysis import Analysis, analyse, table_rows
from cifar_arch.blocks import Dilated, Separable
from cifar_arch.downsample import Dilated as DilatedDownsampler
from cifar_arch.spec import TRANSITIONS

DEPTHWISE, POINTWISE = {"depthwise": True}, {"kernel": 1}

# changes, (separable, dilated, downsamplers, foreign downsamplers)
COUNTS: list[tuple[dict[str, Any], tuple[int, int, int, tuple[str, ...]]]] = [
    ({}, (0, 0, 3, ())),
    ({"c2": Separable(layers=2)}, (2, 0, 3, ())),
    ({"c2": Separable(dilation=2)}, (1, 1, 3, ())),
    ({"c2": convs(DEPTHWISE)}, (0, 0, 3, ())),  # nothing 1x1 after it
    ({"c2": convs(DEPTHWISE, POINTWISE)}, (1, 0, 3, ())),
    ({"c4": convs(DEPTHWISE), "head": "conv"}, (1, 0, 3, ())),  # the head's 1x1 follows
    ({"width": 1, "c2": Separable()}, (0, 0, 3, ())),  # one channel has no depth
    ({"c2": Dilated(layers=2)}, (0, 2, 3, ())),
    ({"c2": convs({"kernel": 1, "dilation": 2})}, (0, 0, 3, ())),  # one tap has no gaps
    ({name: DilatedDownsampler() for name in TRANSITIONS}, (0, 3, 3, ())),
    ({name: DilatedDownsampler(separable=True) for name in TRANSITIONS}, (3, 3, 3, ())),
    ({"t1": convs(POINTWISE, {"depthwise": True, "stride": 2})}, (0, 0, 3, ())),
    ({"t1": convs({"stride": 1})}, (0, 0, 2, ())),
    ({"c1": convs({"stride": 2})}, (0, 0, 4, ())),
    ({"t1": convs({"kernel": 1, "stride": 2})}, (0, 0, 2, ("t1.conv1",))),
    ({"t1": convs({"kernel": 5, "stride": 2})}, (0, 0, 2, ("t1.conv1",))),
    ({"t1": convs({"stride": 3})}, (0, 0, 2, ("t1.conv1",))),
    ({"t1": convs({"kernel": 5, "padding": 0, "dilation": 4})}, (0, 1, 2, ("t1.conv1",))),
    ({"t1": convs({"kernel": 17, "padding": 0})}, (0, 0, 2, ("t1.conv1",))),
    ({"t1": convs({"padding": 1, "dilation": 9})}, (0, 1, 2, ("t1.conv1",))),  # it pads
    ({"t1": convs({"stride": 2, "padding": 17})}, (0, 0, 2, ("t1.conv1",))),  # the map keeps its size
    ({"t1": convs({"stride": 2, "padding": 0, "dilation": 12})}, (0, 1, 2, ("t1.conv1",))),  # 32 to 4
    ({"t1": convs({"stride": 2, "padding": 0})}, (0, 0, 3, ())),  # 32 to 15
    ({"c2": convs(DEPTHWISE, {"kernel": 1, "depthwise": True})}, (0, 0, 3, ())),  # not across channels
    ({"c2": convs({"kernel": 1, "depthwise": True}, POINTWISE)}, (0, 0, 3, ())),  # one pixel has no depth
    # a dilated downsampler on a 4x4 map has dilation 1
    ({"c1": convs({"stride": 2}), "t3": DilatedDownsampler()}, (0, 0, 4, ())),
]


@pytest.mark.parametrize(("changes", "counts"), COUNTS)
def test_kinds_of_layers_are_counted(
    changes: dict[str, Any], counts: tuple[int, int, int, tuple[str, ...]]
) -> None:
    a = analyse(architecture(**changes).plan())
    assert (a.separable, a.dilated, a.downsamplers, a.foreign_downsamplers) == counts


@pytest.mark.parametrize(("head", "expected"), [("linear", True), ("conv", False)])
def test_a_linear_head_alone_is_fully_connected(head: str, expected: bool) -> None:
    assert analyse(architecture(head=head).plan()).fully_connected is expected


def small() -> Analysis:
    return analyse(architecture(width=2).plan())


@cases(100)
@given(drawn())
def test_the_rows_of_a_table_sum_to_the_totals(draw: Drawn) -> None:
    found = analyse(draw.plan)
    rows = table_rows(found.layers)
    assert sum(params for _, params in rows) == found.params
    assert sum(row.macs for row, _ in rows) == found.macs
    assert not {row.kind for row, _ in rows[1:]} & {"norm", "activation", "dropout", "shuffle"}


def test_rows_by_hand() -> None:
    first, norm = small().layers[:2]
    assert (first.name, first.kind) == ("c1.1.conv1", "conv")
    assert (first.in_shape, first.out_shape) == ((3, 32, 32), (2, 32, 32))
    assert (first.kernel, first.stride, first.dilation, first.padding, first.groups) == (3, 1, 1, 1, 1)
    assert (first.params, first.macs, first.receptive_field, first.jump) == (54, 54 * 32 * 32, 3, 1)
    assert (norm.name, norm.params, norm.macs, norm.kernel) == ("c1.1.norm1", 4, 0, None)


def test_the_pooling_window_counts_separately() -> None:
    a = small()
    pool = next(row for row in a.layers if row.kind == "globalpool")
    assert pool.kernel == 4
    assert a.receptive_field == 1 + 2 * (1 + 1 + 2 + 2 + 4 + 4 + 8)
    assert a.receptive_field_with_pooling == a.receptive_field + 3 * 8
    assert pool.receptive_field == a.receptive_field_with_pooling
