"""Which levels of a choice the effects compare, and in which order."""

from pathlib import Path
from typing import Any

import pytest
from generated_runs import edit_summary, write_run, write_sweep

from cifar_arch.report import load_runs
from cifar_arch.report.effects import paired_effects

# Runs that differ in more than the block of a stage: the levels that are compared.
CONFOUNDED: dict[str, tuple[dict[str, Any], dict[str, Any], list[list[str]]]] = {
    "in a field of every block": ({"c4": "separable"}, {"c4": "plain", "model__c4__squeeze": 4}, []),
    "in one that one of them has": (
        {"c4": "separable", "model__c4__kernel": 5},
        {"c4": "plain"},
        [["plain", "separable kernel=5"]],
    ),
    "in both": (
        {"c4": "separable", "model__c4__kernel": 5},
        {"c4": "blueprint", "model__c4__dilation": 2},
        [["blueprint dilation=2", "separable kernel=5"]],
    ),
    "in none that every block has": (
        {"c4": "separable"},
        {"model__c4": {"kind": "custom", "convs": [{"out": 24}]}},
        [["custom", "separable"]],
    ),
    "in a field of their kind, which is a factor by itself": (
        {"c4": "separable", "model__c4__kernel": 5},
        {"c4": "separable_residual"},
        [],
    ),
}


@pytest.mark.parametrize(("first", "second", "levels"), CONFOUNDED.values(), ids=CONFOUNDED)
def test_a_block_is_not_compared_with_another_of_other_fields(
    first: dict[str, Any], second: dict[str, Any], levels: list[list[str]], tmp_path: Path
) -> None:
    for number, changes in enumerate((first, second)):
        edit_summary(write_run(tmp_path / str(number), **changes), params=1)
    table = paired_effects(load_runs(tmp_path))
    assert table[table["factor"] == "c4"][["baseline", "level"]].to_numpy().tolist() == levels


def test_the_levels_of_a_field_are_compared_once_and_numbers_in_their_order(tmp_path: Path) -> None:
    space: dict[str, list[Any]] = {"model__c3__dilation": [2, 10], "width": [8, 12, "auto"]}
    write_sweep(tmp_path, "s", space, lambda point: 0.5)
    table = paired_effects(load_runs(tmp_path))
    assert table[["factor", "baseline", "level"]].to_numpy().tolist() == [
        ["model.c3.dilation", "2", "10"],
        ["model.width", "8", "12"],
        ["model.width", "8", "auto"],
        ["model.width", "12", "auto"],
    ]
