"""Where the runs of a folder are, and when each was finished."""

import os
from collections.abc import Container, Iterator
from pathlib import Path

from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError

_RUN = RunFolder("")
MARKS = {str(p) for p in (_RUN.summary, _RUN.architecture, _RUN.metrics, _RUN.log)} | {
    ".hydra",
    "checkpoints",
}
OURS = {"report", "artifacts", "experiment"}  # folders beside runs that hold none
SWEEP = OURS | {"rejected.csv"}  # what the folder of a sweep may hold, also before its first run

Stamp = tuple[int, int]  # of summary.json: time in ns and size


def require_folder(root: Path) -> None:
    """Raises ConfigError for what is no folder that can be read."""
    if not root.is_dir():
        what = "is no folder" if root.exists() else "does not exist"
        raise ConfigError(f"outputs: {str(root)!r} {what}; name the folder that holds your runs")
    try:
        next(root.iterdir(), None)
    except OSError as error:
        raise ConfigError(f"outputs: the folder {str(root)!r} cannot be read ({error.strerror})") from error


def find(root: str, known: Container[str], folder: str = "") -> Iterator[tuple[str, str | None]]:
    """(path below root, what is wrong with it) of every run, and of every folder that ends in none.

    Folders that are `known` to be runs are not looked into.
    """
    try:
        with os.scandir(os.path.join(root, folder)) as entries:
            names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError as error:
        yield folder, f"the folder cannot be read ({error.strerror})"
        return
    if MARKS & names.keys():
        yield folder or ".", None
        return
    below = [n for n, is_folder in names.items() if is_folder and not n.startswith(".") and n not in OURS]
    if not below and folder and not SWEEP & names.keys():
        yield folder, "no run: it holds none of " + ", ".join(sorted(MARKS - {".hydra"}))
    for name in below:
        path = f"{folder}/{name}" if folder else name
        if path in known:
            yield path, None
        else:
            yield from find(root, known, path)


def stamp(root: str, folder: str) -> Stamp | None:
    """When summary.json was written and how long it is; None where there is none yet."""
    try:
        status = os.stat(f"{root}/{folder}/{_RUN.summary}")
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def natural(folder: str) -> list[tuple[int, str]]:
    """A key to sort by, so that trial 10 comes after trial 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in folder.split("/")]
