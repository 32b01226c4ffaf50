import re
from typing import Annotated, Any, Literal

import pytest
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, field

from cifar_arch.schema import ConfigError, Strict, checked, first_line


class Round(Strict, frozen=True, kw_only=True, tag_field="kind", tag="round"):
    radius: Annotated[float, Meta(gt=0)] = 1.0


class Square(Strict, frozen=True, kw_only=True, tag_field="kind", tag="square"):
    side: Annotated[int, Meta(ge=1, le=9, description="in pixels")]


class Paper(Strict, frozen=True, kw_only=True):
    opacity: Annotated[float, Meta(ge=0, le=1)] = 1.0


class Drawing(Strict, frozen=True, kw_only=True):
    shape: Round | Square
    colour: Literal["red", "blue"] = "red"
    size: Annotated[int, Meta(ge=1)] | Literal["auto"] | None = None
    pair: tuple[float, float] = (0.0, 0.0)
    several: tuple[Round, ...] = ()
    filled: bool = False
    name: str = ""
    few: Annotated[tuple[int, ...], Meta(min_length=1)] = (1,)
    ids: frozenset[int] = frozenset()
    named: dict[str, list[int]] = field(default_factory=dict)
    paper: Paper = Paper()

    def __post_init__(self) -> None:
        if self.name == "forbidden":
            raise ConfigError("drawing.name: a whole sentence of ours")


ROUND = {"kind": "round"}

CASES: list[tuple[dict[str, Any], str]] = [
    ({"shape": {"kind": "oval"}}, "d.shape.kind: unknown kind 'oval'; choose from round, square"),
    ({"shape": {}}, "d.shape.kind: missing; give it round, square"),
    ({"shape": None}, "d.shape: expected fields with kind: round, square, got null"),
    ({"shape": {"kind": "square"}}, "d.shape.side: missing; give it an integer at least 1 and at most 9"),
    (
        {"shape": {"kind": "square", "side": 11}},
        "d.shape.side: expected an integer at least 1 and at most 9, got 11",
    ),
    (
        {"shape": {"kind": "round", "side": 2}},
        "d.shape.side: unknown field; choose from radius",
    ),
    ({"shape": {"kind": "round", "radius": "x"}}, "d.shape.radius: expected a number above 0, got 'x'"),
    ({}, "d.shape: missing; give it fields with kind: round, square"),
    ({"shape": ROUND, "colour": "pink"}, "d.colour: expected one of blue, red, got 'pink'"),
    ({"shape": ROUND, "size": 0}, "d.size: expected an integer at least 1 or auto or null, got 0"),
    (
        {"shape": ROUND, "size": 4e6},
        "d.size: expected an integer at least 1 or auto or null, got 4000000.0; type 4000000",
    ),
    ({"shape": ROUND, "size": 4.5}, "d.size: expected an integer at least 1 or auto or null, got 4.5"),
    ({"shape": ROUND, "size": True}, "d.size: expected an integer at least 1 or auto or null, got true"),
    (
        {"shape": ROUND, "size": [1, 2]},
        "d.size: expected an integer at least 1 or auto or null, got [1, 2]; type one of them, or "
        "-m d.size=1,2 to try each",
    ),
    ({"shape": ROUND, "pair": [1]}, "d.pair: expected a list of 2, got [1]"),
    ({"shape": ROUND, "pair": [1, "x"]}, "d.pair[1]: expected a number, got 'x'"),
    ({"shape": ROUND, "several": 3}, "d.several: expected a list such as [a,b], got 3"),
    (
        {"shape": ROUND, "several": [ROUND, {**ROUND, "radius": -1}]},
        "d.several[1].radius: expected a number above 0, got -1",
    ),
    ({"shape": ROUND, "ids": 3}, "d.ids: expected a list such as [a,b], got 3"),
    ({"shape": ROUND, "ids": ["x"]}, "d.ids[0]: expected an integer, got 'x'"),
    *(
        ({"shape": ROUND, "named": x}, f"d.named: expected names, each with a list such as [a,b], got {x}")
        for x in (3, {"a": 3}, {"a": ["x"]}, {1: [1]})
    ),
    ({"shape": ROUND, "paper": 3}, "d.paper: expected fields among opacity, got 3"),
    (
        {"shape": ROUND, "paper": {"opacity": 60}},
        "d.paper.opacity: expected a number at least 0 and at most 1, got 60; type 0.6",
    ),
    ({"shape": ROUND, "few": []}, "d.few: expected a list of 1 or more, got []"),
    ({"shape": ROUND, "filled": 1}, "d.filled: expected true or false, got 1"),
    ({"shape": ROUND, "name": 4}, "d.name: expected text, got 4"),
    ({"shape": ROUND, "name": "forbidden"}, "drawing.name: a whole sentence of ours"),
    (
        {"shape": ROUND, "colors": 3},
        "d.colors: unknown field; choose from shape, colour, size, pair, several, filled, name, few, ids, "
        "named, paper",
    ),
]


@pytest.mark.parametrize(("data", "message"), CASES, ids=[message for _, message in CASES])
def test_a_wrong_value_is_named_with_what_is_allowed(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        checked(Drawing, data, "d")
    assert str(error.value) == message


def test_a_whole_config_has_no_key() -> None:
    with pytest.raises(ConfigError, match=r"^size: expected"):
        checked(Drawing, {"shape": ROUND, "size": 0}, "")
    with pytest.raises(ConfigError, match=r"^x: unknown field"):
        checked(Drawing, {"shape": ROUND, "x": 0}, "")


def test_plain_data_become_what_the_fields_declare() -> None:
    found = checked(Drawing, {"shape": {"kind": "square", "side": 2}, "pair": [1, 2]}, "d")
    assert found == Drawing(shape=Square(side=2), pair=(1.0, 2.0))


def test_an_error_that_says_nothing_is_named_by_its_class() -> None:
    assert [first_line(error) for error in (TimeoutError(), ValueError("a\nb"))] == ["TimeoutError", "a"]


KEYS = st.sampled_from([*Drawing.__struct_fields__, "kind", "radius", "side"]) | st.text(max_size=5)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
LEAVES |= st.sampled_from(["round", "square", "red", "auto", "forbidden", 1, 2.0])
SHAPES = st.sampled_from([ROUND, {"kind": "square", "side": 3}])
JSON = st.recursive(
    LEAVES | SHAPES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@cases(300)
@given(JSON | st.dictionaries(KEYS, JSON, max_size=4).map(lambda data: {"shape": ROUND, **data}))
def test_any_data_become_a_struct_or_a_sentence_that_begins_with_a_key(data: Any) -> None:
    said = ""
    try:
        assert isinstance(checked(Drawing, data, "d"), Drawing)
    except ConfigError as error:
        said = str(error)
    assert not said or re.match(r"(?s)d(rawing)?[.\[:].*(expected|unknown|missing|a whole sentence)", said)
