from typing import Any

import pytest

from cifar_arch.recipe import Recipe
from cifar_arch.schema import ConfigError, checked


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, r"training\.epochs: .* at least 1, got 0"),
        ({"epochs": "many"}, r"training\.epochs: expected an integer .* got 'many'"),
        ({"batch_size": -1}, r"training\.batch_size: .* at least 1, got -1"),
        ({"lr": 0}, r"training\.lr: .* above 0 and at most 1000, got 0"),
        ({"lr": float("inf")}, r"training\.lr: .* above 0 and at most 1000, got inf"),
        ({"lr": float("nan")}, r"training\.lr: .* above 0 and at most 1000, got nan"),
        ({"warmup": -0.1}, r"training\.warmup: .* at least 0 and below 1, got -0\.1"),
        ({"weight_decay": -1}, r"training\.weight_decay: .* at least 0 and at most 1000, got -1"),
        ({"momentum": 1}, r"training\.momentum: .* below 1\S*, got 1"),
        ({"optimizer": "lamb"}, r"training\.optimizer: .*adamw, muon, sgd, got 'lamb'"),
        ({"schedule": "step"}, r"training\.schedule: .*cosine, linear, onecycle, got 'step'"),
        ({"device": "tpu"}, r"training\.device: .*auto, cpu, cuda, mps, got 'tpu'"),
        ({"clip": float("inf")}, r"training\.clip: .* at most 1000 or null, got inf"),
        ({"threads": 0}, r"training\.threads: .* at least 1 and at most 1024 or auto, got 0"),
        ({"threads": 10**20}, r"training\.threads: .* at most 1024 or auto, got 1"),
        ({"clip": 0}, r"training\.clip: .* above 0 and at most 1000 or null, got 0"),
        (
            {"cycle_momentum": [0.8, 0.9], "schedule": "cosine"},
            r"training\.cycle_momentum: only .*onecycle cycles it, got cosine",
        ),
        (
            {"schedule": "onecycle", "cycle_momentum": [0.95, 0.85]},
            r"training\.cycle_momentum: the lower one comes first, got \[0\.95, 0\.85\]",
        ),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checked(Recipe, fields, "training")
