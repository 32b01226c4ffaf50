"""load_runs, load_curves: a folder of runs -> typed pandas tables."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cifar_arch.report import cache
from cifar_arch.report.folders import Stamp, find, natural, require_folder, stamp
from cifar_arch.report.reading import STAGES, TRANSITIONS, UNREADABLE, Problem, Row, read_curve, read_run

TEXT, WHOLE, NUMBER, YES_NO = "str", "Int64", "float64", "boolean"

# Every column that a table of runs always has; those of the config follow under their full keys.
COLUMNS: dict[str, str] = {
    "folder": TEXT,
    "source": TEXT,  # runs, sweeps or confirm: the folder below outputs that it lies in
    "study": TEXT,
    "trial": WHOLE,
    "status": TEXT,  # completed, pruned, rejected, failed, running, unreadable
    "reason": TEXT,
    "accuracy": NUMBER,  # 0 to 1: of the validation images, or else of the test images
    "accuracy_of": TEXT,  # validation or test
    "val_accuracy": NUMBER,
    "test_accuracy": NUMBER,
    "reaches_target": YES_NO,
    "target_accuracy": NUMBER,
    "params": WHOLE,  # trainable numbers
    "macs": WHOLE,  # multiply-adds
    "receptive_field": WHOLE,  # pixels
    "receptive_field_with_pooling": WHOLE,
    "width": WHOLE,  # channels of C1; with model.width=auto those that were found
    **dict.fromkeys((*STAGES, *TRANSITIONS, "downsample"), TEXT),
    "epochs": WHOLE,
    "epochs_done": WHOLE,
    "seconds": NUMBER,
    "images_per_second": NUMBER,
    "device": TEXT,
    "seed": WHOLE,
    "data": TEXT,
    "train_accuracy": NUMBER,
    "val_loss": NUMBER,  # nats
    "test_loss": NUMBER,
    "architecture": TEXT,  # equal for equal layers
    "error": TEXT,
    "note": TEXT,
    "git_commit": TEXT,
}
CURVES = ("epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds")
EXTRAS = {"images_per_second": NUMBER}


def load_runs(outputs: str | Path = "outputs", *, use_cache: bool = True) -> pd.DataFrame:
    """One row for each run below `outputs`, finished or not; columns as in COLUMNS, then the config.

    Folders that hold no run, or a damaged one, have the status `unreadable` and a reason. The frame's
    `attrs["config"]` lists the columns of the config. Raises ConfigError where `outputs` is no folder
    that can be read.
    """
    root = Path(outputs)
    require_folder(root)
    saved = cache.load(root) if use_cache else None
    old, stamps = saved or (_table(root, []), [])
    known = {
        folder: (stamp, place)
        for place, (folder, stamp) in enumerate(zip(old["folder"].tolist(), stamps, strict=True))
    }
    kept: list[int] = []
    news: list[_Read] = []
    for folder, problem in find(str(root), known):
        found = None if problem else stamp(str(root), folder)
        if found and folder in known and known[folder][0] == found:
            kept.append(known[folder][1])
        else:
            row, config = (
                ({"status": UNREADABLE, "reason": problem}, {}) if problem else read_run(root / folder)
            )
            news.append(_Read(folder, found, row, config))
    frame = _joined(old, kept, _table(root, news))
    if frame is None:  # a column of the config has become one of another type
        return load_runs(root, use_cache=False)
    if use_cache and (len(kept) < len(old) or any(read.stamp for read in news)):
        lasting = [*(stamps[place] for place in kept), *(read.stamp for read in news)]
        rows = [place for place, stamp in enumerate(lasting) if stamp]
        cache.save(root, _part(frame, rows), [stamp for stamp in lasting if stamp])
    folders = frame["folder"].tolist()
    order = sorted(range(len(folders)), key=lambda place: natural(folders[place]))
    frame = _part(frame, order)
    prefix = "" if str(root) == "." else f"{root}/"
    frame["folder"] = pd.array([prefix + folders[place] for place in order], dtype=TEXT)
    return frame


class _Read(NamedTuple):
    folder: str  # below the root
    stamp: Stamp | None  # None: not finished, to be read again
    row: Row
    config: Row


def _table(root: Path, reads: list[_Read]) -> pd.DataFrame:
    """The typed table of what was read."""
    place = root.resolve().as_posix()
    rows = [_row(place, read) for read in reads]
    columns = {name: pd.array([row.get(name) for row in rows], dtype=kind) for name, kind in COLUMNS.items()}
    names = dict.fromkeys(tuple(read.config) for read in reads)
    config = [key for key in dict.fromkeys(key for keys in names for key in keys) if key not in COLUMNS]
    columns |= {key: _typed([read.config.get(key) for read in reads]) for key in config}
    frame = pd.DataFrame(columns)
    frame.attrs["config"] = config
    return frame


def _joined(old: pd.DataFrame, kept: list[int], new: pd.DataFrame) -> pd.DataFrame | None:
    """Kept rows and new ones; None where their columns have not the same types."""
    if not len(new):
        return _part(old, kept)
    if not kept:
        return new
    common = set(old.attrs["config"]) & set(new.attrs["config"])
    if any(old[key].dtype != new[key].dtype for key in common):
        return None
    config = list(dict.fromkeys([*old.attrs["config"], *new.attrs["config"]]))
    kinds = {key: (old if key in old else new)[key].dtype for key in config}
    parts = [
        part.reindex(columns=[*COLUMNS, *config]).astype({key: kinds[key] for key in config})
        for part in (_part(old, kept), new)
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs["config"] = config
    return frame


def _part(frame: pd.DataFrame, rows: list[int]) -> pd.DataFrame:
    """The rows at these places, with a fresh index."""
    part = frame if rows == list(range(len(frame))) else frame.take(rows).reset_index(drop=True)
    part.attrs["config"] = frame.attrs["config"]
    return part


def load_curves(outputs: "str | Path | pd.DataFrame" = "outputs") -> pd.DataFrame:
    """One row for each epoch of each run: folder, epoch, lr, losses, accuracies, seconds.

    Takes a folder or a table of runs. What could not be read is in `attrs["unreadable"]`, reason by folder.
    """
    runs = outputs if isinstance(outputs, pd.DataFrame) else load_runs(outputs)
    folders: list[str] = []
    rows: list[dict[str, Any]] = []
    unreadable: dict[str, str] = {}
    for folder in runs["folder"]:
        try:
            found = read_curve(folder)
        except Problem as problem:
            unreadable[folder] = str(problem)
            continue
        rows += found
        folders += [folder] * len(found)
    columns: dict[str, Any] = {"folder": pd.array(folders, dtype=TEXT)}
    for name in (*CURVES, *EXTRAS):
        kind = WHOLE if name == "epoch" else NUMBER
        columns[name] = pd.array([row.get(name) for row in rows], dtype=kind)
    frame = pd.DataFrame(columns)
    frame.attrs["unreadable"] = unreadable
    return frame


def _row(root: str, read: _Read) -> Row:
    """A row of the table: what was read, where it lies, and which accuracy is shown."""
    row, config = read.row, read.config
    inside = re.match(r"(?:.*/)?(runs|sweeps|confirm)/([^/]+)(?:/([^/]+))?", f"{root}/{read.folder}")
    source, name, trial = inside.groups() if inside else (None, None, None)
    validation, test = row.get("val_accuracy"), row.get("test_accuracy")
    accuracy = test if validation is None else validation
    return {
        **row,
        "folder": read.folder,
        "source": source,
        "study": config.get("study") or (name if source in ("sweeps", "confirm") else None),
        "trial": _number(config.get("trial.number", trial if source == "sweeps" else None)),
        "accuracy": accuracy,
        "accuracy_of": None if accuracy is None else "test" if validation is None else "validation",
    }


def _number(value: Any) -> int | None:
    return int(value) if str(value).isdigit() else None


def _typed(values: list[Any]) -> Any:
    """A column of the narrowest type that holds all values, text where they differ in kind."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool} and kinds:
        return pd.array(values, dtype=YES_NO)
    if kinds <= {int} and kinds and all(abs(v) < 2**63 for v in values if v is not None):
        return pd.array(values, dtype=WHOLE)
    if kinds <= {int, float} and kinds:
        return pd.array([None if v is None else float(v) for v in values], dtype=NUMBER)
    return pd.array([None if v is None else str(v) for v in values], dtype=TEXT)
