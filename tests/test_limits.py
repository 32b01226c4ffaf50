from collections.abc import Collection
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from cifar_arch.analysis import Analysis
from cifar_arch.augment import Augment
from cifar_arch.compose import compose
from cifar_arch.limits import Limits, TransformName, violations
from cifar_arch.schema import ConfigError, checked

EVA6_TRANSFORMS = ("horizontal_flip", "shift_scale_rotate", "coarse_dropout")
WITHIN = Analysis(
    params=1000,
    macs=1,
    receptive_field=60,
    receptive_field_with_pooling=90,
    separable=2,
    dilated=1,
    downsamplers=3,
    foreign_downsamplers=(),
    fully_connected=False,
    layers=(),
)


def limits(name: str) -> Limits:
    return checked(Limits, compose([f"limits={name}"])["limits"], "limits")


@pytest.fixture(scope="module")
def groups() -> dict[str, Limits]:
    return {name: limits(name) for name in ("eva6", "eva6_hard", "none")}


# group, change of a network within all limits, the one broken rule and its sentence, or none
CASES: list[tuple[str, dict[str, Any], str | None, str]] = [
    ("eva6", {}, None, ""),
    ("eva6", {"params": 199_999}, None, ""),
    (
        *("eva6", {"params": 200_000}, "params"),
        "fewer than 200,000 trainable parameters are allowed, got 200,000",
    ),
    ("eva6_hard", {"params": 99_999}, None, ""),
    (
        *("eva6_hard", {"params": 100_000}, "params"),
        "fewer than 100,000 trainable parameters are allowed, got 100,000",
    ),
    ("eva6", {"receptive_field": 45}, None, ""),
    (
        *("eva6", {"receptive_field": 44, "receptive_field_with_pooling": 100}, "receptive_field"),
        "the receptive field has to be more than 44 px, got 44 px",
    ),
    ("eva6_hard", {"receptive_field": 53}, None, ""),
    (
        *("eva6_hard", {"receptive_field": 52}, "receptive_field"),
        "the receptive field has to be more than 52 px, got 52 px",
    ),
    ("eva6", {"separable": 1}, None, ""),
    (
        *("eva6", {"separable": 0}, "separable"),
        "at least 1 depthwise-separable layer is required, got 0",
    ),
    (
        *("eva6_hard", {"separable": 1}, "separable"),
        "at least 2 depthwise-separable layers are required, got 1",
    ),
    ("eva6", {"dilated": 0}, "dilated", "at least 1 dilated layer is required, got 0"),
    (
        *("eva6", {"downsamplers": 2}, "downsampling"),
        "exactly 3 downsamplers, 3x3 and strided or dilated, are required, got 2",
    ),
    (
        *("eva6", {"downsamplers": 4}, "downsampling"),
        "exactly 3 downsamplers, 3x3 and strided or dilated, are required, got 4",
    ),
    (
        *("eva6", {"foreign_downsamplers": ("c1.1.conv1",)}, "downsampling"),
        "exactly 3 downsamplers, 3x3 and strided or dilated, are required, got 3 and others at c1.1.conv1",
    ),
    ("eva6", {"fully_connected": True}, None, ""),
    (
        *("eva6_hard", {"fully_connected": True}, "head"),
        "no fully connected layer is allowed after global average pooling, got one",
    ),
    ("none", {"params": 10**9, "receptive_field": 1, "downsamplers": 0, "separable": 0}, None, ""),
    ("none", {"foreign_downsamplers": ("a",), "fully_connected": True, "dilated": 0}, None, ""),
]


@pytest.mark.parametrize(("group", "changes", "rule", "message"), CASES)
def test_rule(
    groups: dict[str, Limits], group: str, changes: dict[str, Any], rule: str | None, message: str
) -> None:
    found = violations(replace(WITHIN, **changes), groups[group])
    assert [(v.rule, v.message) for v in found] == ([(rule, message)] if rule else [])


# transforms that are on (None: not looked at), the sentence or ""
AUGMENTATION: list[tuple[str, Collection[str] | None, str]] = [
    ("eva6", EVA6_TRANSFORMS, ""),
    ("eva6", ("grayscale", *EVA6_TRANSFORMS), ""),
    ("eva6", None, ""),
    ("none", (), ""),
    (
        *("eva6", EVA6_TRANSFORMS[:2]),
        "the augmentation has to hold horizontal_flip, shift_scale_rotate, coarse_dropout: "
        "coarse_dropout is off",
    ),
    (
        *("eva6_hard", ()),
        "the augmentation has to hold horizontal_flip, shift_scale_rotate, coarse_dropout, grayscale: "
        "horizontal_flip, shift_scale_rotate, coarse_dropout, grayscale are off",
    ),
]


@pytest.mark.parametrize(("group", "on", "message"), AUGMENTATION)
def test_augmentation(
    groups: dict[str, Limits], group: str, on: Collection[str] | None, message: str
) -> None:
    found = violations(WITHIN, groups[group], on)
    assert [(v.rule, v.message) for v in found] == ([("augment", message)] if message else [])


def test_all_violations_at_once(groups: dict[str, Limits]) -> None:
    broken = replace(
        WITHIN,
        params=200_000,
        receptive_field=9,
        separable=0,
        dilated=0,
        downsamplers=1,
        fully_connected=True,
    )
    found = {v.rule: (v.limit, v.actual) for v in violations(broken, groups["eva6_hard"], ())}
    assert found == {
        "params": (100_000, 200_000),
        "receptive_field": (52, 9),
        "separable": (2, 0),
        "dilated": (1, 0),
        "downsampling": (3, 1),
        "head": (0, 1),
        "augment": ("horizontal_flip, shift_scale_rotate, coarse_dropout, grayscale", "none"),
    }


def test_transforms_are_those_of_the_augmentation() -> None:
    assert get_args(TransformName) == Augment.__struct_fields__


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("augment", ["blur"], "limits.augment[0]: expected one of coarse_dropout, "),
        ("params_below", 0, "limits.params_below: expected an integer at least 1 or null, got 0"),
        ("target_accuracy", 85, "limits.target_accuracy: expected a number above 0 and at most 1 or null"),
        ("parms_below", 3, "limits.parms_below: unknown field; choose from params_below, "),
    ],
)
def test_wrong_input(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        checked(Limits, {key: value}, "limits")
    assert str(error.value).startswith(message)
