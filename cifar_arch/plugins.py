"""Python files with blocks of a user's own -> entries of BLOCKS and DOWNSAMPLERS.

Only what the user names is imported: nothing that a study or a run folder names ever is.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from msgspec import inspect

from cifar_arch.blocks import BLOCKS, Block
from cifar_arch.downsample import DOWNSAMPLERS, Downsampler
from cifar_arch.outputs import from_home
from cifar_arch.schema import FILES_OF_BLOCKS, ConfigError, UnknownKind
from cifar_arch.shown_commands import plugin_override

log = logging.getLogger(__name__)

_TABLES: tuple[dict[str, Any], ...] = (BLOCKS, DOWNSAMPLERS)
_imported: set[Path] = set()


def add_plugin_option(parser: argparse.ArgumentParser) -> None:
    """`--plugin FILE` of the commands that read a folder or a study; its files are `plugin`."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        type=from_home,
        metavar="FILE",
        help="a Python file with blocks of your own",
    )


@contextlib.contextmanager
def own_blocks(files: Sequence[str]) -> Iterator[None]:
    """Within it the blocks of `--plugin` files are known; the error for another asks for that option."""
    load_plugins(files)
    try:
        yield
    except UnknownKind as error:
        raise ConfigError(str(error).replace(FILES_OF_BLOCKS, "--plugin FILE.py")) from error


def refuse_plugin_option(words: Sequence[str]) -> None:
    """Raises ConfigError where the words of `run` or `check` name files as the other commands take them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_plugin_option(parser)
    if files := parser.parse_known_args(words)[0].plugin:
        raise ConfigError(
            f"--plugin: is an option of the commands that read a run or a study, got {', '.join(files)}; "
            f"type {quote(plugin_override(files)[0])}"
        )


def plugin_paths(files: Sequence[str], runtime: Any) -> list[str]:
    """The files as they are found where the command was typed; `runtime` is that node of `hydra`."""
    places, files = _places(runtime), [from_home(file) for file in files]
    found = [next((p for p in places if (p / file).is_file()), places[0]) for file in files]
    return [
        file if place == places[0] else str(place / file) for file, place in zip(files, found, strict=True)
    ]


def load_plugins_of(config: Any, hydra: Any = None) -> None:
    """Imports the plugin files named in a composed config.

    They are looked for where the command was typed and beside the configs. `hydra`: its node of that name,
    where it is not part of it. Raises as `load_plugins`.
    """
    files = config.get("plugins", [])
    named = list(files) if isinstance(files, Sequence) and not isinstance(files, str) else files
    load_plugins(named, _places((hydra or config.hydra).runtime))


def _places(runtime: Any) -> list[Path]:
    """Where the command was typed, and the folders of configs."""
    folders = [source["path"] for source in runtime["config_sources"] if source["schema"] == "file"]
    return [Path(folder) for folder in (runtime["cwd"], *folders)]


def load_plugins(files: Any, folders: Iterable[str | Path] = (".",)) -> None:
    """Imports each of `files` once; a relative one is looked for in `folders`, in turn.

    Raises ConfigError for what is no file, cannot be imported, or enters nothing usable in a table.
    """
    if not isinstance(files, list | tuple) or not all(isinstance(file, str) for file in files):
        raise ConfigError(
            f"plugins: expected a list of Python files, got {'null' if files is None else repr(files)}; "
            "type 'plugins=[FILE.py]'"
        )
    places = [Path(folder) for folder in folders]
    for file in map(from_home, files):
        found = next((place / file for place in places if (place / file).is_file()), None)
        if found is None:
            looked = ", ".join(str(place) for place in places)
            raise ConfigError(f"plugins: no file {file!r} in {looked}; name one with a block of yours")
        if found.resolve() not in _imported:
            _import(found.resolve(), file)
            _imported.add(found.resolve())


def _import(path: Path, typed: str) -> None:
    before = [dict(table) for table in _TABLES]
    name = f"{path.stem}_{hashlib.sha256(bytes(path)).hexdigest()[:6]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"plugins: {typed!r} is no Python file; its name ends in .py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)  # where fields look up their types
    try:
        spec.loader.exec_module(module)
        _require_entries(before, typed)
    except (Exception, SystemExit) as error:
        for table, entries in zip(_TABLES, before, strict=True):
            table.clear()
            table.update(entries)
        if isinstance(error, ConfigError):
            raise
        log.debug(f"{typed} cannot be imported", exc_info=True)
        raise ConfigError(
            f"plugins: {typed!r} cannot be imported ({type(error).__name__}: {error})"
        ) from error


def _require_entries(before: list[dict[str, Any]], typed: str) -> None:
    """Raises ConfigError unless the tables have got new entries, and lost none."""
    added = 0
    names, bases = ("BLOCKS", "DOWNSAMPLERS"), ((Block,), (Downsampler, Block))
    for table, entries, name, base in zip(_TABLES, before, names, bases, strict=True):
        if lost := [kind for kind in entries if table.get(kind) is not entries[kind]]:
            raise ConfigError(f"plugins: {typed!r} replaces the kind {lost[0]!r}; give yours another name")
        for kind in table.keys() - entries.keys():
            entry, added = table[kind], added + 1
            _require_entry(f"plugins: {typed!r}: {name}[{kind!r}]", name, kind, entry, base)
    if not added:
        raise ConfigError(f"plugins: {typed!r} adds no block; end it with BLOCKS['name'] = Name")


def _require_entry(where: str, table: str, kind: Any, entry: Any, bases: tuple[type, ...]) -> None:
    """Raises ConfigError for an entry that no config could choose by its kind."""
    if not (isinstance(entry, type) and issubclass(entry, bases)):
        allowed = " or ".join(base.__name__ for base in bases)
        got = entry.__name__ if isinstance(entry, type) else repr(entry)
        raise ConfigError(f"{where}: expected a class that inherits from {allowed}, got {got}; name one")
    tag: Any = entry.__struct_config__.tag  # type: ignore[attr-defined]
    if tag != kind:
        raise ConfigError(
            f"{where}: the key has to be the name of the class {entry.__name__} in lower case; "
            f"type {table}[{tag!r}] = {entry.__name__}"
        )
    inspect.type_info(entry)  # raises for types of fields that are unknown, or that no config could hold
