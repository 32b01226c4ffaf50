"""Hydra composition -> plain dicts, and Hydra's errors -> one sentence each. No torch."""

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_arch.schema import ConfigError

_PACKAGE = Path(__file__).parent
CONF = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if path.is_dir())

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException)


def compose(overrides: Iterable[str] = (), config_dir: str | None = None) -> dict[str, Any]:
    """The plain config that `overrides` ask for; `config_dir` is searched before our own conf.

    Raises ConfigError where Hydra cannot compose it.
    """
    if config_dir and not Path(config_dir).is_dir():
        raise ConfigError(f"--config-dir: expected a folder, got {config_dir!r}")
    search = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []
    try:
        with initialize_config_dir(str(CONF), job_name="cifar_arch"):
            return plain(hydra_compose("config", [*search, *overrides]))
    except (*COMPOSITION_ERRORS, ValueError) as error:  # OmegaConf lets int("x") through
        raise ConfigError(sentence(error)) from error


def plain(config: DictConfig) -> dict[str, Any]:
    """The config as plain dicts and lists, interpolations resolved."""
    ours = OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])
    data = OmegaConf.to_container(ours, resolve=True, throw_on_missing=True)
    assert isinstance(data, dict)
    return {str(name): value for name, value in data.items()}


def anchored(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The config with each relative path as it is meant in `folder`, where the command was typed."""
    whole = dict(config)
    if isinstance(data := config.get("data"), dict) and isinstance(data.get("root"), str):
        whole["data"] = {**data, "root": str(folder / data["root"])}
    if isinstance(outputs := config.get("outputs"), str):
        whole["outputs"] = str(folder / outputs)
    if match := re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^/:].*)", str(config.get("storage"))):
        whole["storage"] = f"{match[1]}{folder / match[2]}"
    return whole


def sentence(error: Exception) -> str:
    """One sentence for what Hydra or OmegaConf says in several lines."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        options = ", ".join(error.options or _options(group)) or "nothing: there is no such group"
        return f"{group or 'config'}: unknown option {option!r}; choose from {options}"
    text = str(error)
    for pattern, explain in _EXPLAINED:
        if match := re.search(pattern, text, re.DOTALL):
            return explain(*match.groups())
    noise = ("See https://", "Alias expansion", "object_type=", "full_key:", "'")
    lines = [line.strip() for line in text.splitlines()]
    key = re.search(r"full_key: (\S+)", text)
    shown = " ".join(line for line in lines if line and not line.startswith(noise))
    return f"{key.group(1)}: {shown}" if key else shown


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def _unread(override: str) -> str:
    return f"{override!r}: cannot be read; type key=value, a value with spaces or brackets in quotes"


def _several(override: str) -> str:
    key, _, values = override.partition("=")
    return (
        f"{key}: one value is expected, got {values}; choose one, "
        "or sweep over them with python -m cifar_arch.run -m"
    )


def _no_such_part(group: str, key: str) -> str:
    return (
        f"{key}: no {group} option can be chosen there in this model; use {_PLACES[group]} of model=c1c2c3c4"
    )


def _not_yet(key: str, addition: str) -> str:
    return f"{key}: nothing is chosen by default; type {addition}"


def _unknown_key(key: str) -> str:
    with initialize_config_dir(str(CONF), job_name="cifar_arch"):
        config = hydra_compose("config", return_hydra_config=True)
    parent, _, name = key.rpartition(".")
    while parent and not isinstance(OmegaConf.select(config, parent), DictConfig):
        parent, _, name = parent.rpartition(".")
    names = [str(n) for n in OmegaConf.select(config, parent)] if parent else _top(config)
    prefix = f"{parent}." if parent else ""
    if name in names and prefix + name == key:
        return f"{key}: the chosen options have no such key; type +{key}=VALUE to add it"
    close = [f"{part!s}.{name}" for part in config if name in _keys(config[part])]
    close += [prefix + n for n in difflib.get_close_matches(name, names, 1)]
    hint = f", did you mean {close[0]!r}?" if close else ";"
    return f"{key}: unknown key{hint} choose from {', '.join(prefix + n for n in sorted(names))}"


def _top(config: DictConfig) -> list[str]:
    return [str(name) for name in config if name != "hydra"] + list(config.hydra.aliases)


def _keys(node: Any) -> list[Any]:
    return list(node) if isinstance(node, DictConfig) else []


_PLACES = {"block": "c1, c2, c3, c4", "downsample": "t1, t2, t3"}
_EXPLAINED: tuple[tuple[str, Callable[..., str]], ...] = (
    (r"Could not override '(block|downsample)@([^']+)'", _no_such_part),
    (r"Could not override '([^']+)'\. No match.*default list use (\S+)", _not_yet),
    (r"Could not override '([^']+)'", _unknown_key),
    (r"Ambiguous value for argument '([^']+)'", _several),
    (r"Sweep parameters '([^']+)' requires", _several),
    (r"Override alias '([^']+)' requires a value", _unread),
    (r"Error when parsing index: \d+, string: (.*) out of \[", _unread),
)
