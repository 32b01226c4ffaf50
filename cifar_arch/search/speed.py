"""How fast this machine trains: measured once, remembered in the user's cache folder."""

import json
import os
import platform
import time
from pathlib import Path

from cifar_arch.device import cores
from cifar_arch.runfolder import atomic

SECONDS = 2.0  # of training steps


def training_speed() -> float:
    """Multiply-adds of the forward pass, of the default network, that a second of training goes through."""
    file = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "cifar_arch", "speed.json")
    known = _known(file)
    if (machine := _machine()) not in known:
        known[machine] = _measured()
        try:
            with atomic(file) as temporary:
                temporary.write_text(json.dumps(known, indent=2), encoding="utf-8")
        except OSError:  # it is measured again the next time
            pass
    return known[machine]


def _known(file: Path) -> dict[str, float]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return {str(machine): float(speed) for machine, speed in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none yet, or damaged
        return {}


def _machine() -> str:
    """What decides the speed: a home folder may be shared by many machines."""
    from importlib.metadata import version

    return f"{platform.node()}, {cores()} cores, torch {version('torch')}"


def _measured() -> float:
    import torch

    from cifar_arch.analysis import analyse
    from cifar_arch.compose import compose
    from cifar_arch.device import execution
    from cifar_arch.experiment import Experiment
    from cifar_arch.network import build
    from cifar_arch.training import prepared, training_step

    experiment = Experiment.from_dict(compose())
    recipe, plan = experiment.training, experiment.model.plan()
    how = execution(recipe)
    torch.set_num_threads(how.threads)
    state = prepared(build(plan), recipe, (125.0,) * 3, (60.0,) * 3, 1_000_000, how)
    step = training_step(state, recipe)
    images = torch.zeros(recipe.batch_size, 3, 32, 32, dtype=torch.uint8, device=how.device)
    labels = torch.zeros(recipe.batch_size, dtype=torch.long, device=how.device)
    for _ in range(5):  # the first ones choose their kernels
        loss, _ = step(images, labels)
    float(loss)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        loss, _ = step(images, labels)
        float(loss)  # a GPU has done it then
        steps += 1
    return steps * recipe.batch_size * analyse(plan).macs / (time.perf_counter() - start)
