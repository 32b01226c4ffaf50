"""Refuses an option that changes nothing: something else says all that it would set, or it is of a sweep."""

import re
from collections.abc import Iterable, Sequence
from shlex import quote
from typing import Any

from hydra.core.default_element import ConfigDefault
from omegaconf import DictConfig, OmegaConf

from cifar_arch.overrides import (
    CONF,
    GlobalFile,
    bare,
    config_groups,
    default_groups,
    first_values,
    global_file,
    option_file,
    read_all,
    short,
    typed_key,
)
from cifar_arch.provenance import flatten
from cifar_arch.record import Objectives, decides_search
from cifar_arch.schema import ConfigError, checked
from cifar_arch.spec import TRANSITIONS

_OF_SWEEPS = (
    r"\+{0,2}(n_trials|workers|gpus|prefer|study|storage|sampler|pruner|cluster"
    r"|hydra[./](sweep|sweeper|launcher)\b[^=]*)="
)


def refuse_idle_choices(config: DictConfig) -> None:
    """Raises ConfigError where an option was typed, and something else decides all that it would set."""
    typed = [str(text) for text in OmegaConf.to_container(config.hydra.overrides.task, resolve=False) or ()]
    choices = {str(group): str(option) for group, option in config.hydra.runtime.choices.items()}
    _refuse_lists(typed)
    refuse_idle_downsample(typed)
    chosen = [text for text in typed if typed_key(text) == "downsample"]
    if chosen and not any(group.startswith("downsample@") for group in choices):
        raise ConfigError(
            f"downsample: has no effect on model={choices['model']}, whose transitions are written out, "
            f"got {chosen[-1]}; leave it out, or use model=c1c2c3c4"
        )
    for place, option in choices.items():
        group = place.partition("@")[0]
        if not (CONF / group / f"{option}.yaml").is_file():  # to read all of ours again takes 50 ms
            _refuse_self_before_others(group, option)
    for group in (name for name in choices if name.isidentifier() and name not in default_groups()):
        _refuse_beside(f"+{group}={choices[group]}", global_file(group, choices[group]), config, typed)


def _refuse_self_before_others(group: str, option: str) -> None:
    """Raises ConfigError for a file in which what it begins from comes after its own values, and wins.

    An option of another group has a place of its own, and may stand before or after.
    """
    file = option_file(group, option)
    entries = file.defaults_list if file else []
    own = next((place for place, entry in enumerate(entries) if entry.is_self()), len(entries))
    if any(isinstance(entry, ConfigDefault) for entry in entries[own + 1 :]):
        raise ConfigError(
            f"{group}: in {option}.yaml what stands after _self_ in defaults replaces the file's own values; "
            "write _self_ last, as in defaults: [NAME, _self_]"
        )


def refuse_idle_rate(typed: Iterable[str], optimizer: object) -> None:
    """Raises ConfigError where `training.sgd_lr` was typed beside an optimizer that has no such rate."""
    given = [text for text in typed if typed_key(text) == "training.sgd_lr"]
    if given and optimizer in ("sgd", "adamw"):  # a wrong name is told elsewhere
        raise ConfigError(
            f"training.sgd_lr: has no effect with training.optimizer={optimizer}, got {given[-1]}; "
            "type training.lr=VALUE, or leave it out"
        )


def _refuse_lists(typed: Iterable[str]) -> None:
    """Raises ConfigError for several options of one place, of which the last says all fields."""
    for override in (o for _, o in read_all(typed) if o.package and o.key_or_group in config_groups()):
        if isinstance(options := override.value(), list):
            key, names = short(bare(override.get_key_element())), ",".join(map(str, options))
            raise ConfigError(
                f"{key}: expected one option, got [{names}]; to compare them type -m {key}={names}"
            )


def _refuse_beside(name: str, file: GlobalFile, config: DictConfig, typed: Iterable[str]) -> None:
    """Raises ConfigError where an option was typed all of whose values the file `name` sets otherwise."""
    for _, override in read_all(typed if file.keys else ()):
        key, group = bare(override.get_key_element()), override.key_or_group
        agreed = file.choices.get(key) == str(override.value())
        if agreed or group not in config_groups() or override.is_sweep_override():
            continue
        package = override.package or group
        node: Any = OmegaConf.to_container(OmegaConf.create({package: OmegaConf.select(config, package)}))
        decisive = {key for key, _ in flatten(node) if decides_search(key)}
        if decisive and (decisive <= file.keys or f"{package}.kind" in file.keys):
            raise ConfigError(
                f"{short(key)}: has no effect beside {name}, which sets all of its values, "
                f"got {override.value()}; leave it out, or type single keys, {min(decisive)}=VALUE"
            )


def refuse_idle_downsample(typed: Iterable[str]) -> None:
    """Raises ConfigError where `downsample` was typed, and so was the choice of each transition.

    Or a field of it: each transition has its own, from the option that `downsample` names.
    """
    read = list(read_all(typed))
    for text, override in read:
        part, _, field = override.key_or_group.partition(".")
        if part == "downsample" and (field or isinstance(override.value(), dict)):
            raise ConfigError(
                f"{override.key_or_group}: has no effect, for t1, t2 and t3 have fields of their own, "
                f"got {text}; type model.t1.{field or 'KEY'}=VALUE for one, or downsample=OPTION for all"
            )
    placed = {o.package: text for text, o in read if o.key_or_group == "downsample"}
    if {None, *(f"model.{name}" for name in TRANSITIONS)} <= placed.keys():
        raise ConfigError(
            f"downsample: has no effect where t1, t2 and t3 are chosen, got {placed[None]}; leave it out"
        )


def refuse_search(overrides: Sequence[str]) -> None:
    """Raises ConfigError for a named space, or an option of a sweep, where one network is expected.

    Objectives may be typed there, for a run measures its latency where they ask for it.
    """
    if counts := [text for text in overrides if re.match(_OF_SWEEPS, text)]:
        key = typed_key(counts[0])
        raise ConfigError(f"{key}: only applies to sweeps, got {counts[0]}; add -m, or leave it out")
    if spaces := [text for text in overrides if re.match(r"\+{0,2}search=(?!null$)", text)]:
        typed = quote(f"+{bare(spaces[0])}")
        raise ConfigError(f"search: a space to sweep over, got {spaces[0]}; type -m {typed}")
    for _, override in read_all(overrides):
        given = override.key_or_group == "objectives" and not override.is_delete()
        if given and not override.is_sweep_override():
            names = [getattr(name, "text", name) for name in first_values(override)]
            checked(Objectives, names if isinstance(override.value(), list) else names[0], "objectives")
