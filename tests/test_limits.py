from dataclasses import dataclass
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from cifar_arch.analysis import Analysis
from cifar_arch.augment import Augment, CoarseDropout, HorizontalFlip, ShiftScaleRotate
from cifar_arch.compose import compose
from cifar_arch.limits import Limits, TransformName, requirements, too_slow, violations
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
    plan=(),
)


def limits(name: str) -> Limits:
    return checked(Limits, compose([f"limits={name}"])["limits"], "limits")


@pytest.fixture(scope="module")
def groups() -> dict[str, Limits]:
    return {name: limits(name) for name in ("eva6", "eva6_hard", "none")}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Changes of a network within all limits; the one broken rule and its sentence, or none."""

    group: str = "eva6"
    changes: dict[str, Any]
    rule: str | None = None
    message: str = ""


CASES = [
    Case(changes={}),
    Case(changes={"params": 199_999}),
    Case(
        changes={"params": 200_000},
        rule="params",
        message="fewer than 200,000 trainable parameters are allowed, got 200,000",
    ),
    Case(group="eva6_hard", changes={"params": 99_999}),
    Case(
        group="eva6_hard",
        changes={"params": 100_000},
        rule="params",
        message="fewer than 100,000 trainable parameters are allowed, got 100,000",
    ),
    Case(changes={"receptive_field": 45}),
    Case(
        changes={"receptive_field": 44, "receptive_field_with_pooling": 100},
        rule="receptive_field",
        message="the receptive field has to be more than 44 px, got 44 px",
    ),
    Case(group="eva6_hard", changes={"receptive_field": 53}),
    Case(
        group="eva6_hard",
        changes={"receptive_field": 52},
        rule="receptive_field",
        message="the receptive field has to be more than 52 px, got 52 px",
    ),
    Case(changes={"separable": 1}),
    Case(
        changes={"separable": 0},
        rule="separable",
        message="at least 1 depthwise-separable layer is required, got 0",
    ),
    Case(
        group="eva6_hard",
        changes={"separable": 1},
        rule="separable",
        message="at least 2 depthwise-separable layers are required, got 1",
    ),
    Case(
        changes={"dilated": 0},
        rule="dilated",
        message="at least 1 dilated layer is required, got 0",
    ),
    Case(
        changes={"downsamplers": 2},
        rule="downsampling",
        message="exactly 3 downsamplers, 3x3 and strided or dilated, are required, got 2",
    ),
    Case(
        changes={"downsamplers": 4},
        rule="downsampling",
        message="exactly 3 downsamplers, 3x3 and strided or dilated, are required, got 4",
    ),
    Case(
        changes={"foreign_downsamplers": ("c1.1.conv1",)},
        rule="downsampling",
        message="exactly 3 downsamplers, 3x3 and strided or dilated, are required, "
        "got 3 and others at c1.1.conv1",
    ),
    Case(changes={"fully_connected": True}),
    Case(
        group="eva6_hard",
        changes={"fully_connected": True},
        rule="head",
        message="no fully connected layer is allowed after global average pooling, got one",
    ),
    Case(group="none", changes={"params": 10**9, "receptive_field": 1, "downsamplers": 0, "separable": 0}),
    Case(group="none", changes={"foreign_downsamplers": ("a",), "fully_connected": True, "dilated": 0}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_rule_says_what_is_allowed_and_what_it_got(groups: dict[str, Limits], case: Case) -> None:
    found = violations(replace(WITHIN, **case.changes), groups[case.group])
    assert [(v.rule, v.message) for v in found] == ([(case.rule, case.message)] if case.rule else [])


def test_multiply_adds_may_be_limited() -> None:
    within = replace(WITHIN, macs=1_999_999)
    assert violations(within, Limits(macs_below=2_000_000)) == ()
    (found,) = violations(within, Limits(macs_below=1_999_999))
    assert (found.rule, found.limit, found.actual) == ("macs", 1_999_999, 1_999_999)
    assert found.message == "fewer than 1,999,999 multiply-adds are allowed, got 1,999,999"


REQUIRED = "the augmentation has to hold horizontal_flip, shift_scale_rotate, coarse_dropout"
# Transforms that are on; None: not looked at.
AUGMENTATION: list[dict[str, Any]] = [
    {"group": "eva6", "on": EVA6_TRANSFORMS, "says": ""},
    {"group": "eva6", "on": ("grayscale", *EVA6_TRANSFORMS), "says": ""},
    {"group": "eva6", "on": None, "says": ""},
    {"group": "none", "on": (), "says": ""},
    {"group": "eva6", "on": EVA6_TRANSFORMS[:2], "says": f"{REQUIRED}: coarse_dropout is off"},
    {
        "group": "eva6_hard",
        "on": (),
        "says": f"{REQUIRED}, grayscale: "
        "horizontal_flip, shift_scale_rotate, coarse_dropout, grayscale are off",
    },
    {
        "group": "eva6",
        "on": {
            "horizontal_flip": HorizontalFlip(p=0.5),
            "shift_scale_rotate": ShiftScaleRotate(p=0.5, shift=0, scale=0, rotate=0),
            "coarse_dropout": CoarseDropout(p=0.5, size=8),
        },
        "says": f"{REQUIRED}: shift_scale_rotate is not what the rule means, "
        "coarse_dropout is not what the rule means",
    },
    {  # a shift of less than half a pixel is none
        "group": "eva6",
        "on": {
            "horizontal_flip": HorizontalFlip(p=0.5),
            "shift_scale_rotate": ShiftScaleRotate(p=0.5, shift=0.015, scale=0, rotate=0),
            "coarse_dropout": CoarseDropout(p=0.5),
        },
        "says": f"{REQUIRED}: shift_scale_rotate is not what the rule means",
    },
]


@pytest.mark.parametrize("case", AUGMENTATION, ids=str)
def test_an_augmentation_that_is_off_is_named(groups: dict[str, Limits], case: dict[str, Any]) -> None:
    found = violations(WITHIN, groups[case["group"]], case["on"])
    assert [(v.rule, v.message) for v in found] == ([("augment", case["says"])] if case["says"] else [])


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


# Each limit with a value at which `WITHIN` is outside it, and what that has; `judge` measures the latency.
SWITCHED_ON: dict[str, tuple[Any, str]] = {
    "params_below": (1000, "1,000"),
    "macs_below": (1, "1"),
    "latency_ms_below": (0.5, "0.600 ms"),
    "receptive_field_above": (60, "60 px"),
    "separable_at_least": (3, "2"),
    "dilated_at_least": (2, "1"),
    "downsamplers": (2, "3"),
    "fully_connected": (False, "one"),
    "augment": (("mixup", "cutmix"), "cutmix"),
}


@pytest.mark.parametrize("name", SWITCHED_ON)
def test_each_limit_is_asked_for_and_can_be_broken(name: str) -> None:
    value, has = SWITCHED_ON[name]
    limits, outside = replace(Limits(), **{name: value}), replace(WITHIN, fully_connected=True)
    assert [got for _, _, got in requirements(outside, limits, ("cutmix",), 0.6)] == [has]
    broken = violations(outside, limits, ("cutmix",)) or too_slow(0.6, limits)
    assert len(broken) == 1


def test_no_limit_is_left_out_above() -> None:
    assert {*SWITCHED_ON, "target_accuracy"} == {*Limits.__struct_fields__}


def test_transforms_are_those_of_the_augmentation() -> None:
    assert {*get_args(TransformName)} == {*Augment.__struct_fields__} - {"backend"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("augment", ["blur"], "limits.augment[0]: expected one of coarse_dropout, "),
        ("params_below", 0, "limits.params_below: expected an integer at least 1 or null, got 0"),
        ("target_accuracy", 85, "limits.target_accuracy: expected a number above 0 and at most 1 or null"),
        ("parms_below", 3, "limits.parms_below: unknown field; choose from params_below, "),
    ],
)
def test_a_limit_that_is_none_is_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        checked(Limits, {key: value}, "limits")
    assert str(error.value).startswith(message)
