"""Plain dicts -> checked structs, with errors that say field, value got and what is allowed."""

import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

T = TypeVar("T")


class ConfigError(ValueError):
    """A mistake in what the user wrote; the text is one sentence made for the user."""


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that a config fills: immutable, keyword-only, no unknown fields."""


def checked(kind: type[T], data: object, where: str) -> T:
    """An instance of `kind` filled from plain `data`; `where` is the key that held it.

    A whole config has the key "".
    Raises ConfigError with the full key of the first wrong field.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(_sentence(str(error), kind, data, where)) from None


def _sentence(message: str, kind: type, data: object, where: str) -> str:
    problem, _, path = message.partition(" - at `$")
    steps = re.findall(r"\[(\d+)\]|\.(\w+)", path)
    key = where + "".join(f"[{index}]" if index else f".{name}" for index, name in steps)
    key = key.removeprefix(".")
    value, info = _follow(kind, data, steps)
    if unknown := re.match(r"Object contains unknown field `(.*)`", problem):
        name = unknown.group(1)
        return f"{key}.{name}: unknown field; choose from {', '.join(_fields(info))}"
    if missing := re.match(r"Object missing required field `(.*)`", problem):
        return f"{key}.{missing.group(1)}: missing; give it a value"
    if problem.startswith(("Expected", "Invalid")):
        return f"{key}: expected {' or '.join(_allowed(info))}, got {value!r}"
    return f"{key}: {problem}"  # the sentence of a check of ours, in a __post_init__


def _follow(kind: type, data: Any, steps: list[tuple[str, str]]) -> tuple[Any, inspect.Type]:
    """The value and the declared type at the end of an error's path."""
    info: inspect.Type = inspect.type_info(kind)
    for index, name in steps:
        struct = _struct(info, data)
        if index:
            data, info = data[int(index)], _item(info, int(index))
        elif struct and name in _fields(struct):
            data = data.get(name)
            info = next(field.type for field in struct.fields if field.encode_name == name)
        elif isinstance(data, dict):  # the tag of a union: its values are the union's tags
            data = data.get(name)
    return data, _struct(info, data) or info


def _unwrap(info: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(info, inspect.Metadata):
        yield from _unwrap(info.type)
    elif isinstance(info, inspect.UnionType):
        for member in info.types:
            yield from _unwrap(member)
    else:
        yield info


def _struct(info: inspect.Type, data: Any) -> inspect.StructType | None:
    """The struct that `data` is meant for: of a tagged union, the one its tag names."""
    structs = [member for member in _unwrap(info) if isinstance(member, inspect.StructType)]
    if len(structs) == 1:
        return structs[0]
    tagged = [s for s in structs if isinstance(data, dict) and data.get(s.tag_field) == s.tag]
    return tagged[0] if tagged else None


def _item(info: inspect.Type, index: int) -> inspect.Type:
    for member in _unwrap(info):
        if isinstance(member, inspect.TupleType):
            return member.item_types[index]
        if isinstance(member, inspect.VarTupleType | inspect.ListType):
            return member.item_type
    return info


def _fields(info: inspect.Type) -> list[str]:
    return [f.encode_name for f in info.fields] if isinstance(info, inspect.StructType) else []


def _allowed(info: inspect.Type) -> Iterator[str]:
    """What a field takes, in words: one phrase for each member of a union."""
    for member in _unwrap(info):
        match member:
            case inspect.LiteralType():
                yield ", ".join(map(str, member.values))
            case inspect.StructType() if member.tag is not None:
                yield str(member.tag)
            case inspect.StructType():
                yield f"fields among {', '.join(_fields(member))}"
            case inspect.IntType() | inspect.FloatType():
                yield " ".join(
                    ["an integer" if isinstance(member, inspect.IntType) else "a number"]
                    + [f"{sign} {bound:g}" for sign, bound in _bounds(member)]
                )
            case inspect.TupleType():
                yield f"a list of {len(member.item_types)}"
            case inspect.VarTupleType() | inspect.ListType():
                yield f"a list of {member.min_length or 'any number'}"
            case inspect.BoolType():
                yield "true, false"
            case inspect.NoneType():
                yield "null"
            case _:
                yield "text"


def _bounds(info: inspect.IntType | inspect.FloatType) -> Iterator[tuple[str, float]]:
    for sign, bound in ((">=", info.ge), (">", info.gt), ("<=", info.le), ("<", info.lt)):
        if bound is not None:
            yield sign, bound
