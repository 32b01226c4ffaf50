"""Run folders written by code, so that the truth behind a report is known."""

import copy
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from cifar_arch.analysis import analyse
from cifar_arch.compose import compose
from cifar_arch.feasibility import judge
from cifar_arch.limits import Limits
from cifar_arch.provenance import flatten
from cifar_arch.record import Status
from cifar_arch.report import load_runs
from cifar_arch.runfolder import RunFolder
from cifar_arch.spec import Architecture

Changes = dict[str, Any]
_BASE: dict[str, Any] = {}


def config(**changes: Any) -> dict[str, Any]:
    """The default config on the synthetic data set; keys in `changes` have __ for a dot.

    c2="plain_residual" and t1="dilated" are written out as the command line does.
    """
    if not _BASE:
        _BASE.update(compose(["data=shapes", "training=quick"]))
    made = copy.deepcopy(_BASE)
    made["trial"] = {"number": None, "id": None}
    for key, value in changes.items():
        if len(key) == 2 and key[0] in "ct":
            kind, _, residual = value.partition("_")
            block = {"kind": kind}
            if key[0] == "c":
                block |= {"layers": 2 if residual else 1, "residual": bool(residual)}
            made["model"][key] = block
            continue
        *path, name = ("model", key) if key in ("width", "depth") else key.split("__")
        node = made
        for part in path:
            node = node[part]
        node[name] = value
    return made


def write_run(
    path: Path,
    accuracy: float | None = 0.5,
    *,
    status: Status = Status.COMPLETED,
    test: float | None = None,
    pictures: str = "cifar10",
    epochs: int = 3,
    **changes: Any,
) -> RunFolder:
    """A folder as `experiment.run` leaves it, but for weights and pictures."""
    folder, made = RunFolder(path), config(data__name=pictures, **changes)
    limits = Limits(params_below=200_000)
    verdict = judge(Architecture.from_dict(made["model"]), limits, repairs=False)
    a, spec = verdict.analysis, verdict.architecture.to_dict()
    folder.path.mkdir(parents=True)
    # Without the waiting for the disk that `RunFolder` does.
    folder.architecture.write_text(json.dumps({"spec": spec, **verdict.to_dict()}), encoding="utf-8")
    done = epochs if status == Status.COMPLETED else 1
    if accuracy is not None and status != Status.REJECTED:
        _write_metrics(folder, accuracy, done, epochs)
    summary = {
        "status": status,
        "reason": None if status == Status.COMPLETED else f"it was {status}",
        "command": f"python -m cifar_arch.run hydra.run.dir={path.name}",
        "seed": made["seed"],
        "config": dict(flatten(made)),
        "architecture": verdict.architecture.key(),
        **{"params": a.params, "macs": a.macs, "receptive_field": a.receptive_field},
        "receptive_field_with_pooling": a.receptive_field_with_pooling,
        "data": pictures,
        "target_accuracy": 0.85,
        "reaches_target": None if test is None or pictures == "shapes" else test >= 0.85,
        **{"epochs": epochs, "epochs_done": done, "device": "cpu", "seconds": 12.5},
        **{"val_accuracy": accuracy, "test_accuracy": test},
    }
    folder.summary.write_text(json.dumps(summary), encoding="utf-8")
    return folder


def _write_metrics(folder: RunFolder, accuracy: float, done: int, epochs: int) -> None:
    lines = ["epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy,seconds,images_per_second"]
    for part in (n / epochs for n in range(1, done + 1)):
        row = (0.1, 2 - part, part / 3, 2 - part, accuracy * part, 1.5, 900.0)
        lines.append(",".join(map(str, (len(lines), *row))))
    folder.metrics.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_sweep(
    outputs: Path,
    study: str,
    space: dict[str, list[Any]],
    truth: Callable[[Changes], float],
    *,
    noise: float = 0.0,
    seeds: tuple[int, ...] = (0,),
    **fixed: Any,
) -> int:
    """Every point of `space` with every seed, its accuracy drawn around the `truth`; how many."""
    rng, number = random.Random(0), 0
    for values in itertools.product(*space.values()):
        point = dict(zip(space, values, strict=True))
        for seed in seeds:
            write_run(
                outputs / "sweeps" / study / str(number),
                truth(point) + rng.gauss(0, noise),
                study=study,
                trial__number=number,
                seed=seed,
                **{**fixed, **point},
            )
            number += 1
    return number


def load_small_sweep(place: Path) -> pd.DataFrame:
    """The table of 8 runs in `place`; their folders have short names, the same everywhere."""
    space: dict[str, list[Any]] = {
        "t1": ["strided", "dilated"],
        "c4": ["plain", "separable_residual"],
        "width": [8, 12],
    }
    write_sweep(place / "outputs", "s", space, lambda p: 0.5 + 0.01 * p["width"])
    runs = load_runs(place / "outputs")
    return runs.assign(folder=[f"outputs/sweeps/s/{trial}" for trial in runs["trial"]])


def parameters(**changes: Any) -> int:
    """Trainable parameters of the network that `changes` give."""
    return analyse(Architecture.from_dict(config(**changes)["model"]).plan()).params


def edit_summary(folder: RunFolder, **changes: Any) -> None:
    summary = json.loads(folder.summary.read_text(encoding="utf-8"))
    folder.summary.write_text(json.dumps({**summary, **changes}), encoding="utf-8")
