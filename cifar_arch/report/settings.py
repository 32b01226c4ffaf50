"""The settings of runs: the columns that decide what a run computes, and what a missing value means."""

import contextlib
import functools
import re
from typing import Any

import pandas as pd
from msgspec import NODEFAULT, structs

from cifar_arch.blocks import Unit
from cifar_arch.record import decides_result
from cifar_arch.schema import Strict
from cifar_arch.spec import KINDS, STAGES, TRANSITIONS

# What the form of a stage or a transition says, such as plain_residual x3; a network written out is no form.
IN_FORM = ("kind", "residual", "separable", "layers", "convs")
# Fields that every block has; those of a kind alone are named with the form where they are not the usual.
OF_EVERY_BLOCK = {field.name: field.default for field in structs.fields(Unit) if field.name not in IN_FORM}


def settings(runs: pd.DataFrame) -> list[str]:
    """The columns that decide what a run computes."""
    # Of the config keys those alone have a dot, but for the seed. `data.name` is what the column `data` says.
    keys = [name for name in runs if "." in name and decides_result(name) and name != "data.name"]
    return [*keys, "seed", "data"]


def nulls(runs: pd.DataFrame, name: str) -> pd.Series:
    """Which runs have null for a setting, which is a value like any other; not those that lack the setting.

    A network has only the settings of its blocks; the other parts of a config are whole wherever it is known.
    """
    missing = runs[name].isna()
    if not missing.any():
        return missing
    if part := in_block(name):
        place, field = part
        having = [kind for kind, variant in KINDS[place].items() if field in variant.__struct_fields__]
        kinds = runs.get(f"model.{place}.kind")
        there = pd.Series(False, index=runs.index) if kinds is None else kinds.isin(having)
    else:
        keys = [key for key in runs if "." in key and not in_block(key)]
        there = runs[keys].notna().any(axis=1) & (name in keys)
    return missing & there


def in_block(name: str) -> tuple[str, str] | None:
    """The stage or transition and the field of its block that a key names; None for any other key."""
    match = re.fullmatch(rf"model\.({'|'.join((*STAGES, *TRANSITIONS))})\.(\w+)", name)
    return (match[1], match[2]) if match else None


def levels_of(runs: pd.DataFrame, name: str) -> list[Any]:
    """The value of a setting in each run, null as "null"; not a number where it is not part of the run."""
    values = runs[name].astype(object)
    return list(values.mask(nulls(runs, name), "null"))


def ordered(level: Any) -> tuple[bool, bool, Any]:
    """Sorts numbers in ascending order, as text too (beside auto), then names, the usual choice first."""
    with contextlib.suppress(ValueError, TypeError):
        return False, False, float(level)
    return True, level not in ("strided", "without"), level


def varies(runs: pd.DataFrame, name: str) -> bool:
    return runs[name].nunique() + bool(nulls(runs, name).any()) > 1


def swept(runs: pd.DataFrame) -> list[str]:
    """The settings in which the runs differ, in the words of the command line where there are some."""
    forms = [name for name in (*STAGES, *TRANSITIONS) if runs[name].nunique() > 1]
    others = [k for k in settings(runs) if not in_a_form(k) and varies(runs, k)]
    return [*forms, *(k for k in others if k != "seed" and not _follows_from_kind(runs, k))]


def _follows_from_kind(runs: pd.DataFrame, name: str) -> bool:
    """Whether it is a block's setting that is in every run what the block's kind has by itself."""
    part = in_block(name)
    if part is None or f"model.{part[0]}.kind" not in runs:
        return False
    usual = usual_of_kind(runs, *part)
    return all(pd.isna(v) or v == u for v, u in zip(runs[name].astype(object), usual, strict=True))


def usual_of_kind(runs: pd.DataFrame, place: str, field: str) -> list[Any]:
    """What a field of the block at a stage or transition is where nobody says so, by its kind in each run."""
    usual = {kind: usual_fields(variant).get(field) for kind, variant in KINDS[place].items()}
    return [usual.get(kind) for kind in runs[f"model.{place}.kind"]]


@functools.cache
def usual_fields(variant: type[Strict]) -> dict[str, Any]:
    """The fields of a block where nobody sets them."""
    return {f.name: f.default for f in structs.fields(variant) if f.default is not NODEFAULT}


def in_a_form(name: str) -> bool:
    """Whether the form of a stage or transition says what the setting is."""
    part = in_block(name)
    return part is not None and part[1] in IN_FORM
