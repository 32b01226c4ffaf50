"""Which keys of a config decide a result: each key of the default, and of each option, is changed."""

import copy
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution

from cifar_arch.compose import compose
from cifar_arch.latency import measurable
from cifar_arch.overrides import CONF
from cifar_arch.provenance import flatten
from cifar_arch.record import (
    EXECUTION,
    SELECTION,
    decides_result,
    decides_search,
)
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.options import fingerprint
from cifar_arch.search.space import Space

# What is typed to choose an option, the folder of the options, and how the keys begin that they set.
GROUPS = [(name, name, f"{name}.") for name in ("data", "augment", "training", "limits")]
GROUPS += [("downsample", "downsample", "model.t"), ("c2", "block", "model.c2.")]
COMPOSED = [
    ([f"{typed}={path.stem}"], keys)
    for typed, folder, keys in GROUPS
    for path in sorted((CONF / folder).glob("*.yaml"))
]
COMPOSED += [([], ""), (["model=reference"], "")]
# Nothing idle: every transform is on, every stage has equal channels, so that each residual is a sum.
ACTIVE = [f"augment.{name}.p=0.4" for name in compose()["augment"] if name != "backend"]
EQUAL = ["width=4", "model.stem=3", "model.multipliers=[1,1,1,1]"]

# Another valid value where adding 1 to the number, or turning the yes to no, does not give one.
OTHER: dict[str, Any] = {
    "augment.backend": "batch",
    "augment.colour_jitter.hue": 0.1,
    "data.name": "shapes",
    "data.root": "elsewhere",
    "data.workers": 1,
    "downsample.kind": "custom",
    "limits.augment": ["grayscale"],
    "limits.target_accuracy": 0.5,
    "model.activation": "gelu",
    "model.c1.kind": "separable",
    "model.c2.kind": "separable",
    "model.c3.kind": "separable",
    "model.c4.kind": "plain",
    "model.c2.kernel": 5,
    "model.c4.kernel": 5,
    "model.stem": 1,
    "model.head": "conv",
    "model.multipliers": [1, 1, 1, 2],
    "model.t1.kind": "dilated",
    "model.t2.kind": "dilated",
    "model.t3.kind": "dilated",
    "objectives": ["params"],
    "prefer": "smallest",
    "storage": "sqlite:///other.db",
    "study": "other",
    "target": 0.5,
    "training.clip": 1.0,
    "training.compile": True,
    "training.cycle_momentum": [0.8, 0.9],
    "training.device": "cpu",
    "training.optimizer": "adamw",
    "training.precision": "bf16",
    "training.schedule": "cosine",
    "training.sgd_lr": 0.3,
    "training.threads": 3,
}


# Where a config has the value above already.
OPPOSITES = {
    "adamw": "sgd",
    "cosine": "onecycle",
    "dilated": "strided",
    "linear": "onecycle",
    "muon": "sgd",
    "outputs": "elsewhere",
    "separable": "plain",
    "shapes": "cifar10",
}


def other(key: str, value: Any) -> Any:
    """Another value that the key may have."""
    if key in OTHER and OTHER[key] != value:
        return OTHER[key]
    match value:
        case bool():
            return not value
        case int() if key.endswith((".p", ".label_smoothing", ".ema")):  # 0, which stands for off
            return 0.3
        case int():
            return value + 1
        case float():
            return value / 2 + 0.01
        case None:
            return 7
        case []:
            return [1]
        case _:
            return OPPOSITES[value]


def changed(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(config)
    part = made
    *parents, name = key.split(".")
    for parent in parents:
        part = part[parent]
    if name == "kind" and key.startswith("model."):  # its other fields may not be the new kind's
        part.clear()
    part[name] = value
    return made


def cycles_or_cosine(training: dict[str, Any]) -> bool:
    return training["schedule"] != "onecycle" or training["cycle_momentum"] is not None


SPACE = Space({"data.never_swept": CategoricalDistribution([1])})


def marks(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The key by which a run is replayed, and the fingerprint of a sweep."""
    return Candidate.from_dict(config).key, fingerprint(config, SPACE, {}, tuple(config["objectives"]))


@pytest.mark.parametrize(("overrides", "keys"), COMPOSED, ids=str)
def test_every_key_is_classified(overrides: list[str], keys: str) -> None:
    written_out = overrides == ["model=reference"]
    config = compose([*([] if written_out else EQUAL), *overrides, *ACTIVE])
    key, mark = marks(config)
    for name, value in flatten(config):
        if not name.startswith(keys):
            continue
        if written_out and name.startswith("model."):
            continue  # lists of layers, and a width that it refuses: tests/test_spec.py changes those
        if name == "training.resume" or (name == "limits.latency_ms_below" and not measurable()):
            continue  # refused; the other one without its packages
        if name in ("training.schedule", "training.cycle_momentum") and cycles_or_cosine(config["training"]):
            continue  # only onecycle takes a cycle, so that neither has another valid value
        try:
            other_key, other_mark = marks(changed(config, name, other(name, value)))
        except ValueError as error:
            pytest.fail(f"no valid other value for {name}: {error}")
        assert (other_mark != mark) == decides_search(name), name
        assert (other_key != key) == decides_result(name), name


def test_the_two_sets_are_apart() -> None:
    assert not SELECTION & {key.partition(".")[0] for key in EXECUTION}
    assert all(not decides_result(key) and not decides_search(key) for key in EXECUTION)
