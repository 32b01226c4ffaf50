"""Hydra's overrides -> the space of a sweep, the plain configs of its points, a config to run again."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides
from omegaconf import DictConfig, OmegaConf

from cifar_arch.compose import COMPOSITION_ERRORS, CONF, plain, sentence
from cifar_arch.record import decides_search
from cifar_arch.schema import ConfigError
from cifar_arch.search.options import refuse_unswept
from cifar_arch.search.space import Space, with_value


class Composer:
    """Plain configs of the points of a space.

    Hydra takes a tenth of a second for a composition. But a group that is placed at a package of its
    own (`block@model.c3=plain`) fills that package and nothing else, so each of its options is
    composed once; other groups are composed once for each of their combinations; and single values
    are set in a copy. Whatever does not fit that is composed by Hydra as it stands.
    """

    def __init__(self, load: Callable[[list[str]], DictConfig], fixed: Sequence[str], space: Space):
        self.load = load
        self.space = space
        self.fixed = list(fixed)
        groups = config_groups()
        self.groups = {key for key in space.distributions if key.partition("@")[0] in groups}
        self.cache: dict[tuple[str, ...], dict[str, Any]] = {}
        self.linked = False  # whether a value is interpolated from others, so that setting one is not enough

    def __call__(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The plain config of the fixed overrides and a point of the space."""
        whole = [f"{k}={v}" for k, v in point.items() if k in self.groups and "@" not in k]
        config = self._composed(*whole)
        for key, value in point.items():
            if key in self.groups and "@" in key:
                path = key.partition("@")[2]
                composed = self._composed(*whole, f"{key}={value}")
                config = with_value(config, path, _at(composed, path))
        for key, value in point.items():
            if key not in self.groups:
                if self.linked or "${" in str(value) or not _holds(config, key):
                    return plain(self.load([*self.fixed, *(f"{k}={v}" for k, v in point.items())]))
                config = with_value(config, key, _value(key, str(value)))
        return config

    def _composed(self, *chosen: str) -> dict[str, Any]:
        if chosen not in self.cache:
            composed = self.load([*self.fixed, *chosen])
            self.linked |= _linked(composed)
            self.cache[chosen] = plain(composed)
        return self.cache[chosen]


def read_space(params: Mapping[Any, Any] | None, arguments: Sequence[str]) -> tuple[Space, list[str]]:
    """The swept keys, and the overrides that hold for every trial.

    `params` is `hydra.sweeper.params`; a key typed as an argument takes precedence over one there.
    Raises ConfigError for values that cannot be searched.
    """
    typed = {_key(argument) for argument in arguments}
    whole = [f"{key}={text}" for key, text in (params or {}).items() if str(key) not in typed]
    whole += arguments
    try:
        distributions, _, _ = create_params_from_overrides(whole)
    except (AssertionError, ValueError, *COMPOSITION_ERRORS) as error:
        raise ConfigError(f"the space cannot be read: {sentence(error)}") from error
    space = Space(distributions)
    refuse_unswept(space)
    return space, [text for text in whole if _key(text) not in distributions]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def config_groups() -> set[str]:
    """The names of the groups of our conf."""
    return {str(path.parent.relative_to(CONF)) for path in CONF.rglob("*.yaml")} - {"."}


@functools.lru_cache(10_000)
def _value(key: str, text: str) -> Any:
    """The value that Hydra reads in `key=text`."""
    value = OverridesParser.create().parse_override(f"{key}={text}").value()
    return value.text if isinstance(value, QuotedString) else value


def _linked(composed: DictConfig) -> bool:
    """Whether one of our values is interpolated from others that a point may set."""
    ours = OmegaConf.masked_copy(composed, [str(name) for name in composed if name != "hydra"])
    text = OmegaConf.to_yaml(ours, resolve=False)
    return "${" in text.replace("${oc.env:", "").replace("${outputs}", "")


def _at(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = config[name]
    return config


def _holds(config: dict[str, Any], path: str) -> bool:
    try:
        return not isinstance(_at(config, path), dict)
    except (KeyError, TypeError):
        return False


def best_config(composed: DictConfig, path: Path, *, pin_seed: bool = True) -> str:
    """The text of a config that gives `composed` again with `+experiment=`, saved at `path`.

    Its groups are chosen again, so that no field of another choice is left over, and every value is
    written out, so that it does not change when the defaults do. `pin_seed`: no for a configuration
    that was chosen by its mean over several.
    """
    choices = {str(group): choice for group, choice in composed.hydra.runtime.choices.items()}
    defaults: list[Any] = [
        {f"override /{group}": choice}
        for group, choice in choices.items()
        if not group.startswith(("hydra/", "search", "experiment")) and choice is not None
    ]
    values = _without_execution(plain(composed))
    heading = (
        "# @package _global_\n"
        f"# python -m cifar_arch.run --config-dir {path.parent.parent} +experiment={path.stem}\n"
    )
    if not pin_seed:
        del values["seed"]
        heading += "# Chosen by its mean over several seeds, so that none is pinned: type seed=1.\n"
    return heading + OmegaConf.to_yaml(OmegaConf.create({"defaults": [*defaults, "_self_"], **values}))


def _without_execution(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            if inner := _without_execution(value, f"{key}."):
                kept[name] = inner
        elif decides_search(key):
            kept[name] = value
    return kept
