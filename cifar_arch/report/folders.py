"""Where the runs of a folder are, and when each was finished."""

import os
import re
from collections.abc import Container, Iterator
from pathlib import Path

from cifar_arch.outputs import ARTIFACTS, EXPERIMENT, LOCKS, REJECTED, WORKERS
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError

_RUN = RunFolder("")
_MADE = (_RUN.summary, _RUN.architecture, _RUN.metrics, _RUN.log, _RUN.config, _RUN.checkpoint)
MARKS = {path.parts[0] for path in _MADE}
OURS = {"report", ARTIFACTS, EXPERIMENT, WORKERS}  # beside runs; also names that a study may have
SWEEP = OURS | {REJECTED, LOCKS}  # what the folder of a sweep may hold, also before its first run

NO_TEXT = re.compile("[\ud800-\udfff]")  # as Python spells what it cannot decode in the name of a file

Stamp = tuple[int, int]  # of summary.json: time in ns and size


def require_folder(root: Path) -> None:
    """Raises ConfigError for what is no folder that can be read."""
    if not root.is_dir():
        what = "is no folder" if root.exists() else "does not exist"
        raise ConfigError(f"outputs: {str(root)!r} {what}; name the folder that holds your runs")
    if NO_TEXT.search(str(root.resolve())):
        raise ConfigError(f"outputs: the name of {str(root)!r} is not UTF-8; rename it, or what it lies in")
    try:
        next(root.iterdir(), None)
    except OSError as error:
        raise ConfigError(f"outputs: the folder {str(root)!r} cannot be read ({error.strerror})") from error


def find(root: str, known: Container[str]) -> Iterator[tuple[str, str | None]]:
    """(path below root, what is wrong with it) of every run, and of every folder that ends in none.

    Folders that are `known` to be runs are not looked into. Linked folders are followed, each place once.
    """
    links: list[str] = []
    yield from _below(root, known, "", links)
    places = [Path(root).resolve()]
    while links:
        batch = sorted((Path(root, link).resolve(), link) for link in links)  # the outer places first
        links.clear()
        for real, link in batch:
            if any(real.is_relative_to(place) or place.is_relative_to(real) for place in places):
                continue  # seen already, or a link to what it lies in
            places.append(real)
            if link in known:
                yield link, None
            else:
                yield from _below(root, known, link, links)


def _below(
    root: str, known: Container[str], folder: str, links: list[str]
) -> Iterator[tuple[str, str | None]]:
    """What `find` yields for a folder, but for the linked ones, which are added to `links`."""
    try:
        with os.scandir(os.path.join(root, folder)) as entries:
            inside = list(entries)
            names = {entry.name: entry.is_dir() for entry in inside}
            linked = {entry.name for entry in inside if entry.is_symlink()}
    except OSError as error:
        yield folder, f"the folder cannot be read ({error.strerror})"
        return
    if MARKS & names.keys():
        yield folder or ".", None
        return
    drawn = "figures" if "report.html" in names else None  # of a report, whatever its folder is called
    below = [n for n, is_folder in names.items() if is_folder and not n.startswith(".") and n != drawn]
    configs = names and all(name.endswith(".yaml") for name in names)  # options of a user's own
    if not (below or configs or drawn or SWEEP & names.keys() or OURS & set(folder.split("/"))) and folder:
        yield folder, "no run: it holds none of " + ", ".join(sorted(MARKS - {_RUN.config.parts[0]}))
    for name in below:
        path = f"{folder}/{name}" if folder else name
        if NO_TEXT.search(name):
            yield path.encode(errors="backslashreplace").decode(), "its name is not UTF-8; rename it"
        elif name in linked:
            links.append(path)
        elif path in known:
            yield path, None
        else:
            yield from _below(root, known, path, links)


def stamp(root: str, folder: str) -> Stamp | None:
    """When summary.json was written and how long it is; None where there is none yet."""
    try:
        status = os.stat(f"{root}/{folder}/{_RUN.summary}")
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def natural(folder: str) -> list[tuple[int, str]]:
    """A key to sort by, so that trial 10 comes after trial 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in folder.split("/")]
