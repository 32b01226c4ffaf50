"""Trains every feasible point of a small space on the synthetic data set and keeps its curve.

    python benchmarks/record_table.py                 about half an hour on one core

Writes benchmarks/recorded_table.json, on which search_quality.py replays searches in seconds. Goes on
where it was interrupted. The best point is trained with four more seeds, for the spread over seeds.
"""

import itertools
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from cifar_arch.compose import compose
from cifar_arch.data import load
from cifar_arch.experiment import Experiment
from cifar_arch.feasibility import judge
from cifar_arch.network import build
from cifar_arch.runfolder import atomic
from cifar_arch.training import random_seed, train

TABLE = Path(__file__).with_name("recorded_table.json")
SPACE: dict[str, list[Any]] = {
    "block@model.c2": ["plain_residual", "separable_residual"],
    "block@model.c3": ["dilated", "dilated_residual", "separable_residual"],
    "block@model.c4": ["plain", "separable", "separable_residual"],
    "downsample@model.t1": ["strided", "dilated"],
    "downsample@model.t2": ["strided", "dilated"],
    "model.width": [6, 10],
}
RECIPE = ["data=shapes", "data.validation=3000", "training=quick", "training.epochs=8", "training.device=cpu"]
SEEDS = range(1, 5)  # of the best point, besides 0


def main() -> None:
    torch.set_num_threads(1)
    recorded: dict[str, Any] = {"space": SPACE, "recipe": RECIPE, "points": []}
    if TABLE.exists():
        recorded = json.loads(TABLE.read_text(encoding="utf-8"))
    known = {(tuple(p["values"]), p["seed"]) for p in recorded["points"]}
    for values in itertools.product(*SPACE.values()):
        if (values, 0) not in known and (row := measured(values, 0)):
            keep(recorded, row)
    best = max((p for p in recorded["points"] if p["seed"] == 0), key=lambda p: p["curve"][-1])
    for seed in SEEDS:
        if (tuple(best["values"]), seed) not in known:
            keep(recorded, measured(tuple(best["values"]), seed))


def measured(values: tuple[Any, ...], seed: int) -> dict[str, Any] | None:
    """The curve of validation accuracies of a point; None for one outside the limits."""
    point = [f"{key}={value}" for key, value in zip(SPACE, values, strict=True)]
    experiment = Experiment.from_dict(compose([*RECIPE, *point, f"seed={seed}"]))
    verdict = judge(experiment.model, experiment.limits, experiment.augment.active())
    if not verdict.ok:
        return None
    random_seed(seed)
    network = build(verdict.plan)
    pictures = load(experiment.data)
    result = train(network, pictures, experiment.training, augment=experiment.augment, seed=seed)
    curve = [row.val_accuracy for row in result.history]
    return {"values": values, "seed": seed, "params": verdict.analysis.params, "curve": curve}


def keep(recorded: dict[str, Any], row: dict[str, Any] | None) -> None:
    assert row is not None
    recorded["points"].append(row)
    with atomic(TABLE) as temporary:
        temporary.write_text(json.dumps(recorded, indent=1), encoding="utf-8")
    print(len(recorded["points"]), *row["values"], f"{row['curve'][-1]:.2%}", flush=True)


if __name__ == "__main__":
    main()
