"""load_runs: a folder of runs -> a typed pandas table."""

import contextlib
import functools
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from cifar_arch.config import Experiment
from cifar_arch.identity import recorded_config
from cifar_arch.outputs import CONFIRMATIONS, RUNS, SWEEPS, typed_path
from cifar_arch.provenance import flatten
from cifar_arch.record import Status, decides_result
from cifar_arch.report import cache
from cifar_arch.report.columns import COLUMNS, NUMBER, TEXT, WHOLE, YES_NO
from cifar_arch.report.folders import find, natural, require_folder, stamp
from cifar_arch.report.front import on_front
from cifar_arch.report.reading import CONTINUED, RUNNING, UNREADABLE, Row, read_run
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError


def load_runs(outputs: str | Path = "outputs", *, use_cache: bool = True) -> pd.DataFrame:
    """One row for each run below `outputs`, finished or not; columns as in COLUMNS, then the config.

    Folders that hold no run, or a damaged one, have the status `unreadable` and a reason.
    Raises ConfigError where `outputs` is no folder that can be read.
    """
    root = typed_path(outputs)
    require_folder(root)
    saved, rows = cache.load(root) if use_cache else ({}, cache.Rows())
    found = dict(sorted(find(str(root), saved), key=lambda entry: natural(entry[0])))
    stamps = {folder: None if problem else stamp(str(root), folder) for folder, problem in found.items()}
    # A run without a stamp is not finished, and read again each time.
    news = [folder for folder, mark in stamps.items() if mark is None or saved.get(folder) != mark]
    resolved = root.resolve().as_posix()
    rows = rows.extended([_row(root, resolved, folder, found[folder]) for folder in news])
    row_of = {folder: number for number, folder in enumerate(saved)}
    row_of |= {folder: len(saved) + number for number, folder in enumerate(news)}
    if use_cache and (lasting := {folder: mark for folder, mark in stamps.items() if mark}) != saved:
        cache.save(root, lasting, rows.take([row_of[folder] for folder in lasting]))
    frame = _frame(
        [(root / folder).as_posix() for folder in found], rows.take([row_of[folder] for folder in found])
    )
    frame = _continued(frame)
    return frame.assign(front=on_front(frame))


def _row(root: Path, place: str, folder: str, problem: str | None) -> Row:
    """What was read of a run, where it lies, and which accuracy is shown; `place` is the resolved root."""
    row, config = ({"status": UNREADABLE, "reason": problem}, {}) if problem else read_run(root / folder)
    source, name, trial = _place(f"{place}/{folder}")
    validation, test = row.get("val_accuracy"), row.get("test_accuracy")
    accuracy = test if validation is None else validation
    return {
        **row,
        "source": source,
        "study": config.get("study") or (name if source in (SWEEPS, CONFIRMATIONS) else None),
        "trial": _number(config.get("trial.number", trial if source == SWEEPS else None)),
        "accuracy": accuracy,
        "accuracy_of": None if accuracy is None else "test" if validation is None else "validation",
        **{key: value for key, value in config.items() if key not in COLUMNS},
    }


def _place(folder: str) -> tuple[str | None, str | None, str | None]:
    """The source, the study and the trial that the path of a run tells, also of a study called runs."""
    if found := re.fullmatch(rf"(?:.*/)?({SWEEPS}|{CONFIRMATIONS})/([^/]+)/([^/]+)", folder):
        return found[1], found[2], found[3]
    return (RUNS if f"/{RUNS}/" in f"/{folder}" else None), None, None


def _number(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < 19 else None  # 64 bits hold any of those


def _continued(frame: pd.DataFrame) -> pd.DataFrame:
    """The table, in which a trial that a later one of its study took over has not failed, nor still runs.

    A study trains no two equal trials: an equal one with a higher number goes on from the earlier one.
    """
    began = functools.cache(lambda folder: _decisive(RunFolder(folder)))
    interrupted = (frame["status"] == Status.FAILED) & frame["cause"].notna()
    # Of trials, in a sweep and in `confirm`.
    numbers = frame["folder"].map(lambda folder: _number(folder.rpartition("/")[2]))
    searched = frame["source"].isin((SWEEPS, CONFIRMATIONS)) & numbers.notna()
    stopped = searched & (interrupted | (frame["status"] == RUNNING))
    for place, source, study, folder in frame.loc[stopped, ["source", "study", "folder"]].itertuples():
        same = searched & (frame["source"] == source) & (frame["study"] == study)
        later = same & (numbers > numbers[place])
        for other, number in zip(frame.loc[later, "folder"], numbers[later], strict=True):
            if began(folder) and began(folder) == began(other):
                frame.loc[place, ["status", "reason"]] = [CONTINUED, f"trial {number:.0f} went on from it"]
                break
    return frame


def _decisive(folder: RunFolder) -> Row | None:
    """What decides a run's result, of the config that it began with; None where that cannot be read."""
    with contextlib.suppress(ConfigError, OSError):
        config = recorded_config(folder) or _launched_with(folder)
        return {key: value for key, value in config.items() if decides_result(key)}
    return None


def _launched_with(folder: RunFolder) -> Row:
    """The flattened config of a run that was killed before it put one on record, as it would have."""
    from cifar_arch.saved_config import saved_config  # loads Hydra

    experiment = Experiment.from_dict(saved_config(folder))
    return dict(flatten(msgspec.json.decode(msgspec.json.encode(experiment))))


def _frame(folders: list[str], rows: cache.Rows) -> pd.DataFrame:
    """The typed DataFrame of these rows."""
    missing = cache.Column([None], np.full(rows.count, -1))
    columns = {"folder": pd.array(folders, dtype=TEXT)}
    for name in dict.fromkeys([*COLUMNS, *rows.columns]):
        if name != "folder":
            column = rows.columns.get(name, missing)
            known = COLUMNS.get(name)
            values = pd.array(column.values, dtype=known.kind) if known else _narrowest(column.values)
            columns[name] = values.take(column.codes, allow_fill=True)
    return pd.DataFrame(columns)


def _narrowest(values: list[Any]) -> Any:
    """The values in the narrowest type that holds them all, as text where they differ in kind."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool} and kinds:
        return pd.array(values, dtype=YES_NO)
    if kinds <= {int} and kinds:
        return pd.array(values, dtype=WHOLE)
    if kinds <= {int, float} and kinds:
        return pd.array([None if v is None else float(v) for v in values], dtype=NUMBER)
    return pd.array([None if v is None else str(v) for v in values], dtype=TEXT)
