"""The rows of finished runs in a file, so that a second look reads only what changed."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from cifar_arch.report.folders import Stamp
from cifar_arch.runfolder import atomic

NAME = ".report-cache"
VERSION = 4  # of what the rows mean; a file of another one is not used


class Column(msgspec.Struct, array_like=True, frozen=True):
    """The different values of a column, and which of them each row has; -1: it has no such key."""

    values: list[Any]
    codes: np.ndarray  # (rows,), int32


class Rows(msgspec.Struct, array_like=True, frozen=True):
    """Rows of plain values, held by column.

    Most columns have few values in many rows: a table is built from them ten times as fast as from dicts.
    """

    count: int = 0
    columns: dict[str, Column] = {}

    def extended(self, rows: Sequence[Mapping[str, Any]]) -> "Rows":
        """These rows, then others."""
        if not rows:
            return self
        keys = dict.fromkeys(tuple(row) for row in rows)  # few, as most rows have the same
        names = dict.fromkeys([*self.columns, *(name for names in keys for name in names)])
        empty = Column([], np.full(self.count, -1, np.int32))
        columns = {name: _extended(self.columns.get(name, empty), name, rows) for name in names}
        return Rows(self.count + len(rows), columns)

    def take(self, places: Sequence[int]) -> "Rows":
        """The rows at these different places; a column that none of them has is left out."""
        order = np.array(places, np.intp)
        if len(order) == self.count:
            columns = {name: Column(c.values, c.codes[order]) for name, c in self.columns.items()}
        else:
            taken = {name: _taken(column, order) for name, column in self.columns.items()}
            columns = {name: column for name, column in taken.items() if column.values}
        return Rows(len(order), columns)


def _extended(column: Column, name: str, rows: Sequence[Mapping[str, Any]]) -> Column:
    fresh = [row.get(name, UNSET) for row in rows]
    # By type as well, because True == 1 == 1.0.
    keys = list(zip(map(type, fresh), fresh, strict=True))
    different = dict.fromkeys([*((type(value), value) for value in column.values), *keys])
    different.pop((UnsetType, UNSET), None)
    codes = {key: code for code, key in enumerate(different)} | {(UnsetType, UNSET): -1}
    added = np.array([codes[key] for key in keys], np.int32)
    return Column([value for _, value in different], np.append(column.codes, added))


def _taken(column: Column, order: np.ndarray) -> Column:
    """Without the values that no row has any more: the type of a column is that of its values."""
    used, codes = np.unique(column.codes[order], return_inverse=True)
    values = [column.values[code] for code in used if code >= 0]
    return Column(values, (codes - (len(used) - len(values))).astype(np.int32))


class _File(msgspec.Struct, array_like=True):
    version: int
    root: str
    stamps: dict[str, Stamp]  # by folder, in the order of the rows
    rows: Rows


def load(root: Path) -> tuple[dict[str, Stamp], Rows]:
    """The stamps of the saved runs by folder, and their rows; none where no file can be used."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        content = (root / NAME).read_bytes()
        saved = msgspec.msgpack.decode(content, type=_File, dec_hook=_codes)
        if (saved.version, saved.root) == (VERSION, str(root.resolve())):
            return saved.stamps, saved.rows
    return {}, Rows()


def save(root: Path, stamps: dict[str, Stamp], rows: Rows) -> None:
    """Saves rows, one for each stamp; a folder that is there to be read only stays as it is."""
    file = _File(VERSION, str(root.resolve()), stamps, rows)
    with contextlib.suppress(OSError), atomic(root / NAME) as temporary:
        temporary.write_bytes(msgspec.msgpack.encode(file, enc_hook=np.ndarray.tobytes))


def _codes(kind: type, content: Any) -> np.ndarray:
    return np.frombuffer(content, np.int32)
