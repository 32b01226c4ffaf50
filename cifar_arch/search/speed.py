"""How fast this machine trains a network: measured once, remembered in the user's cache folder.

Measured on the network that is asked about: small and large ones differ threefold in the multiply-adds
that a second goes through.
"""

import contextlib
import hashlib
import json
import os
import platform
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from cifar_arch.device import cores
from cifar_arch.layers import Plan, content_key
from cifar_arch.recipe import Recipe
from cifar_arch.runfolder import atomic

SECONDS = 2.0  # of training steps


class Speed(NamedTuple):
    images: float  # that a second of training steps goes through
    busy: bool  # whether other programs took a part of the machine meanwhile


def training_speed(plan: Plan, recipe: Recipe) -> Speed:
    """How fast a network trains on the device that is here, not compiled.

    What was measured beside other programs, which may be a hundredth of the speed, is not remembered.
    """
    recipe = replace(recipe, device="auto", compile="auto")  # what is previewed may be for another machine
    file = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "cifar_arch", "speed.json")
    known = _known(file)
    content = hashlib.sha256(msgspec.json.encode([content_key(plan), recipe])).hexdigest()[:16]
    if (what := f"{_machine()}, training {content}") in known:
        return Speed(known[what], busy=False)
    busy = _busy()
    known[what] = _measured(plan, recipe)
    if not busy:
        with contextlib.suppress(OSError), atomic(file) as temporary:  # else it is measured the next time
            temporary.write_text(json.dumps(known, indent=2), encoding="utf-8")
    return Speed(known[what], busy)


def _busy() -> bool:
    """Whether more than half of the machine's cores computed in the last minute."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1) / 2


def _known(file: Path) -> dict[str, float]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return {str(what): float(speed) for what, speed in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none yet, or damaged
        return {}


def _machine() -> str:
    """What decides the speed: a home folder may be shared by many machines."""
    from importlib.metadata import version

    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")  # "": none of those that are here
    shown = "" if gpus is None else f", GPUs {gpus!r}"
    return f"{platform.node()}, {cores()} cores, torch {version('torch')}{shown}"


def _measured(plan: Plan, recipe: Recipe) -> float:
    import torch

    from cifar_arch.device import choose_execution
    from cifar_arch.network import build
    from cifar_arch.training import build_state, training_step

    execution = choose_execution(recipe)
    torch.set_num_threads(execution.threads)
    state = build_state(build(plan), recipe, (125.0,) * 3, (60.0,) * 3, 1_000_000, execution)
    step = training_step(state)
    images = torch.zeros(recipe.batch_size, 3, 32, 32, dtype=torch.uint8, device=execution.device)
    labels = torch.zeros(recipe.batch_size, dtype=torch.long, device=execution.device)
    for _ in range(5):  # the first ones choose their kernels
        loss, _ = step(images, labels)
    float(loss)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        loss, _ = step(images, labels)
        float(loss)  # a GPU has done it then
        steps += 1
    return steps * recipe.batch_size / (time.perf_counter() - start)
