"""Plain dicts -> checked structs, with errors that say field, value got and what is allowed.

ConfigError and SearchStopped, which end every command as a sentence, stand here as well.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, Union

import msgspec
from msgspec import inspect

T = TypeVar("T")

FILES_OF_BLOCKS = "'plugins=[FILE.py]'"  # as `run` and `check` take them


def install(extra: str) -> str:
    """What to type in the clone for packages that not everybody needs."""
    return f"uv sync --inexact --extra {extra} (without uv: pip install '.[{extra}]')"


class ConfigError(ValueError):
    """A mistake in what the user wrote; the text is one sentence made for the user."""


class UnknownKind(ConfigError):
    """A kind that is in no table, as that of a user's own whose file was not named."""


class SearchStopped(Exception):
    """A search ended before its total; the text says why and what to do."""


def first_line(error: BaseException) -> str:
    """What an error says first; its class where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


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
        if isinstance(error.__cause__, ConfigError):  # of a __post_init__: a whole sentence already
            raise error.__cause__ from None
        raise ConfigError(_sentence(str(error), kind, data, where)) from None


def meant(kind: type[Strict], key: str) -> str:
    """How a sentence goes on about a key that no part of `kind` has, but one may have within it.

    Files and dicts have width within model, where one types width or model.width.
    """
    above, _, name = key.rpartition(".")
    parts = {field.name: field.type for field in msgspec.structs.fields(kind)}
    holders = (part for part, held in parts.items() if name in getattr(held, "__struct_fields__", ()))
    place = above if above.partition(".")[0] in parts else next(holders, None)
    return f", did you mean {name} within {place}?" if place else ";"


def variant(table: Mapping[str, type[T]], value: object, where: str) -> T:
    """`value` as one of the structs of a `table` by kind, which may have grown since the start.

    Raises ConfigError as `checked`.
    """
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        try:
            return checked(Union[tuple(table.values())], value, where)  # type: ignore[arg-type]  # noqa: UP007
        except ConfigError as error:
            if not isinstance(value, str) or not value.isidentifier():
                raise
            option = f"{where.rpartition('.')[2]}={value}"  # where the fields were meant to be chosen by name
            raise ConfigError(f"{error}; type {option}") from error
    if kind not in table:
        raise UnknownKind(
            f"{where}.kind: unknown kind {kind!r}; choose from {', '.join(table)}; "
            f"one of your own needs its file, {FILES_OF_BLOCKS}"
        )
    return checked(table[kind], value, where)


def _sentence(message: str, kind: type, data: object, where: str) -> str:
    problem, _, path = message.replace("`key` in ", "").partition(" - at `$")
    steps = re.findall(r"\[(\d+)\]|\.(\w+)", path.partition("[...]")[0])  # which of a dict is not told
    key = where + "".join(f"[{index}]" if index else f".{name}" for index, name in steps)
    key = key.removeprefix(".")
    value, info = _follow(kind, data, steps)
    if unknown := re.match(r"Object contains unknown field `(.*)`", problem):
        name = unknown.group(1)
        names = ", ".join(f.encode_name for f in _declared(info))
        return f"{key}.{name}: unknown field; choose from {names}".removeprefix(".")
    if missing := re.match(r"Object missing required field `(.*)`", problem):
        name = missing.group(1)
        declared = next((f for f in _declared(info) if f.encode_name == name), None)
        choices = " or ".join(_allowed(declared.type)) if declared else ", ".join(_tags(info))
        return f"{key}.{name}: missing; give it {choices}".removeprefix(".")
    if problem.startswith("Invalid value"):  # the tag of a union; of a literal it is an "enum value"
        return f"{key}: unknown kind {_shown(value)}; choose from {', '.join(_tags(info))}"
    allowed = " or ".join(_allowed(info))
    whole = isinstance(value, float) and value >= 1 and value.is_integer() and "an integer" in allowed
    up_to_1 = re.match(r"a number (above|at least) 0 and at most 1\b(?!\.)", allowed)
    share = up_to_1 and isinstance(value, int | float) and 10 < value <= 100  # a percentage
    better = f"; type {int(value)}" if whole else f"; type {value / 100:g}" if share else ""
    several = isinstance(value, list) and value and "list" not in allowed
    if several and {*map(type, value)} <= {int, float, str}:
        better = f"; type one of them, or -m {key}={','.join(map(str, value))} to try each"
    return f"{key}: expected {allowed}, got {_shown(value)}{better}"


def _shown(value: Any) -> str:
    """A value as YAML spells it."""
    names = {None: "null", True: "true", False: "false"}
    return names[value] if value is None or isinstance(value, bool) else repr(value)


def _follow(kind: type, data: Any, steps: list[tuple[str, str]]) -> tuple[Any, inspect.Type]:
    """The value and the declared type at the end of an error's path."""
    info: inspect.Type = inspect.type_info(kind)
    for index, name in steps:
        struct = _struct(info, data)
        if index:
            data, info = data[int(index)], _item(info, int(index))
        elif field := next((f for f in _declared(struct) if f.encode_name == name), None):
            data, info = data.get(name), field.type
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
        if isinstance(member, inspect.CollectionType):
            return member.item_type
    return info


def _tags(info: inspect.Type) -> list[str]:
    structs = (member for member in _unwrap(info) if isinstance(member, inspect.StructType))
    return [str(struct.tag) for struct in structs if struct.tag is not None]


def _declared(info: inspect.Type | None) -> tuple[inspect.Field, ...]:
    return info.fields if isinstance(info, inspect.StructType) else ()


def _allowed(info: inspect.Type) -> Iterator[str]:
    """What a field takes, in words: one phrase for each member of a union, one for all tagged ones."""
    if tags := _tags(info):
        yield f"fields with kind: {', '.join(tags)}"
    for member in _unwrap(info):
        match member:
            case inspect.LiteralType():
                names = ", ".join(map(str, member.values))
                yield f"one of {names}" if len(member.values) > 1 else names
            case inspect.StructType() if member.tag is not None:
                pass
            case inspect.StructType():
                yield f"fields among {', '.join(f.encode_name for f in member.fields)}"
            case inspect.IntType():
                yield f"an integer {_bounds(member)}".rstrip()
            case inspect.FloatType():
                yield f"a number {_bounds(member)}".rstrip()
            case inspect.TupleType():
                yield f"a list of {len(member.item_types)}"
            case inspect.CollectionType():
                low, high = member.min_length, member.max_length
                many = f"of {low} or more" if low else "such as [a,b]"
                yield f"a list of {low}" if low == high and low else f"a list {many}"
            case inspect.DictType():
                yield f"names, each with {' or '.join(_allowed(member.value_type))}"
            case inspect.BoolType():
                yield "true or false"
            case inspect.NoneType():
                yield "null"
            case inspect.AnyType():  # of a table that may grow
                yield "fields with a kind"
            case _:
                yield "text"


def _bounds(info: inspect.IntType | inspect.FloatType) -> str:
    pairs = (("at least", info.ge), ("above", info.gt), ("at most", info.le), ("below", info.lt))
    return " and ".join(f"{sign} {bound}" for sign, bound in pairs if bound is not None)
