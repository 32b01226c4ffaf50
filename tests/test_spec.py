from collections.abc import Callable
from typing import Any

import pytest
from architectures import Drawn, architecture, convs, drawn
from conftest import cases, tiny_architecture
from hypothesis import given
from msgspec import json

from cifar_arch.blocks import Block, Custom, CustomConv, Plain, Unit
from cifar_arch.downsample import Dilated
from cifar_arch.layers import NUM_CLASSES, Conv, Dropout, GlobalPool, Layer, Linear, Norm, Shuffle, Sum
from cifar_arch.schema import ConfigError
from cifar_arch.spec import Architecture

UNEVEN = convs({"out": 4, "padding": 0})  # 32x32 -> 30x30
WRITTEN_OUT = dict.fromkeys(("c1", "c2", "c3", "c4", "t1", "t2", "t3"), convs({"out": 10}))
WIDTHS = "expected an integer at least 1 and at most 4096 or auto or null"

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"widht": 3}, "model.widht: unknown field; choose from c1, c2, c3, c4, t1, t2, t3, width, "),
    ({"c1": {"kind": "plan"}}, "model.c1.kind: unknown kind 'plan'; choose from plain, dilated, "),
    ({"t1": {"kind": "pool"}}, "model.t1.kind: unknown kind 'pool'; choose from strided, dilated, "),
    ({"width": 0}, f"model.width: {WIDTHS}, got 0"),
    ({"width": "wide"}, f"model.width: {WIDTHS}, got 'wide'"),
    ({"width": 1.5}, f"model.width: {WIDTHS}, got 1.5"),
    ({"width": None}, "model.width: expected a number of channels or auto, got null"),
    ({"depth": [1, 2]}, "model.depth: expected an integer at least 1 and at most 32 or a list of 4, "),
    ({"depth": [1, 2, 0, 1]}, "model.depth[2]: expected an integer at least 1 and at most 32, got 0"),
    ({"multipliers": [1, 1, 1]}, "model.multipliers: expected a list of 4, got [1, 1, 1]"),
    ({"multipliers": [1, 1, 0, 1]}, "model.multipliers[2]: expected a number above 0 and at most 64, got 0"),
    ({"head": "pool"}, "model.head: expected one of conv, linear, none, got 'pool'"),
    (
        {**WRITTEN_OUT, "width": 8},
        "model.width: has no effect on a network written out layer by layer, got 8; leave it null",
    ),
    (
        {**WRITTEN_OUT, "width": "auto"},
        "model.width: has no effect on a network written out layer by layer, got 'auto'; leave it null",
    ),
    (
        {**WRITTEN_OUT, "width": None, "stem": 3},
        "model.stem: has no effect on a network written out layer by layer, got 3; leave it null",
    ),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_field_is_named_with_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    data = json.decode(json.encode(tiny_architecture(**changes)))
    with pytest.raises(ConfigError) as error:
        Architecture.from_dict(data)
    assert str(error.value).startswith(message)


KINDS = "expected fields with kind: plain, dilated, grouped, separable, blueprint, inverted, custom, got"
NO_BLOCK: list[tuple[dict[str, Any], str]] = [
    ({}, "model.c1: missing; give it fields with a kind"),
    (tiny_architecture(c1=3), f"model.c1: {KINDS} 3"),
    (tiny_architecture(c1="plain"), f"model.c1: {KINDS} 'plain'; type c1=plain"),
]


@pytest.mark.parametrize(("data", "message"), NO_BLOCK, ids=[message for _, message in NO_BLOCK])
def test_what_is_no_block_is_told_in_full(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Architecture.from_dict(data)
    assert str(error.value) == message


class Careless(Unit, frozen=True, kw_only=True):
    """A block of a user's own that takes no notice of what it is given."""

    def convs(self, in_channels: int, out_channels: int) -> tuple[Layer, ...]:
        return (Conv(in_channels=3, out_channels=out_channels, padding=1),)


def own_block(expand: Callable[..., Any]) -> Unit:
    """A block of a user's own."""
    return type("Mine", (Unit,), {"expand": lambda self, *given: expand(*given)}, frozen=True)()


def conv(**changes: Any) -> Callable[..., Any]:
    return lambda given, *_: [Conv(**{"in_channels": given, "out_channels": 8, "padding": 1, **changes})]


OWN: list[tuple[Callable[..., Any], str]] = [
    (
        lambda *_: 1 / 0,
        "model.c2: the block 'mine' cannot be expanded (ZeroDivisionError: division by zero at test_spec.py:",
    ),
    (
        lambda given, out, _: Unit().convs(given, out),
        "model.c2: the block 'mine' cannot be expanded (NotImplementedError: its class has no method convs ",
    ),
    (
        lambda *given: Block().expand(*given),
        "model.c2: the block 'mine' cannot be expanded (NotImplementedError: its class has no method expand ",
    ),
    (
        lambda *_: None,
        "model.c2: expand of the block 'mine' has to return a tuple of layers, got NoneType; for a single ",
    ),
    (conv(kernel="3"), "model.c2: layers[0].kernel: expected an integer at least 1, got '3'"),
    (conv(out_channels=0), "model.c2: layers[0].out_channels: expected an integer at least 1, got 0"),
    (
        conv(groups=3, out_channels=9),
        "model.c2: layers[0] needs channels that are multiples of 3, got 8 in and 9",
    ),
    (
        lambda *_: [Shuffle(channels=8, groups=3)],
        "model.c2: layers[0] needs channels that are multiples of 3, got 8 in and 8 out; ",
    ),
    (lambda *_: [Norm(channels=3)], "model.c2: a norm of 3 channels cannot follow 8; let the first one of "),
    (
        lambda *given: [Sum(body=(*conv()(*given), Dropout(p=2)))],
        "model.c2: layers[0].body[1].p: expected a number at least 0 and at most 1, got 2",
    ),
    (
        lambda *_: [GlobalPool()],
        "model.c2: layers[0].type: unknown kind 'globalpool'; choose from ",
    ),
    (lambda *_: ["conv"], "model.c2: layers[0]: expected fields with kind: "),
]


@pytest.mark.parametrize(("expand", "message"), OWN, ids=[message for _, message in OWN])
def test_a_mistake_in_a_block_of_ones_own_is_a_sentence(expand: Callable[..., Any], message: str) -> None:
    calls = []

    def counted(*given: Any) -> Any:
        calls.append(given)
        return expand(*given)

    own = own_block(counted)
    with pytest.raises(ConfigError) as error:
        architecture(c2=own).plan()
    assert str(error.value).startswith(message)
    assert len(calls) == 1


def test_equal_layers_of_blocks_of_ones_own_have_equal_keys() -> None:
    """However their numbers and rows are written, and where a block has no layers at all."""
    whole, real = (own_block(lambda *_, p=p: [Dropout(p=p)]) for p in (0, 0.0))
    assert architecture(c2=whole).key() == architecture(c2=real).key()
    body, listed = (
        own_block(lambda *given, row=row: [Sum(body=row(conv()(*given)))]) for row in (tuple, list)
    )
    assert architecture(c2=body).key() == architecture(c2=listed).key()
    nothing = own_block(lambda *_: ())
    assert architecture(c2=nothing).key() == architecture(c2=nothing, depth=(1, 2, 1, 1)).key()


NO_PLAN: list[tuple[dict[str, Any], str]] = [
    ({"width": "auto"}, "model.width: auto has to be solved for limits before it is planned"),
    (
        {"c3": convs({"kernel": 9, "padding": 0})},
        "model.c3: the 9x9 convolution with stride 1, dilation 1 and padding 0 collapses the 8x8 map; "
        "allowed are those that leave at least 1x1",
    ),
    (
        {"t2": Dilated(), "c1": UNEVEN},
        "model.t2: a dilated downsampler halves maps whose side is a multiple of 4, got 15x15; "
        "use kind=strided",
    ),
    (
        {"c2": Custom(convs=(CustomConv(padding=0),), residual=True)},
        "model.c2: a residual sum needs equal shapes, got 8x16x16 in and 8x14x14 out; set residual=false",
    ),
    (
        {"c2": Careless()},
        "model.c2: a convolution of 3 channels cannot follow 8; let the first one of a block take "
        "in_channels, and each other what the one before makes",
    ),
    (
        {"head": "none"},
        "model.head: none needs a C4 that ends in 10 channels, got 8; use linear or conv",
    ),
    (
        {"c2": convs({"depthwise": True, "out": 9})},
        "model.c2: a depthwise convolution needs channels that are multiples of 8, got 8 in and 9 out; "
        "change the channels or the groups",
    ),
]


@pytest.mark.parametrize(("changes", "message"), NO_PLAN, ids=[message for _, message in NO_PLAN])
def test_an_architecture_without_a_plan_says_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        architecture(**changes).plan()
    assert str(error.value) == message


def test_sections_and_channels() -> None:
    plan = architecture(width=10, multipliers=(1.0, 1.5, 0.26, 0.01), depth=(1, 2, 1, 1)).plan()
    names = ["c1.1", "t1", "c2.1", "c2.2", "t2", "c3.1", "t3", "c4.1", "o"]
    assert [section.name for section in plan] == names
    firsts = [section.layers[0] for section in plan[:-1]]
    assert [getattr(conv, "out_channels", None) for conv in firsts] == [10, 15, 15, 15, 3, 3, 1, 1]
    assert plan[-1].layers == (GlobalPool(), Linear(in_features=1, out_features=NUM_CLASSES))


def test_a_custom_block_ignores_width_and_depth() -> None:
    a = architecture(c2=convs({"out": 5}), depth=3)
    assert a.plan() == architecture(c2=convs({"out": 5}), depth=(3, 1, 3, 3)).plan()


@cases(200)
@given(drawn())
def test_round_trips_through_plain_data(draw: Drawn) -> None:
    data = draw.architecture.to_dict()
    again = Architecture.from_dict(json.decode(json.encode(data)))
    assert again == draw.architecture == Architecture.from_dict(data)
    assert again.key() == draw.architecture.key()


BASE = architecture()

EQUAL = {
    "depth for every stage": architecture(depth=(1, 1, 1, 1)),
    "multipliers instead of width": architecture(width=4, multipliers=(2.0, 2.0, 2.0, 2.0)),
    "written out": architecture(c1=convs({"out": 8})),
    "a list for a tuple": architecture(c1=Custom(convs=[CustomConv(out=8)])),  # type: ignore[arg-type]
    "no sum where channels differ": architecture(c1=Plain(residual=True)),
}
DIFFERENT = {
    "width": architecture(width=9),
    "one multiplier": architecture(multipliers=(1.0, 1.0, 1.0, 2.0)),
    "depth": architecture(depth=(1, 1, 1, 2)),
    "block": architecture(c2=Plain(residual=True)),
    "downsampler": architecture(t2=Dilated()),
    "activation": architecture(activation="silu"),
    "head": architecture(head="conv"),
    "bias": architecture(c1=convs({"out": 8, "bias": True})),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_networks_have_equal_keys(name: str) -> None:
    assert EQUAL[name] != BASE
    assert EQUAL[name].key() == BASE.key()


def test_depth_and_layers_are_the_same_network() -> None:
    deep, long = architecture(depth=2), {f"c{n}": Plain(layers=2) for n in (1, 2, 3, 4)}
    assert deep.key() == architecture(**long).key()


def test_different_networks_have_different_keys() -> None:
    keys = {a.key() for a in [BASE, *DIFFERENT.values()]}
    assert len(keys) == len(DIFFERENT) + 1


def test_key_is_stable() -> None:
    """Folders of earlier versions are found by it."""
    assert BASE.key() == "c19873220a4ba562"
