"""Architecture + limits -> verdict: solves `width=auto`, finds the smallest fix of a violation."""

import contextlib
from collections.abc import Collection, Iterator
from typing import Any, get_args

from msgspec import Struct, structs, to_builtins
from msgspec.structs import replace

from cifar_arch import blocks as block_kinds
from cifar_arch import downsample
from cifar_arch.analysis import Analysis, analyse
from cifar_arch.blocks import BLOCKS, Unit
from cifar_arch.downsample import DOWNSAMPLERS, Downsampler
from cifar_arch.layers import Plan, content_key
from cifar_arch.limits import Limits, Violation, lacking, too_slow, violations
from cifar_arch.schema import ConfigError
from cifar_arch.spec import DEEPEST, STAGES, TRANSITIONS, WIDEST, Architecture, Head

SIZE_RULES = ("params", "macs")  # those that a narrower network keeps

# Kinds that take any number of channels to any other.
ANY_CHANNELS = {
    *(block_kinds.Plain, block_kinds.Dilated, block_kinds.Separable),
    *(block_kinds.Blueprint, block_kinds.Inverted, downsample.Strided, downsample.Dilated),
}
# What conf/downsample and conf/block offer, by kind and by name; a user's own may be in the tables already.
OFFERED = {
    kind: variant
    for kind, variant in DOWNSAMPLERS.items()
    if issubclass(variant, Downsampler) and variant.__module__ == downsample.__name__
}
FORMS: dict[str, Unit] = {
    kind + suffix: variant(layers=2 if residual else 1, residual=residual)
    for kind, variant in BLOCKS.items()
    if issubclass(variant, Unit) and variant.__module__ == block_kinds.__name__
    for suffix, residual in (("", False), ("_residual", True))
}


class Verdict(Struct, frozen=True, kw_only=True):
    """An architecture with its width solved, its plan, its analysis, and every rule that it breaks."""

    architecture: Architecture
    plan: Plan
    analysis: Analysis
    violations: tuple[Violation, ...]
    latency_ms: float | None = None  # of one image on this machine, where a limit asked for it

    @property
    def key(self) -> str:
        """That of the architecture."""
        return content_key(self.plan)

    @property
    def ok(self) -> bool:
        return not self.violations

    def to_dict(self) -> dict[str, Any]:
        """The content of `check --json`."""
        return {
            "ok": self.ok,
            **self.analysis.totals,
            **({} if self.latency_ms is None else {"latency_ms": round(self.latency_ms, 3)}),
            "layers": to_builtins(self.analysis.layers),
            "violations": to_builtins(self.violations),
        }


def judge(
    architecture: Architecture,
    limits: Limits,
    augment: Collection[str] | None = None,
    *,
    repairs: bool = True,
) -> Verdict:
    """The verdict on an architecture; with `repairs`, each message ends in what to type instead.

    `augment`: as in `violations`. Raises ConfigError where the architecture cannot be planned at all.
    """
    if architecture.width == "auto":
        architecture = replace(architecture, width=_widest(architecture, limits))
    plan = architecture.plan()
    analysis = analyse(plan)
    broken = violations(analysis, limits, augment)
    latency = None
    if limits.latency_ms_below is not None and not broken:  # measured last, for it takes a tenth of a second
        from cifar_arch.latency import latency_ms  # with numpy

        latency = latency_ms(plan)
        broken = too_slow(latency, limits)
    if repairs:
        rules = {violation.rule for violation in broken}
        advice = (_repair(v.rule, architecture, limits, augment or (), rules) for v in broken)
        broken = tuple(
            replace(v, message=f"{v.message}; {text}") for v, text in zip(broken, advice, strict=True)
        )
    return Verdict(
        architecture=architecture, plan=plan, analysis=analysis, violations=broken, latency_ms=latency
    )


def _widest(architecture: Architecture, limits: Limits) -> int:
    """The largest width whose size meets the limits, or the smallest where none does.

    Only widths that make a network count, see `_largest_width`.
    """
    size = Limits(params_below=limits.params_below, macs_below=limits.macs_below)
    if size.checks_nothing():
        raise ConfigError(
            "model.width: auto needs a limit on the size; set limits.params_below or limits.macs_below, "
            "or give a number"
        )
    low, high = 1, 2  # the size never falls with the width: `low` fits or is 1
    while high <= WIDEST and _fits(architecture, high, size):
        low, high = high, min(2 * high, WIDEST + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(architecture, middle, size) else (low, middle)
    found = _largest_width(architecture, low)
    if not found and high > WIDEST:
        try:
            replace(architecture, width=16).plan()
        except ConfigError as error:
            raise ConfigError(
                f"model.width: auto finds no width from 1 to {WIDEST} that makes a network; "
                f"with width=16, {error}"
            ) from error
    return found or min(high, WIDEST)


def _fits(architecture: Architecture, width: int, size: Limits) -> bool:
    """Whether the widest network of at most `width` keeps to `size`; true where there is no network."""
    width = _largest_width(architecture, width)
    return not width or not violations(analyse(replace(architecture, width=width).plan()), size)


def _largest_width(architecture: Architecture, width: int) -> int:
    """The largest width up to `width` that makes a network; 0 where there is none.

    Groups have to divide the channels, and a block of a user's own may ask for what it likes.
    """
    any_channels = all(type(variant) in ANY_CHANNELS for variant in architecture.variants())
    if any_channels and architecture.head != "none":  # which asks for a C4 of ten channels
        return width
    for narrower in range(width, 0, -1):
        with contextlib.suppress(ConfigError):
            replace(architecture, width=narrower).plan()
            return narrower
    return 0


def _repair(
    rule: str,
    architecture: Architecture,
    limits: Limits,
    augment: Collection[str],
    broken: set[str],
) -> str:
    """What fixes `rule` and breaks no other: one change, or one and a narrower width."""
    if rule == "latency":
        return _faster(architecture, limits)
    if rule == "augment":
        settings = lacking(limits, augment).items()
        return " ".join(f"augment.{name}.{setting}" for name, setting in settings) + " fits"
    neighbours = list(_neighbours(architecture))
    narrower = _narrower(architecture, limits)
    if rule in SIZE_RULES and narrower:
        neighbours.insert(0, (f"width={narrower.width}", narrower))
    for change, neighbour in neighbours:
        if _fixes(rule, neighbour, limits, broken):
            return f"{change} fits"
    for change, neighbour in neighbours:
        narrower = _narrower(neighbour, limits)
        if narrower and _fixes(rule, narrower, limits, broken):
            return f"{change} width={narrower.width} fits"
    return "no single change fixes it: start from model=c1c2c3c4 width=auto, or change the limit"


def _faster(architecture: Architecture, limits: Limits) -> str:
    """What to type for the widest of the same that is fast enough, by a measurement for each halving."""
    from cifar_arch.latency import latency_ms

    if not isinstance(architecture.width, int):
        return "leave layers out, or give them fewer channels"
    low, high = 0, architecture.width
    while high - low > 1:
        middle = (low + high) // 2
        width = _largest_width(architecture, middle)
        if width and too_slow(latency_ms(replace(architecture, width=width).plan()), limits):
            high = width
        else:
            low = middle
    width = _largest_width(architecture, low)
    shallower = "try depth=1, or " * (max(architecture.depths) > 1)
    return f"width={width} fits" if width else f"no width is fast enough: {shallower}change the limit"


def _fixes(rule: str, neighbour: Architecture, limits: Limits, broken: set[str]) -> bool:
    try:
        left = {violation.rule for violation in violations(analyse(neighbour.plan()), limits)}
    except ConfigError:
        return False
    return rule not in left and left <= broken


def _narrower(architecture: Architecture, limits: Limits) -> Architecture | None:
    """The same with the widest width that meets the limits on the size, where that is a change."""
    if not isinstance(architecture.width, int):
        return None
    try:
        width = _widest(architecture, limits)
    except ConfigError:  # no limit, or at another width it is no network, with head=none say
        return None
    return replace(architecture, width=width) if width < architecture.width else None


def _neighbours(architecture: Architecture) -> Iterator[tuple[str, Architecture]]:
    """Architectures one change away, smallest change first, each with what to type for it.

    Later transitions before earlier ones: a dilated one costs least accuracy there (docs/findings.md).

    Parts written out or with fields set by hand stay: choosing another option there would not
    take those fields away.
    """
    for name in reversed(TRANSITIONS):
        now = getattr(architecture, name)
        if isinstance(now, Downsampler) and _usual(now, separable=now.separable):
            also = f" model.{name}.separable=true" if now.separable else ""
            for kind, downsampler in OFFERED.items():
                other = downsampler(separable=now.separable)
                yield f"{name}={kind}{also}", replace(architecture, **{name: other})
    for name in reversed(STAGES):
        block = getattr(architecture, name)
        if isinstance(block, Unit) and _usual(
            block, layers=2 if block.residual else 1, residual=block.residual
        ):
            for form in sorted(FORMS, key=lambda form: FORMS[form].residual != block.residual):
                yield f"{name}={form}", replace(architecture, **{name: FORMS[form]})
    depths = architecture.depths
    stages = () if architecture.width is None else (3, 2, 1, 0)  # a network written out has no depth
    for index in stages:
        for step in (1, -1):
            changed = (*depths[:index], depths[index] + step, *depths[index + 1 :])
            if 1 <= changed[index] <= DEEPEST:
                text = str(list(changed)).replace(" ", "")
                yield f"depth={text}", replace(architecture, depth=changed)
    for head in sorted(get_args(Head)):  # conv before linear, which limits may forbid
        yield f"model.head={head}", replace(architecture, head=head)


def _usual(part: Unit | Downsampler, **chosen: Any) -> bool:
    """Whether its fields are what its kind has by itself, but for the chosen ones."""
    fields = structs.fields(part)
    return all(getattr(part, f.name) == chosen.get(f.name, f.default) for f in fields)
