"""Hydra's overrides -> the space of a sweep, and the configs of its points."""

import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from shlex import quote
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString, Transformer, ValueType
from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from cifar_arch.compose import COMPOSITION_ERRORS, as_config_errors, hydra_message, options, plain
from cifar_arch.idle_choices import refuse_idle_downsample
from cifar_arch.overrides import (
    bare,
    config_groups,
    expanded,
    global_file,
    read_all,
    read_override,
    short,
    typed_key,
)
from cifar_arch.schema import ConfigError
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.options import refuse_unswept
from cifar_arch.search.space import Space, overrides, with_value


class Composer:
    """Configs of the points of a space.

    Hydra takes a fifth of a second for a composition. But a group that is placed at a package of its
    own (`block@model.c3=plain`) fills that package and nothing else, so each of its options is
    composed once; other groups are composed once for each of their combinations; and single values
    are set in a copy. Whatever does not fit that is composed by Hydra as it stands.
    """

    def __init__(self, load: Callable[[list[str]], DictConfig], fixed: Sequence[str], space: Space):
        self.load = load
        self.space = space
        self.fixed = list(fixed)
        groups = config_groups()
        self.groups = {key for key in space.distributions if bare(key).partition("@")[0] in groups}
        self.cache: dict[tuple[str, ...], tuple[DictConfig, dict[str, Any]]] = {}
        self.linked = False  # whether a value is interpolated from others, so that setting one is not enough

    def config_at(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The plain config of the fixed overrides and a point of the space."""
        config = self._assembled(point)
        return plain(self.by_hydra(point)) if config is None else config

    def assess(self, point: Mapping[str, Any]) -> Candidate:
        """The candidate at a point. Raises ConfigError for a value that no network could have."""
        try:
            return Candidate.from_dict(self.config_at(point))
        except ConfigError as error:
            for key, d in self.space.distributions.items():
                wrong = str(error).startswith(f"{bare(key)}: expected an integer")
                if wrong and isinstance(d, FloatDistribution) and d.step is None:
                    typed = quote(f"{short(key)}=int(interval({d.low:g},{d.high:g}))")
                    expected = str(error).partition("; type ")[0]
                    raise ConfigError(f"{expected}; type {typed}") from error
            for _, override in read_all(self.fixed):
                name, value = override.key_or_group, override.value()
                if isinstance(value, list) and str(error).startswith(f"{name}: expected"):
                    each, expected = Transformer.str(value)[1:-1], str(error).partition("; type ")[0]
                    raise ConfigError(
                        f"{expected}; to try each of them write {each} without brackets"
                    ) from error
                if isinstance(value, dict) and str(error).startswith(f"{name}."):
                    raise ConfigError(
                        f"{error}; to sweep over it write its key in full, {name}.KEY"
                    ) from error
            raise

    def job_at(self, point: Mapping[str, Any]) -> DictConfig:
        """The same as Hydra's config of a job, with its node `hydra`: what was assessed is what is trained.

        `point` may set further values.
        """
        if self._assembled(point) is None:
            return self.by_hydra(point)
        whole = self._whole(point)
        base, _ = self._composed(*whole)
        config = copy.deepcopy(base)
        for path, chosen in self._placed(point):
            composed, _ = self._composed(*chosen)
            OmegaConf.update(config, path, OmegaConf.select(composed, path), merge=False, force_add=True)
            theirs, ours = composed.hydra.runtime.choices, base.hydra.runtime.choices
            config.hydra.runtime.choices.update(theirs.items() - ours.items())
        for key, value in self._values(point):
            OmegaConf.update(config, bare(key), _value(key, str(value)))
        typed: Any = OmegaConf.to_container(base.hydra.overrides.task, resolve=False)
        config.hydra.overrides.task = [*typed[: len(typed) - len(whole)], *overrides(point)]
        return config

    def _assembled(self, point: Mapping[str, Any]) -> dict[str, Any] | None:
        """The plain config, put together from parts; None where Hydra has to compose it."""
        _, config = self._composed(*self._whole(point))
        for path, chosen in self._placed(point):
            _, composed = self._composed(*chosen)
            config = with_value(config, path, _at(composed, path))
        for key, value in self._values(point):
            added = key.startswith("+") and not key.startswith("++")  # Hydra says whether it may be
            if self.linked or added or "${" in str(value) or not _holds(config, bare(key)):
                return None
            config = with_value(config, bare(key), _value(key, str(value)))
        return config

    def by_hydra(self, point: Mapping[str, Any]) -> DictConfig:
        """The same as Hydra itself composes it, at a fifth of a second."""
        return self.load([*self.fixed, *overrides(point)])

    def _whole(self, point: Mapping[str, Any]) -> tuple[str, ...]:
        """The choices of groups that fill more than a package of their own."""
        return overrides({k: v for k, v in point.items() if k in self.groups and "@" not in k})

    def _placed(self, point: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The packages of the other groups, each with the choices that fill it."""
        whole = self._whole(point)
        for key, value in point.items():
            if key in self.groups and "@" in key:
                yield key.partition("@")[2], (*whole, *overrides({key: value}))

    def _values(self, point: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        return ((key, value) for key, value in point.items() if key not in self.groups)

    def _composed(self, *chosen: str) -> tuple[DictConfig, dict[str, Any]]:
        """As Hydra composed it, and plain."""
        if chosen not in self.cache:
            composed = self.load([*self.fixed, *chosen])
            self.linked |= _linked(composed)
            self.cache[chosen] = composed, plain(composed)
        return self.cache[chosen]


def read_space(params: Any, arguments: Sequence[str]) -> tuple[Space, list[str]]:
    """The swept keys, and the overrides that hold for every trial.

    `params` is `hydra.sweeper.params`; a key typed as an argument takes precedence over one there, and
    of two arguments the later one. Hydra is at work, or `compose.composing` is entered.
    Raises ConfigError for values that cannot be searched, and for two sweeps of one key.
    """
    typed = {typed_key(argument) for argument in arguments}
    swept: dict[str, tuple[str, BaseDistribution]] = {}
    fixed: dict[str, list[str]] = {}
    texts = [*(text for text in _lines(params) if typed_key(text) not in typed), *arguments]
    for text in texts:
        key, override = typed_key(text), _read(text)
        if override.is_sweep_override():
            if key in swept:
                both = " and ".join(t for t in texts if typed_key(t) == key)
                raise ConfigError(
                    f"{short(key)}: is swept twice, got {both}; type all its values in one list"
                )
            fixed.pop(key, None)
            swept[key] = override.get_key_element(), _distribution(override, text)
        else:
            swept.pop(key, None)
            fixed.setdefault(key, []).append(text)
    space = Space(dict(swept.values()))
    refuse_unswept(space)
    refuse_idle_downsample(texts)
    held = [text for texts_of_one in fixed.values() for text in texts_of_one]
    if any(o.key_or_group == "read_test" and o.value() is True for _, o in read_all(held)):
        raise ConfigError(
            "read_test: a sweep chooses by validation images alone, got true; "
            "type python -m cifar_arch.confirm STUDY after it"
        )
    return space, held


def fixed_keys(fixed: Sequence[str]) -> list[str]:
    """The keys that these overrides set, and those of the files of no package of their own that they choose.

    None of Hydra's, which name a space or how it is searched. Hydra is at work.
    """
    keys = []
    for _, override in read_all(fixed):
        chosen = global_file(override.key_or_group, str(override.value()))
        keys += [override.get_key_element(), *chosen.keys]
    return [key for key in keys if not bare(key).startswith("hydra")]


def require_text(study: str) -> None:
    """Raises ConfigError for the name of a study that Hydra would read as something else in a job."""
    if read_override(f"study={study}").value() != study:
        raise ConfigError(f"study: {study!r} would be read as a number; choose another name")


def _lines(params: Any) -> list[str]:
    """`hydra.sweeper.params` as overrides, aliases as full keys."""
    if params is not None and not isinstance(params, Mapping):
        raise ConfigError(f"hydra.sweeper.params: expected keys with their values, got {params!r}")
    with as_config_errors():
        values: Any = OmegaConf.to_container(params) if isinstance(params, DictConfig) else params or {}
        texts = {key: v if isinstance(v, str) else Transformer.str(v) for key, v in values.items()}
    return [expanded(f"{key}={text}") for key, text in texts.items()]


def _read(text: str) -> Override:
    try:
        return read_override(text)
    except (ValueError, RecursionError, *COMPOSITION_ERRORS) as error:
        raise ConfigError(f"the space cannot be read: {hydra_message(error)}") from error


def _distribution(override: Override, text: str) -> BaseDistribution:
    """The values of a swept key. Raises ConfigError for a key or for values that cannot be swept."""
    key, values = typed_key(text), text.partition("=")[2]
    if override.is_delete() or key == "search" or override.is_hydra_override():
        why = "a search is one study" if key == "search" else "it holds for a sweep as a whole"
        name = key.removeprefix("hydra/sweeper/")
        raise ConfigError(f"{name}: cannot be swept, for {why}, got {values}; choose one")
    tags: set[str] = getattr(override.value(), "tags", set())
    if unknown := tags - {"log"}:  # which Optuna's sweeper passes over
        raise ConfigError(
            f"{short(key)}: the only tag is log, got {min(unknown)} in {values}; type tag(log,...)"
        )
    try:
        if override.value_type is not ValueType.GLOB_CHOICE_SWEEP:
            return create_optuna_distribution_from_override(override)
        if names := sorted(set(override.sweep_string_iterator())):
            return CategoricalDistribution(names)
    except (AssertionError, ValueError, OverflowError, *COMPOSITION_ERRORS) as error:
        name, reason = short(key), hydra_message(error).rstrip(".")
        raise ConfigError(
            f"{name}: {values} cannot be searched ({reason}); type values with commas between them, or a "
            "range that goes upwards"
        ) from error
    known = options(override.key_or_group)
    why = f"matches none of {', '.join(known)}" if known else "takes options, and this is no group of them"
    raise ConfigError(f"the space cannot be read: {key}: {values} {why}")


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
