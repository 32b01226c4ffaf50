"""Hydra composition -> plain dicts, and Hydra's errors -> one sentence each. No torch."""

import contextlib
import functools
import itertools
import re
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_arch.config import Experiment
from cifar_arch.hydra_mistakes import (
    joined,
    known_mistake,
    needs_quotes,
    not_utf8,
    shown,
    unknown_key,
    unknown_option,
    wrong_ending,
)
from cifar_arch.idle_choices import refuse_idle_choices
from cifar_arch.outputs import from_home, refuse_home, require_outputs, typed_path
from cifar_arch.overrides import (
    CONF,
    aliases,
    at_home,
    bare,
    config_folders,
    config_groups,
    expanded,
    first_values,
    read_all,
    short,
    singled,
    typed_key,
)
from cifar_arch.plugins import load_plugins_of
from cifar_arch.schema import ConfigError

# Parts of Hydra's own config that take more keys than they have.
_OPEN = ("hydra.launcher.", "hydra.job.env_set.", "hydra.job_logging.", "hydra.hydra_logging.")
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException)


def compose(overrides: Iterable[str] = (), config_dir: str | None = None) -> dict[str, Any]:
    """The plain config of `overrides`; `config_dir` is searched before our own conf.

    Raises ConfigError where Hydra cannot compose it.
    """
    typed = at_home(overrides)
    with composing(config_dir), as_config_errors(typed):
        composed = hydra_compose("config", typed, return_hydra_config=True)
        load_plugins_of(composed)
        return plain(composed)


@contextlib.contextmanager
def composing(config_dir: str | None = None) -> Iterator[None]:
    """Within it `hydra.compose` finds the configs of `config_dir`, then ours.

    Where Hydra is at work already, as in a sweep, that one is asked.
    """
    if GlobalHydra().is_initialized():
        yield
        return
    folders = [folder for folder in (own_configs(config_dir), CONF) if folder]
    with initialize_config_search_path([f"file://{folder}" for folder in folders], job_name="cifar_arch"):
        yield


def own_configs(config_dir: str | None, primary: str | None = None) -> Path | None:
    """The full path of `--config-dir`. Raises ConfigError where it is no folder of configs to add.

    `primary`: the name of the config to start from, where that is not ours.
    """
    if config_dir is None:
        return None
    folder = typed_path(config_dir).absolute()
    if not folder.is_dir():
        raise ConfigError(f"--config-dir: expected a folder, got {config_dir!r}")
    if primary is None and (folder / "config.yaml").is_file():
        raise ConfigError(
            f"--config-dir: {config_dir!r} holds a config.yaml, which would replace the tool's own; "
            "move it to experiment/NAME.yaml there and type +experiment=NAME"
        )
    return folder


def plain(config: DictConfig) -> dict[str, Any]:
    """The config as plain dicts and lists, interpolations resolved.

    Raises ConfigError for a value that cannot be resolved, a choice that changes nothing, and for what cannot
    be the folder of results.
    """
    composed = "overrides" in config.get("hydra", {})  # not in one read from a file
    if composed:
        refuse_idle_choices(config)
    with as_config_errors():
        to_plain = functools.partial(OmegaConf.to_container, resolve=True, throw_on_missing=True)
        ours = {str(name): config[name] for name in config if name != "hydra"}
        made = {name: to_plain(v) if OmegaConf.is_config(v) else v for name, v in ours.items()}
    outputs: Any = made.get("outputs", "outputs")
    require_outputs(outputs)
    if composed:
        refuse_home(outputs)
    return made


def anchored(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The config with each relative path as it is meant in `folder`, where the command was typed."""
    whole = dict(config)
    if isinstance(data := config.get("data"), dict) and isinstance(data.get("root"), str):
        whole["data"] = {**data, "root": str(folder / from_home(data["root"]))}
    if isinstance(outputs := config.get("outputs"), str):
        whole["outputs"] = str(folder / outputs)
    if match := re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^/:].*)", str(config.get("storage"))):
        whole["storage"] = f"{match[1]}{folder / match[2]}"
    return whole


def options(group: str) -> list[str]:
    """The names to choose from in a group, those of `--config-dir` too."""
    with composing(), as_config_errors():
        return sorted(set(GlobalHydra.instance().config_loader().get_group_options(group)))


@contextlib.contextmanager
def as_config_errors(typed: Sequence[str] = (), config_dir: str | None = None) -> Iterator[None]:
    """Whatever Hydra or OmegaConf raises within becomes a ConfigError of one sentence.

    `typed`: the overrides as they were typed, so that the sentence can name them.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "provider=.* is not available")  # a folder of hydra.searchpath
            yield
    except Exception as error:
        composition = isinstance(error, COMPOSITION_ERRORS)
        if not composition and (isinstance(error, ConfigError | OSError) or not _raised_by_hydra(error)):
            raise
        with composing(config_dir):
            raise ConfigError(hydra_message(error, typed)) from error


def _raised_by_hydra(error: BaseException) -> bool:
    """Whether Hydra or OmegaConf raised it, or a library that they called."""
    frames = [frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)]
    packages = [str(name).partition(".")[0] for name in frames]
    known = [name for name in packages if name in ("hydra", "hydra_plugins", "omegaconf", "cifar_arch")]
    return known[-1:] not in ([], ["cifar_arch"])


def hydra_message(error: Exception, typed: Sequence[str] = ()) -> str:
    """One sentence for what Hydra or OmegaConf says in several lines."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _unknown_option(error.missing_cfg_file, error.options or (), typed)
    if mistake := _wrong_choice(typed):
        return mistake
    if mark := getattr(error, "problem_mark", None):  # of YAML
        where = f"{shown(Path(mark.name))}: line {mark.line + 1}"
        return f"{where} cannot be read as YAML ({getattr(error, 'problem', error)}); fix it"
    text = str(error)
    if "Unsupported config file extension" in text:
        groups = [*(override.key_or_group for _, override in read_all(typed)), *sorted(config_groups()), ""]
        return wrong_ending(folder / group for folder in config_folders() for group in groups)
    if isinstance(error, UnicodeDecodeError):
        return not_utf8(config_folders())
    if known := known_mistake(text):
        return re.sub(r"\w+@[\w.]+", lambda found: short(found[0]), known)
    cause = _of_omegaconf(error)
    if match := re.search(r"Could not override '([^']+)'", text):
        within = str(getattr(cause, "full_key", ""))  # the key at fault in a value that is a dict
        return _unknown_key(within if within.startswith(match[1]) else match[1], typed)
    if text.startswith("Error merging override"):
        override = text.removeprefix("Error merging override ").splitlines()[0]
        if "Unexpected type annotation: set" in str(cause):  # of a sweep, as Hydra holds it
            return needs_quotes(override)
        return f"{typed_key(override)}: {joined(str(cause))}"
    if typed and not isinstance(error, COMPOSITION_ERRORS):
        given = [t for t in typed if "=" in t and not t.startswith("-")]
        named = [t for t in given if "hydra" in t] or dict.fromkeys(given)  # a preview has some twice
        return f"{' '.join(named)}: Hydra cannot use this ({joined(text) or type(error).__name__})"
    at = re.search(r"full_key: (\S+)", text)
    return f"{at[1]}: {joined(text)}" if at else joined(text) or type(error).__name__


def _of_omegaconf(error: BaseException | None) -> OmegaConfBaseException | None:
    """OmegaConf's error at the end of the chain of causes."""
    found = None
    while error:
        found = error if isinstance(error, OmegaConfBaseException) else found
        error = error.__cause__
    return found


def _unknown_option(file: str, known: Iterable[str], typed: Sequence[str]) -> str:
    """What to type for an option that is in no folder: `file` is limits/foo for limits=foo."""
    group, _, option = file.rpartition("/")
    for text, override in read_all(typed):
        if any(f"{override.key_or_group}/{value}" == file for value in first_values(override)):
            key, group = typed_key(text), override.key_or_group
            option = file.removeprefix(f"{group}/")
            break
    else:  # a file chose it
        key, (within, _, ours) = group or "config", group.rpartition("/")
        if within and ours in config_groups():
            return f"{group}: there is no such group; write - override /{ours}: {option} in its file"
    names = ", ".join(sorted(known or options(group))) or "nothing: there is no such group"
    too_deep = [f for f in config_folders() if f.name == group and (f / f"{option}.yaml").is_file()]
    hints = [f"; or name the folder above: --config-dir {shown(f.parent)}" for f in too_deep]
    outside = [f for f in config_folders() if f != CONF and "/" not in option]
    strays = [f / f"{option}{ending}" for f in outside for ending in (".yaml", ".yml")]
    hints += [f"; or move {shown(f)} to {group}/{option}.yaml beside it" for f in strays if f.is_file()]
    return unknown_option(key, group, option, names + "".join(hints[:1]))


def _wrong_choice(typed: Sequence[str]) -> str | None:
    """The sentence for an option that is no name, such as c1=[1] or model=null."""
    for text, override in read_all(typed):
        group, values = override.key_or_group, [] if override.is_delete() else first_values(override)
        named = str if override.package else str | dict  # model={width: 8} sets fields
        if group in config_groups() and not all(isinstance(value, named) for value in values):
            key, _, value = text.partition("=")
            names = ", ".join(options(group))
            return f"{bare(key)}: expected the name of an option, got {value}; choose from {names}"
    return None


def _unknown_key(key: str, typed: Sequence[str]) -> str:
    """What to type for a key that the composed config lacks."""
    read = list(read_all(typed))
    keys = [(bare(override.get_key_element()), text) for text, override in read]
    held_by, text = max((pair for pair in keys if f"{key}.".startswith(f"{pair[0]}.")), default=("", ""))
    others = [pair for pair, (other, _) in zip(read, keys, strict=True) if other != held_by]
    chosen = next(_each_choice(others, ""), [])
    config = _composed(chosen) or hydra_compose("config", return_hydra_config=True)
    sentence = unknown_key(key, OmegaConf.to_container(config, resolve=False), aliases())  # type: ignore[arg-type]
    if text and (not key.startswith("hydra.") or key.startswith(_OPEN)):
        forced = f"++{bare(expanded(text))}"
        told = [_told([*chosen, *singled(forced)]) for chosen in _each_choice(others, key)]
        if "" in told:
            slip = key.startswith(_OPEN) and "did you mean" in sentence
            said = f"{sentence}; or" if slip else f"{key}: not every chosen option has this key;"
            return f"{said} type {quote(forced)} to add it"
        if better := [t for t in told if t.startswith(f"{key}: ") and "unknown" not in t]:
            return better[0]
    return sentence


def _each_choice(read: Sequence[tuple[str, Override]], key: str) -> Iterator[list[str]]:
    """The overrides with one value for each swept key: every one where that decides about `key`."""
    lists = [singled(text, None if o.package and key.startswith(f"{o.package}.") else 1) for text, o in read]
    return map(list, itertools.product(*lists))


def _composed(overrides: list[str]) -> DictConfig | None:
    """None where there is another mistake."""
    with contextlib.suppress(Exception):
        return hydra_compose("config", overrides, return_hydra_config=True)
    return None


def _told(overrides: list[str]) -> str:
    """What would be said of the overrides; nothing where they make an experiment."""
    if (config := _composed(overrides)) is None:
        return "another mistake"
    try:
        Experiment.from_dict(plain(config))
    except ConfigError as error:
        return str(error)
    return ""
