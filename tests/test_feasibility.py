"""The verdict: the solved width, and repairs that fix what they claim to, typed as they stand."""

import functools
from collections.abc import Mapping
from typing import Any

import pytest
from architectures import architecture, convs
from conftest import cases, python
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cifar_arch.analysis import Analysis, analyse
from cifar_arch.blocks import Custom, CustomConv, Grouped, Plain, Separable
from cifar_arch.compose import compose
from cifar_arch.downsample import Strided
from cifar_arch.experiment import Experiment
from cifar_arch.feasibility import FORMS, Verdict, judge
from cifar_arch.limits import Limits, violations
from cifar_arch.schema import ConfigError
from cifar_arch.spec import WIDEST, Architecture

NO_REPAIR = "no single change fixes it: start from model=c1c2c3c4 width=auto, or change the limit"


def typed(overrides: Mapping[str, str]) -> Verdict:
    """The verdict on what a user types."""
    return verdict_on(tuple(f"{key}={value}" for key, value in overrides.items()))


@functools.cache  # most are asked for twice, and Hydra takes a tenth of a second
def verdict_on(overrides: tuple[str, ...]) -> Verdict:
    experiment = Experiment.from_dict(compose(overrides))
    return judge(experiment.model, experiment.limits, experiment.augment.active())


def suggestion(message: str) -> dict[str, str]:
    """The overrides that a message suggests; {} where it knows none."""
    advice = message.rpartition("; ")[2]
    if not advice.endswith(" fits"):
        assert advice == NO_REPAIR
        return {}
    return dict(override.split("=") for override in advice.removesuffix(" fits").split(" "))


def rules(verdict: Verdict) -> set[str]:
    return {violation.rule for violation in verdict.violations}


def check_repairs(overrides: Mapping[str, str]) -> int:
    """How many violations were fixed; each by its suggestion alone, and none broken by it."""
    verdict, fixed = typed(overrides), 0
    for violation in verdict.violations:
        if change := suggestion(violation.message):
            left = rules(typed({**overrides, **change}))
            assert violation.rule not in left, violation.message
            assert left < rules(verdict), violation.message
            fixed += 1
    return fixed


PLAIN = dict.fromkeys(("c2", "c3", "c4"), "plain")
REPAIRED: list[tuple[dict[str, str], dict[str, str]]] = [
    ({"width": "33"}, {"params": "width=32"}),
    ({"width": "40", "limits": "eva6_hard", "augment": "eva6_hard"}, {"params": "width=22"}),
    ({**PLAIN, "width": "8"}, {"separable": "c4=separable", "dilated": "t3=dilated"}),
    ({**PLAIN, "limits": "eva6_hard", "width": "8"}, {"separable": "c4=separable_residual"}),
    (
        {**PLAIN, "downsample": "strided_separable", "width": "8"},
        {"dilated": "t3=dilated model.t3.separable=true"},
    ),
    (
        {"limits": "eva6_hard", "width": "8"},
        {"head": "model.head=conv", "augment": "augment.grayscale.p=0.25"},  # the others are on
    ),
    ({"limits.macs_below": "5000000"}, {"macs": "width=18"}),
    ({"limits.macs_below": "100", "width": "auto"}, {"macs": ""}),
    (
        {"limits": "eva6_hard", "width": "8", "augment": "none"},
        {
            "augment": "augment.horizontal_flip.p=0.25 augment.shift_scale_rotate.p=0.25 "
            "augment.coarse_dropout.p=0.25 augment.grayscale.p=0.25"
        },
    ),
    ({"limits.receptive_field_above": "96", "width": "20"}, {"receptive_field": "c2=dilated_residual"}),
    # one change is not enough, but for a narrower width beside it
    ({"limits.receptive_field_above": "110"}, {"receptive_field": "depth=[1,1,1,2] width=30"}),
    # nothing can be chosen in a network that is written out
    ({"model": "reference", "limits.receptive_field_above": "80"}, {"receptive_field": ""}),
    ({"model": "reference", "limits.params_below": "90000"}, {"params": ""}),
    ({"limits.params_below": "100", "width": "auto"}, {"params": ""}),
]


@pytest.mark.parametrize(("overrides", "changes"), REPAIRED, ids=str)
def test_a_repair_mends_what_it_is_for(overrides: dict[str, str], changes: dict[str, str]) -> None:
    found = {
        violation.rule: " ".join(f"{k}={v}" for k, v in suggestion(violation.message).items())
        for violation in typed(overrides).violations
    }
    assert {rule: found.get(rule) for rule in changes} == changes
    assert check_repairs(overrides) == sum(map(bool, found.values()))


@st.composite
def commands(draw: st.DrawFn) -> dict[str, str]:
    """What a user may type about a network and its limits."""
    forms = st.sampled_from(sorted(FORMS))
    transitions = st.sampled_from(["strided", "dilated", "strided_separable", "dilated_separable"])
    command = {name: draw(forms) for name in ("c1", "c2", "c3", "c4")}
    command |= {name: draw(transitions) for name in ("t1", "t2", "t3")}
    grouped = any(form.startswith("grouped") for form in command.values())
    return {
        **command,
        **({"model.stem": "3"} if grouped else {}),
        "width": str(draw(st.integers(1, 15)) * 4 if grouped else draw(st.integers(4, 60))),
        "depth": draw(st.sampled_from(["1", "2", "[1,2,1,2]"])),
        "model.head": draw(st.sampled_from(["linear", "conv"])),
        "limits": draw(st.sampled_from(["eva6", "eva6_hard"])),
        "limits.receptive_field_above": str(draw(st.integers(20, 160))),
        "augment": draw(st.sampled_from(["eva6", "eva6_hard", "none"])),
    }


@pytest.mark.slow
@cases(80)
@given(commands())
def test_repairs_of_random_draws_mend_what_they_are_for(command: dict[str, str]) -> None:
    check_repairs(command)


# Blocks that ask for multiples of some number of channels: what c2 is, and that number.
CHOOSY: dict[str, tuple[Any, int]] = {
    "many groups": (Grouped(groups=128), 128),
    "written out": (Custom(convs=(CustomConv(groups=4),)), 4),
}


@pytest.mark.parametrize(("c2", "groups"), CHOOSY.values(), ids=CHOOSY)
def test_the_widest_has_channels_that_every_block_takes(c2: Any, groups: int) -> None:
    limits = Limits(params_below=100_000)
    others: dict[str, Any] = {stage: Separable() for stage in ("c1", "c3", "c4")}
    others |= {transition: Strided(separable=True) for transition in ("t1", "t2", "t3")}
    made = architecture(c2=c2, width="auto", multipliers=(1.0,) * 4, **others)
    verdict = judge(made, limits)
    assert verdict.ok
    width = verdict.architecture.width
    assert isinstance(width, int)
    assert width % groups == 0
    assert violations(analyse(replace(made, width=width + groups).plan()), limits)


def test_parts_with_fields_of_their_own_are_left_alone() -> None:
    """Another option there would not take `model.c4.layers=3` away, which the user typed too."""
    wide = architecture(c4=Separable(layers=3), c3=Plain(layers=3))
    (violation,) = judge(wide, Limits(dilated_at_least=2)).violations
    assert not {"c3", "c4"} & suggestion(violation.message).keys()


def test_messages_stay_bare_without_repairs() -> None:
    (violation,) = judge(architecture(), Limits(dilated_at_least=1), repairs=False).violations
    assert violation.message == "at least 1 dilated layer is required, got 0"


@cases(80)
@given(
    block=st.sampled_from(sorted(FORMS)),
    depth=st.integers(1, 3),
    multipliers=st.tuples(*[st.sampled_from([0.1, 0.5, 1.0, 1.7, 3.0])] * 4),
    params_below=st.integers(1500, 3_000_000),
)
def test_auto_is_the_widest(
    block: str, depth: int, multipliers: tuple[float, float, float, float], params_below: int
) -> None:
    start = architecture(width="auto", c2=FORMS[block], depth=depth, multipliers=multipliers)
    verdict = judge(start, Limits(params_below=params_below))
    width = verdict.architecture.width
    assert isinstance(width, int)
    if verdict.ok:
        wider = (params_of(start, wide) for wide in range(width + 1, WIDEST + 1))
        assert next(filter(None, wider), params_below) >= params_below
    else:
        narrower = (params_of(start, narrow) for narrow in range(1, width))
        assert (any(narrower), rules(verdict)) == (False, {"params"})


@pytest.mark.parametrize(
    ("groups", "multipliers", "width"), [((16, 5), (1.0,) * 4, 160), ((8, 9), (0.5, 1.0, 2.0, 3.0), 72)]
)
def test_auto_finds_widths_that_lie_far_apart(
    groups: tuple[int, int], multipliers: tuple[float, ...], width: int
) -> None:
    """Every channel count has to be a multiple of both, which few widths in a row are."""
    blocks = {stage: Grouped(groups=number) for stage, number in zip(("c2", "c3"), groups, strict=True)}
    transitions = {name: Strided(separable=True) for name in ("t1", "t2", "t3")}
    start = architecture(width="auto", c4=Separable(), multipliers=multipliers, **blocks, **transitions)
    verdict = judge(start, Limits(params_below=200_000))
    assert (verdict.ok, verdict.architecture.width) == (True, width)


@functools.cache
def of_every_width() -> list[Analysis]:
    return [analyse(architecture(width=width).plan()) for width in range(1, WIDEST + 1)]


@pytest.mark.parametrize("params_below", [None, 10**12, 20_000])
@pytest.mark.parametrize("macs_below", [9000, 2_000_000])
def test_auto_meets_both_limits_on_the_size(params_below: int | None, macs_below: int) -> None:
    limits = Limits(params_below=params_below, macs_below=macs_below)
    fits = [width for width, analysis in enumerate(of_every_width(), 1) if not violations(analysis, limits)]
    assert judge(architecture(width="auto"), limits).architecture.width == max(fits, default=1)


def params_of(start: Architecture, width: int) -> int:
    """0 where groups do not divide the channels."""
    try:
        return analyse(replace(start, width=width).plan()).params
    except ConfigError:
        return 0


def test_auto_stops_at_the_widest_width_there_is() -> None:
    verdict = judge(architecture(width="auto"), Limits(params_below=10**12))
    assert verdict.architecture.width == WIDEST
    assert Architecture.from_dict(verdict.architecture.to_dict()) == verdict.architecture


def test_auto_finds_the_width_that_ends_in_the_classes() -> None:
    halved = architecture(width="auto", head="none", multipliers=(1.0, 1.0, 1.0, 0.5))
    assert judge(halved, Limits(params_below=10**6)).architecture.width == 21  # half of it is 10


AUTO_WRONG = [
    (
        architecture(width="auto"),
        Limits(),
        "model.width: auto needs a limit on the size; set limits.params_below or limits.macs_below, "
        "or give a number",
    ),
    (
        architecture(width="auto", head="none", multipliers=(1.0, 1.0, 1.0, 3.0)),
        Limits(params_below=10_000),
        "model.width: auto finds no width from 1 to 4096 that makes a network; "
        "with width=16, model.head: none needs a C4 that ends in 10 channels, got 48; use linear or conv",
    ),
]


@pytest.mark.parametrize(("start", "limits", "message"), AUTO_WRONG)
def test_auto_that_makes_no_sense(start: Architecture, limits: Limits, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        judge(start, limits)
    assert str(error.value) == message


def test_no_width_alone_is_suggested_where_another_one_is_no_network() -> None:
    fixed = architecture(width=10, head="none", c3=Plain(layers=9))  # C4 has to end in 10 channels
    (violation,) = judge(fixed, Limits(params_below=3000)).violations
    assert suggestion(violation.message) == {"model.head": "conv", "width": "4"}


def test_content_of_a_verdict() -> None:
    verdict = judge(architecture(c2=convs({"stride": 2})), Limits(downsamplers=3))
    data: dict[str, Any] = verdict.to_dict()
    assert data["ok"] is False
    assert data["params"] == verdict.analysis.params
    assert [set(v) for v in data["violations"]] == [{"rule", "limit", "actual", "message"}]


def test_blocks_that_were_in_the_table_first_are_not_advised() -> None:
    code = """
from cifar_arch.blocks import BLOCKS, Unit
class Own(Unit, frozen=True, kw_only=True):
    ratio: int
BLOCKS["own"] = Own
from cifar_arch.feasibility import FORMS
print("own" in FORMS)
"""
    done = python(code)
    assert (done.stdout, done.stderr) == ("False\n", "")
