"""Architecture + limits -> verdict: solves `width=auto`, knows the smallest repair of a violation."""

from collections.abc import Collection, Iterator
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from cifar_arch.analysis import Analysis, analyse
from cifar_arch.blocks import BLOCKS, Block, Unit
from cifar_arch.downsample import DOWNSAMPLERS
from cifar_arch.limits import Limits, Violation, violations
from cifar_arch.schema import ConfigError
from cifar_arch.spec import Architecture

WIDEST = 4096  # channels; no search for a width goes beyond


class Verdict(Struct, frozen=True, kw_only=True):
    """An architecture with its width solved, its analysis, and every rule that it breaks."""

    architecture: Architecture
    analysis: Analysis
    violations: tuple[Violation, ...]

    @property
    def ok(self) -> bool:
        return not self.violations

    def to_dict(self) -> dict[str, Any]:
        """The content of `check --json`."""
        a = self.analysis
        return {
            "ok": self.ok,
            "params": a.params,
            "macs": a.macs,
            "receptive_field": a.receptive_field,
            "receptive_field_with_pooling": a.receptive_field_with_pooling,
            "layers": to_builtins(a.layers),
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

    `augment` names the transforms that are on (None: not looked at). Raises ConfigError where the
    architecture cannot be planned at all.
    """
    if architecture.width == "auto":
        architecture = replace(architecture, width=_widest(architecture, limits))
    analysis = analyse(architecture.plan())
    broken = violations(analysis, limits, augment)
    if repairs:
        broken = tuple(_with_repair(violation, architecture, limits, broken) for violation in broken)
    return Verdict(architecture=architecture, analysis=analysis, violations=broken)


def _widest(architecture: Architecture, limits: Limits) -> int:
    """The largest width whose parameters keep the limit, or 1 where none does."""
    if limits.params_below is None:
        raise ConfigError(
            "model.width: auto needs a limit on parameters; set limits.params_below or give a number"
        )
    low, high = 1, 2  # parameters never fall with the width: `low` fits or is 1
    while high <= WIDEST and _params(architecture, high) < limits.params_below:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        fits = _params(architecture, middle) < limits.params_below
        low, high = (middle, high) if fits else (low, middle)
    return low


def _params(architecture: Architecture, width: int) -> int:
    return analyse(replace(architecture, width=width).plan()).params


def _with_repair(
    violation: Violation,
    architecture: Architecture,
    limits: Limits,
    broken: tuple[Violation, ...],
) -> Violation:
    if violation.rule == "augment":
        off = violation.message.rpartition(": ")[2].removesuffix(" is off").split(", ")
        advice = " ".join(f"augment.{name}.p=0.25" for name in off) + " fits"
    else:
        advice = _repair(violation.rule, architecture, limits, {v.rule for v in broken})
    return replace(violation, message=f"{violation.message}; {advice}")


def _repair(rule: str, architecture: Architecture, limits: Limits, broken: set[str]) -> str:
    """The first single change that mends `rule` and breaks no other one."""
    for change, neighbour in _neighbours(architecture, limits, rule):
        try:
            left = {v.rule for v in violations(analyse(neighbour.plan()), limits)}
        except ConfigError:
            continue
        if rule not in left and left <= broken:
            return f"{change} fits"
    return "no single change mends it: start from model=c1c2c3c4"


def _neighbours(
    architecture: Architecture, limits: Limits, rule: str
) -> Iterator[tuple[str, Architecture]]:
    """Architectures one change away, smallest change first, each with what to type for it."""
    width = architecture.width
    if rule == "params" and isinstance(width, int) and limits.params_below is not None:
        narrower = _widest(architecture, limits)
        if narrower < width:
            yield f"width={narrower}", replace(architecture, width=narrower)
    for name in ("t1", "t2", "t3"):
        for kind, downsampler in DOWNSAMPLERS.items():
            if kind != "custom":
                yield f"{name}={kind}", replace(architecture, **{name: downsampler()})
    for name in ("c4", "c3", "c2", "c1"):
        for form, block in _forms(getattr(architecture, name)):
            yield f"{name}={form}", replace(architecture, **{name: block})
    depth = architecture.depth
    depths = (depth,) * 4 if isinstance(depth, int) else depth
    for index in (3, 2, 1, 0):
        for step in (1, -1):
            changed = (*depths[:index], depths[index] + step, *depths[index + 1 :])
            if min(changed) > 0:
                text = str(list(changed)).replace(" ", "")
                yield f"depth={text}", replace(architecture, depth=changed)
    for head in ("conv", "linear", "none"):
        yield f"model.head={head}", replace(architecture, head=head)


def _forms(block: Block) -> Iterator[tuple[str, Block]]:
    """The forms of conf/block that keep `block`'s residual sum or its absence."""
    residual = isinstance(block, Unit) and block.residual
    for kind, variant in BLOCKS.items():
        if not issubclass(variant, Unit):
            continue
        if residual:
            yield f"{kind}_residual", variant(layers=2, residual=True)
        else:
            yield kind, variant()
