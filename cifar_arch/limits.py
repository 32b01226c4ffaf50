"""The rules of the game: limits, what they ask for, and every violation of them as a sentence."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from cifar_arch.analysis import Analysis
from cifar_arch.schema import Strict

Count = Annotated[int, Meta(ge=0)]
Accuracy = Annotated[float, Meta(gt=0, le=1)]
TransformName = Literal[
    "pad_crop",
    "horizontal_flip",
    "shift_scale_rotate",
    "colour_jitter",
    "grayscale",
    "coarse_dropout",
    "mixup",
    "cutmix",
]


class Limits(Strict, frozen=True, kw_only=True):
    """The rules that a network must meet; None switches one off.

    All but the target are checked before training.
    """

    params_below: Annotated[int, Meta(ge=1)] | None = None
    macs_below: Annotated[int, Meta(ge=1)] | None = None  # multiply-adds of one image
    latency_ms_below: Annotated[float, Meta(gt=0, le=60_000)] | None = None  # of one image, see latency.py
    receptive_field_above: Count | None = None  # pixels, before global pooling
    separable_at_least: Count = 0
    dilated_at_least: Count = 0
    downsamplers: Count | None = None  # exactly so many 3x3 ones, and no other
    fully_connected: bool = True  # whether a fully connected layer is allowed
    augment: tuple[TransformName, ...] = ()  # transforms that must be on
    target_accuracy: Accuracy | None = None  # of the test set

    def checks_nothing(self) -> bool:
        """Whether every rule that is checked before training is off."""
        return structs.replace(self, target_accuracy=None) == Limits()


class Violation(Struct, frozen=True):
    """A broken rule by its short name: receptive_field, where the limit is receptive_field_above."""

    rule: str
    limit: float | str
    actual: float | str
    message: str  # one sentence


def violations(
    analysis: Analysis, limits: Limits, augment: Collection[str] | None = None
) -> tuple[Violation, ...]:
    """All broken rules but the one on latency, see `too_slow`.

    `augment` has the transforms that are on by name, or their names alone; None: they are not looked at.
    """
    return tuple(_broken(analysis, limits, augment))


def lacking(limits: Limits, augment: Collection[str]) -> dict[str, str]:
    """What to set, by transform, where one that has to be on is off, or not what the rules mean by it."""
    of = augment if isinstance(augment, Mapping) else {}
    on = {name: of[name].lacks() if name in of else "" for name in augment}
    found = {name: on.get(name, "p=0.25") for name in limits.augment}
    return {name: setting for name, setting in found.items() if setting}


def too_slow(latency_ms: float, limits: Limits) -> tuple[Violation, ...]:
    """The broken rule on latency, which is measured on a machine and not computed; else none."""
    below = limits.latency_ms_below
    if below is None or latency_ms < below:
        return ()
    message = f"one image has to take less than {below:g} ms here, got {latency_ms:.3f} ms"
    return (Violation("latency", below, round(latency_ms, 3), message),)


def requirements(
    a: Analysis, limits: Limits, augment: Collection[str], latency_ms: float | None = None
) -> Iterator[tuple[str, str, str]]:
    """(rule, what is asked, what the network has) for each rule that is on and checked before training.

    `augment`: names of the transforms that are on; `latency_ms`: as measured, where there is a limit on it.
    """
    if limits.params_below is not None:
        yield "trainable parameters", f"fewer than {limits.params_below:,}", f"{a.params:,}"
    if limits.macs_below is not None:
        yield "multiply-adds", f"fewer than {limits.macs_below:,}", f"{a.macs:,}"
    if limits.receptive_field_above is not None:
        asked = f"more than {limits.receptive_field_above} px"
        yield "receptive field before pooling", asked, f"{a.receptive_field} px"
    if limits.separable_at_least:
        yield "depthwise-separable layers", f"at least {limits.separable_at_least}", str(a.separable)
    if limits.dilated_at_least:
        yield "dilated layers", f"at least {limits.dilated_at_least}", str(a.dilated)
    if limits.downsamplers is not None:
        asked = f"exactly {limits.downsamplers}, 3x3, strided or dilated, no other"
        yield "downsamplers", asked, str(a.downsamplers)
    if not limits.fully_connected:
        yield "fully connected layer", "none", "one" if a.fully_connected else "none"
    if limits.augment:
        on = [name for name in limits.augment if name in augment]
        yield "augmentation holds", ", ".join(limits.augment), ", ".join(on)
    if limits.latency_ms_below is not None:
        asked = f"less than {limits.latency_ms_below:g} ms"
        got = "not measured" if latency_ms is None else f"{latency_ms:.3f} ms"
        yield "one image on one thread of the CPU", asked, got


def _broken(a: Analysis, limits: Limits, augment: Collection[str] | None) -> Iterator[Violation]:
    for rule, what, below, count in (
        ("params", "trainable parameters", limits.params_below, a.params),
        ("macs", "multiply-adds", limits.macs_below, a.macs),
    ):
        if below is not None and count >= below:
            message = f"fewer than {below:,} {what} are allowed, got {count:,}"
            yield Violation(rule, below, count, message)
    above = limits.receptive_field_above
    if above is not None and a.receptive_field <= above:
        message = f"the receptive field has to be more than {above} px, got {a.receptive_field} px"
        yield Violation("receptive_field", above, a.receptive_field, message)
    for rule, layer, least, actual in (
        ("separable", "depthwise-separable layer", limits.separable_at_least, a.separable),
        ("dilated", "dilated layer", limits.dilated_at_least, a.dilated),
    ):
        if actual < least:
            layers = f"{layer} is" if least == 1 else f"{layer}s are"
            message = f"at least {least} {layers} required, got {actual}"
            yield Violation(rule, least, actual, message)
    yield from _downsampling(a, limits)
    if a.fully_connected and not limits.fully_connected:
        message = "no fully connected layer is allowed after global average pooling, got one"
        yield Violation("head", 0, 1, message)
    if augment is not None and (missing := lacking(limits, augment)):
        off = [name for name in missing if name not in augment]
        wrong = [f"{', '.join(off)} {'is' if len(off) == 1 else 'are'} off"] if off else []
        wrong += [f"{name} is not what the rule means" for name in missing if name in augment]
        message = f"the augmentation has to hold {', '.join(limits.augment)}: {', '.join(wrong)}"
        yield Violation("augment", ", ".join(limits.augment), ", ".join(augment) or "none", message)


def _downsampling(a: Analysis, limits: Limits) -> Iterator[Violation]:
    wanted, foreign = limits.downsamplers, a.foreign_downsamplers
    if wanted is None or (a.downsamplers == wanted and not foreign):
        return
    message = f"exactly {wanted} downsamplers, 3x3 and strided or dilated, are required, got {a.downsamplers}"
    if foreign:
        message += f" and others at {', '.join(foreign)}"
    yield Violation("downsampling", wanted, a.downsamplers + len(foreign), message)
