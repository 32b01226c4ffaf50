"""One run folder -> one row of plain values, whatever state the folder is in."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from cifar_arch.identity import recorded_config
from cifar_arch.provenance import flatten
from cifar_arch.record import Epoch, Summary
from cifar_arch.report.settings import usual_fields
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError
from cifar_arch.spec import KINDS, STAGES, TRANSITIONS

RUNNING, CONTINUED, UNREADABLE = "running", "continued", "unreadable"  # beside those of `Status`
# The plain fields of a summary; `config` becomes columns of its own.
FIELDS = [name for name in Summary.__struct_fields__ if name not in ("config", "versions", "split")]

Row = dict[str, Any]


class _Network(msgspec.Struct):
    """What is read of architecture.json."""

    spec: dict[str, Any]
    params: int
    macs: int
    receptive_field: int
    receptive_field_with_pooling: int


class _Spec(msgspec.Struct):
    width: int | None = None


class _Width(msgspec.Struct):
    spec: _Spec


class _Asked(msgspec.Struct):
    """What a row has of experiment.json."""

    seed: int | None
    data: str | None
    epochs: int | None


_network = msgspec.json.Decoder(_Network)
_width = msgspec.json.Decoder(_Width)


class Problem(Exception):
    """Why a folder cannot be read; the text is made for the table."""


def read_run(path: str | Path) -> tuple[Row, Row]:
    """(what is known of a run, its flattened config); its `status` and `reason` say what is wrong."""
    folder = RunFolder(path)
    try:
        with _problems(folder.summary):
            summary = folder.read_summary()
        row, config = _finished(folder, summary) if summary else _unfinished(folder)
        if long := [name for name, value in (row | config).items() if _is_too_long(value)]:
            file = folder.summary.name if summary else "one of its files"
            raise Problem(f"{file} is not ours ({long[0]} has more than 64 bits)")
        return row, config
    except Problem as problem:
        return {"status": UNREADABLE, "reason": str(problem)}, {}


def read_curve(path: str | Path) -> list[Epoch]:
    """The rows of metrics.csv, none where there is no such file. Raises Problem for one that is not ours."""
    folder = RunFolder(path)
    with _problems(folder.metrics):
        return folder.read_metrics()


def _finished(folder: RunFolder, summary: Summary) -> tuple[Row, Row]:
    config = _with_block_fields({name: _plain(value) for name, value in summary.config.items()})
    row = {name: getattr(summary, name) for name in FIELDS}
    row["status"] = str(summary.status)
    row |= _forms(config)
    row["width"] = _solved_width(folder, config.get("model.width"))
    return row, config


def _is_too_long(value: Any) -> bool:
    """Whether it is an integer that no column of the table holds."""
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def _unfinished(folder: RunFolder) -> tuple[Row, Row]:
    """A run without summary.json: what its other files say."""
    row: Row = {"status": RUNNING}
    with _problems(folder.experiment):
        config = {name: _plain(value) for name, value in flatten(recorded_config(folder) or {})}
        names = {"seed": "seed", "data": "data.name", "epochs": "training.epochs"}
        row |= msgspec.structs.asdict(msgspec.convert({k: config.get(v) for k, v in names.items()}, _Asked))
    if network := _architecture(folder, _network):
        row |= msgspec.structs.asdict(network)
        spec = {name: _plain(value) for name, value in flatten(row.pop("spec"), "model.")}
        row["width"] = _solved_width(folder, "auto")  # of the network, whatever was asked for
        config = _with_block_fields(spec | config)
        row |= _forms(config)
    if curve := read_curve(folder.path):
        last = curve[-1]
        row["epochs_done"] = last.epoch
        row |= {name: getattr(last, name) for name in ("train_accuracy", "val_accuracy", "val_loss")}
    row["reason"] = f"no summary.json: still running, or killed after epoch {row.get('epochs_done', 0)}"
    return row, config


def _architecture(folder: RunFolder, decoder: "msgspec.json.Decoder[Any]") -> Any:
    """What `decoder` reads of architecture.json; None where there is none."""
    with _problems(folder.architecture):
        try:
            return decoder.decode(folder.architecture.read_bytes())
        except FileNotFoundError:
            return None


@contextlib.contextmanager
def _problems(path: Path) -> Iterator[None]:
    """Turns whatever is wrong with a file into a Problem."""
    try:
        yield
    except OSError as error:
        raise Problem(f"{path.name} cannot be read ({error.strerror})") from None
    except (ConfigError, msgspec.DecodeError, UnicodeDecodeError) as error:
        # A ConfigError of `RunFolder` advises to remove the file, which a report must not.
        cause = error.__cause__ if isinstance(error, ConfigError) else error
        kind = "not ours" if isinstance(cause, msgspec.ValidationError) else "damaged"
        raise Problem(f"{path.name} is {kind} ({cause})") from None


def _solved_width(folder: RunFolder, asked: Any) -> int | None:
    """Channels of C1; where the config says auto, those that were found."""
    if asked != "auto":
        return asked if isinstance(asked, int) else None
    network = _architecture(folder, _width)
    return network.spec.width if network else None


def _forms(config: Row) -> Row:
    """The network in the words of the command line: c2=plain_residual, t1=strided, downsample=strided."""
    forms: Row = {}
    for stage in STAGES:
        if kind := config.get(f"model.{stage}.kind"):
            forms[stage] = f"{kind}_residual" if config.get(f"model.{stage}.residual") else str(kind)
    kinds = []
    for transition in TRANSITIONS:
        kind = config.get(f"model.{transition}.kind")
        kinds.append(f"{kind}_separable" if kind and config.get(f"model.{transition}.separable") else kind)
    forms |= {name: kind for name, kind in zip(TRANSITIONS, kinds, strict=True) if kind}
    if None not in kinds:
        forms["downsample"] = kinds[0] if len(set(kinds)) == 1 else "mixed"
    return forms


def _with_block_fields(config: Row) -> Row:
    """With every field of the blocks that are known: one that the record does not name is as usual."""
    whole = dict(config)
    for place in (*STAGES, *TRANSITIONS):
        variant = KINDS[place].get(config.get(f"model.{place}.kind", ""))
        for field, usual in (usual_fields(variant) if variant else {}).items():
            whole.setdefault(f"model.{place}.{field}", _plain(usual))
    return whole


def _plain(value: Any) -> Any:
    """A scalar; lists as the command line writes them, [1,2,2,1]."""
    return msgspec.json.encode(_whole(value)).decode() if isinstance(value, list | dict) else value


def _whole(value: Any) -> Any:
    """The same value, with 1 for 1.0: one is how a config writes it, the other how a network does."""
    match value:
        case list():
            return [_whole(item) for item in value]
        case dict():
            return {name: _whole(item) for name, item in value.items()}
        case float() if value.is_integer():
            return int(value)
    return value
