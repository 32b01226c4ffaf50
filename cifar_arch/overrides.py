"""Overrides as they are typed: their full keys, their values, and what conf/ has under them. No torch."""

import contextlib
import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.default_element import GroupDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Transformer
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from cifar_arch.outputs import from_home
from cifar_arch.provenance import flatten
from cifar_arch.shown_commands import for_hydra

_PACKAGE = Path(__file__).parent
CONF = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if path.is_dir())


@functools.cache
def aliases() -> dict[str, str]:
    """Full keys by their aliases: model.width by width."""
    return dict(OmegaConf.load(CONF / "config.yaml").hydra.aliases)


@functools.cache
def default_groups() -> set[str]:
    """The groups of which config.yaml chooses an option by default."""
    entries = OmegaConf.load(CONF / "config.yaml").defaults
    return {str(group) for entry in entries if isinstance(entry, DictConfig) for group in entry}


def expanded(override: str) -> str:
    """The override with its full key: model.width=8 for width=8."""
    match = re.fullmatch(r"(\+\+|\+|~)?([^=]*)(.*)", override, re.DOTALL)
    assert match
    return f"{match[1] or ''}{aliases().get(match[2], match[2])}{match[3]}"


_FROM_HOME = re.compile(
    r"^(\+{0,2}(?:data\.root|outputs|training\.resume|hydra\.run\.dir)=)([\"']?)(~(?:/[^\"'\\,]*)?)\2$"
)


def at_home(typed: Iterable[str]) -> list[str]:
    """The overrides with the user's home in folders that begin with ~, quoted or not.

    Before anything reads them, for Hydra's grammar has no ~ in values, and whatever is built upon
    `outputs` would have it.
    """
    return [_FROM_HOME.sub(lambda found: found[1] + for_hydra(from_home(found[3])), text) for text in typed]


def short(key: str) -> str:
    """The key as one types it: width for model.width."""
    return {full: alias for alias, full in aliases().items()}.get(key, key)


class GlobalFile(NamedTuple):
    """An option that fills no package of its own, such as `+experiment=mine`: what it sets and chooses."""

    keys: frozenset[str] = frozenset()  # in full
    choices: Mapping[str, str] = {}  # options by group, block@model.c1 say


def option_file(group: str, option: str) -> Any:
    """The file of an option as Hydra reads it; None where there is none, or outside of Hydra."""
    if not GlobalHydra().is_initialized():
        return None
    repository = GlobalHydra.instance().config_loader().repository  # type: ignore[attr-defined]
    return repository.load_config(f"{group}/{option}")


def global_file(group: str, option: str) -> GlobalFile:
    """What an option sets and chooses; nothing for one with a package of its own, or outside of Hydra."""
    file = option_file(group, option)
    if file is None or file.header.get("package") != "_global_":
        return GlobalFile()
    values: Any = OmegaConf.to_container(file.config)
    keys = frozenset(key for key, _ in flatten(values))
    chosen = (entry for entry in file.defaults_list if isinstance(entry, GroupDefault))
    choices = {f"{e.group}@{e.package or ''}".strip("/@"): str(e.value) for e in chosen}
    return GlobalFile(keys, choices)


def config_folders() -> list[Path]:
    """Where Hydra, which is at work, looks for configs, in this order."""
    sources = GlobalHydra.instance().config_loader().get_sources()
    return [Path(source.path) for source in sources if source.scheme() == "file"]


def read_override(text: str) -> Override:
    """The override as Hydra reads it, its key in full. Raises HydraException where Hydra cannot."""
    loader = GlobalHydra.instance().config_loader() if GlobalHydra().is_initialized() else None
    return OverridesParser.create(loader).parse_overrides([expanded(text)])[0]


def bare(key: str) -> str:
    """The key without + or ~."""
    return key.lstrip("+~")


def typed_key(override: str) -> str:
    """The key of an override as it was typed, without + or ~."""
    return bare(override.partition("=")[0])


@functools.cache
def config_groups() -> set[str]:
    """The names of the groups of our conf."""
    return {str(path.parent.relative_to(CONF)) for path in CONF.rglob("*.yaml")} - {"."}


def read_all(typed: Iterable[str]) -> Iterator[tuple[str, Override]]:
    """(text, override) of those that Hydra can read."""
    for text in typed:
        with contextlib.suppress(HydraException, RecursionError):
            yield text, read_override(text)


def first_values(override: Override) -> list[Any]:
    """The value that an override gives; of a sweep the first hundred, of an interval its start."""
    value: Any = override.value()
    if override.is_interval_sweep():
        return [value.start]
    if override.is_sweep_override():
        with contextlib.suppress(HydraException, ValueError, ArithmeticError):  # range(1,9,0) has none
            return [getattr(each, "text", each) for each in itertools.islice(override.sweep_iterator(), 100)]
        return []
    return value if isinstance(value, list) else [value]


def singled(text: str, count: int | None = 1) -> list[str]:
    """The override for the first `count` of its values alone."""
    override = read_override(text)
    if not override.is_sweep_override():
        return [text]
    texts = [Transformer.str(value) for value in first_values(override)[:count]]
    return [f"{override.get_key_element()}={text}" for text in texts]
