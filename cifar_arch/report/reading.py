"""One run folder -> one row of plain values, whatever state the folder is in."""

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from cifar_arch.record import Summary
from cifar_arch.runfolder import RunFolder

STAGES = ("c1", "c2", "c3", "c4")
TRANSITIONS = ("t1", "t2", "t3")
RUNNING, UNREADABLE = "running", "unreadable"  # beside those of `Status`

Row = dict[str, Any]


class _Spec(msgspec.Struct):
    width: int | None = None


class _Network(msgspec.Struct):
    """What is read of architecture.json."""

    spec: dict[str, Any]
    params: int
    macs: int
    receptive_field: int
    receptive_field_with_pooling: int


class _Width(msgspec.Struct):
    spec: _Spec


_NESTED = ("config", "split", "versions")  # fields of a summary that are no cell
_summary = msgspec.json.Decoder(Summary)
_network = msgspec.json.Decoder(_Network)
_width = msgspec.json.Decoder(_Width)


class Problem(Exception):
    """Why a folder cannot be read; the text is made for the table."""


def read_run(path: str | Path) -> tuple[Row, Row]:
    """(what is known of a run, its flattened config); `status` and `reason` say what is wrong."""
    folder = RunFolder(path)
    try:
        if (content := _content(folder.summary)) is None:
            return _unfinished(folder)
        summary = _decoded(_summary, content, folder.summary)
        config = {name: _plain(value) for name, value in summary.config.items()}
        row = {name: getattr(summary, name) for name in Summary.__struct_fields__ if name not in _NESTED}
        row["status"] = str(summary.status)
        row |= _forms(config)
        row["width"] = _solved_width(folder, config.get("model.width"))
        return row, config
    except Problem as problem:
        return {"status": UNREADABLE, "reason": str(problem)}, {}


def read_curve(path: str | Path) -> list[dict[str, float | None]]:
    """The rows of metrics.csv, empty cells as None. Raises Problem for a table that is none."""
    folder = RunFolder(path)
    if (content := _content(folder.metrics)) is None:
        return []
    try:
        table = list(csv.DictReader(content.decode().splitlines(), strict=True))
        rows = [{name: float(cell) if cell else None for name, cell in row.items()} for row in table]
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise Problem(f"metrics.csv is damaged ({error})") from None
    if rows and "epoch" not in rows[0]:
        raise Problem("metrics.csv is not ours (it has no column epoch)")
    return rows


def _unfinished(folder: RunFolder) -> tuple[Row, Row]:
    """A run without summary.json: what its other files say."""
    row: Row = {"status": RUNNING}
    config: Row = {}
    if (content := _content(folder.architecture)) is not None:
        network = _decoded(_network, content, folder.architecture)
        totals = ("params", "macs", "receptive_field", "receptive_field_with_pooling")
        row |= {name: getattr(network, name) for name in totals}
        config = dict(_flat(network.spec, "model."))
        row |= _forms(config)
        row["width"] = config.get("model.width")
    last = deque(read_curve(folder.path), maxlen=1)
    if last:
        row["epochs_done"] = int(last[0]["epoch"] or 0)
        row |= {name: last[0].get(name) for name in ("train_accuracy", "val_accuracy", "val_loss")}
    row["reason"] = f"no summary.json: still running, or killed after epoch {row.get('epochs_done', 0)}"
    return row, config


def _content(path: Path) -> bytes | None:
    """A file's bytes; None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Problem(f"{path.name} cannot be read ({error.strerror})") from None


def _decoded(decoder: "msgspec.json.Decoder[Any]", content: bytes, path: Path) -> Any:
    try:
        return decoder.decode(content)
    except msgspec.ValidationError as error:
        raise Problem(f"{path.name} is not ours ({error})") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(f"{path.name} is damaged ({error})") from None


def _solved_width(folder: RunFolder, asked: Any) -> int | None:
    """Channels of C1; where the config says auto, those that were found."""
    if asked != "auto":
        return asked if isinstance(asked, int) else None
    content = _content(folder.architecture)
    return None if content is None else _decoded(_width, content, folder.architecture).spec.width


def _forms(config: Row) -> Row:
    """The network in the words of the command line: c2=plain_residual, t1=strided, downsample=strided."""
    forms: Row = {}
    for stage in STAGES:
        if kind := config.get(f"model.{stage}.kind"):
            forms[stage] = f"{kind}_residual" if config.get(f"model.{stage}.residual") else str(kind)
    kinds = [config.get(f"model.{name}.kind") for name in TRANSITIONS]
    forms |= {name: kind for name, kind in zip(TRANSITIONS, kinds, strict=True) if kind}
    if None not in kinds:
        forms["downsample"] = kinds[0] if len(set(kinds)) == 1 else "mixed"
    return forms


def _flat(data: Row, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _plain(value)


def _plain(value: Any) -> Any:
    """A scalar; lists as the command line writes them, [1,2,2,1]."""
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return value
