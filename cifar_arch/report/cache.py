"""The table of finished runs in a file, so that a second look reads only what changed."""

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from cifar_arch.report.folders import Stamp
from cifar_arch.runfolder import atomic

NAME = ".report-cache"
VERSION = 1  # of what the columns mean; a file of another one is not used


class _Column(msgspec.Struct, array_like=True):
    """The different values of a column, and which of them each row has (-1: missing)."""

    name: str
    kind: str
    values: list[Any]
    codes: bytes  # int32


class _Cache(msgspec.Struct, array_like=True):
    version: int
    root: str
    config: list[str]
    stamps: list[Stamp]
    columns: list[_Column]


def load(root: Path) -> tuple[pd.DataFrame, list[Stamp]] | None:
    """The saved table and its stamps; None where there is none that can be used."""
    try:
        saved = msgspec.msgpack.decode((root / NAME).read_bytes(), type=_Cache)
        if (saved.version, saved.root) != (VERSION, str(root.resolve())):
            return None
        columns = {
            c.name: pd.array(c.values, dtype=c.kind).take(np.frombuffer(c.codes, np.int32), allow_fill=True)
            for c in saved.columns
        }
        frame = pd.DataFrame(columns)
    except (OSError, msgspec.DecodeError, ValueError, TypeError, IndexError):
        return None
    frame.attrs["config"] = saved.config
    return (frame, saved.stamps) if len(frame) == len(saved.stamps) else None


def save(root: Path, frame: pd.DataFrame, stamps: list[Stamp]) -> None:
    """Saves a table; a folder that is there to be read only stays as it is."""
    columns = []
    for name in frame.columns:
        codes, values = pd.factorize(frame[name])
        kind = str(frame[name].dtype)
        columns.append(_Column(name, kind, values.tolist(), codes.astype(np.int32).tobytes()))
    made = _Cache(VERSION, str(root.resolve()), frame.attrs["config"], stamps, columns)
    with contextlib.suppress(OSError), atomic(root / NAME) as temporary:
        temporary.write_bytes(msgspec.msgpack.encode(made))
