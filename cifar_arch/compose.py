"""Hydra composition -> plain dicts, and Hydra's errors -> one sentence each. No torch."""

import difflib
import re
from collections.abc import Iterable
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
    search = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []
    try:
        with initialize_config_dir(str(CONF), job_name="cifar_arch"):
            return plain(hydra_compose("config", [*search, *overrides]))
    except COMPOSITION_ERRORS as error:
        raise ConfigError(sentence(error)) from error


def plain(config: DictConfig) -> dict[str, Any]:
    """The config as plain dicts and lists, interpolations resolved."""
    data = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(data, dict)
    return {str(name): value for name, value in data.items() if name != "hydra"}


def sentence(error: Exception) -> str:
    """One sentence for what Hydra or OmegaConf says in several lines."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        options = ", ".join(error.options or ()) or "nothing: there is no such group"
        return f"{group or 'config'}: unknown option {option!r}; choose from {options}"
    text = str(error)
    if unknown := re.match(r"Could not override '([^']+)'\.(?! No match)", text):
        return _unknown_key(unknown.group(1))
    if unused := re.match(r"Could not override '([^']+)'\. No match", text):
        return f"{unused.group(1)}: the chosen model has no such part; use model=c1c2c3c4"
    noise = ("See https://", "Alias expansion", "object_type=", "Error when parsing", "Config search")
    lines = [line.strip() for line in text.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(noise))


def _unknown_key(key: str) -> str:
    with initialize_config_dir(str(CONF), job_name="cifar_arch"):
        config = hydra_compose("config", return_hydra_config=True)
    parent, _, name = key.rpartition(".")
    known = OmegaConf.select(config, parent) if parent else config
    names = [str(n) for n in known if n != "hydra"] if isinstance(known, DictConfig) else []
    if not parent:
        names += config.hydra.aliases
    close = difflib.get_close_matches(name, names, 1)
    hint = f", did you mean {close[0]!r}?" if close else ";"
    return f"{key}: unknown key{hint} choose from {', '.join(sorted(names)) or 'no keys at all'}"
