from typing import Any

import numpy as np
import pytest
import torch
from conftest import python, tiny_architecture
from msgspec.structs import replace
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from cifar_arch.network import build
from cifar_arch.optim import Average, build_optimizer, build_schedule
from cifar_arch.recipe import Recipe
from cifar_arch.spec import Architecture


def network(**changes: Any) -> nn.Module:
    return build(Architecture.from_dict(tiny_architecture(**changes)).plan())


def settings_by_step(schedule: LRScheduler, name: str, steps: int) -> list[float]:
    """The optimizer's setting `name` before each step, and the one that would follow the last."""
    seen = [schedule.optimizer.param_groups[0][name]]
    for _ in range(steps):
        schedule.optimizer.step()
        schedule.step()
        seen.append(schedule.optimizer.param_groups[0][name])
    return seen


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weight_decay_spares_norms_and_biases(optimizer: Any) -> None:
    net = network(c2={"kind": "custom", "convs": [{"out": 4, "bias": True}]})
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    stepper = build_optimizer(net, Recipe(optimizer=optimizer, weight_decay=0.1, lr=0.1))
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    stepper.step()
    moved = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if before[name].ndim > 1}
    assert any("norm" in name for name in before.keys() - moved)
    assert any("conv" in name and "bias" in name for name in before.keys() - moved)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.25, 0.3, 0.5, 0.99])
def test_the_learning_rate_peaks_at_the_warm_up_share_and_ends_near_0(
    schedule: Any, steps: int, warmup: float
) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    recipe = Recipe(schedule=schedule, lr=0.4, warmup=warmup)
    rates = settings_by_step(build_schedule(optimizer, recipe, steps), "lr", steps)
    assert all(0 <= rate <= 0.4 + 1e-12 for rate in rates)
    assert rates[-1] < 0.4 * 0.01
    if steps == 100:
        peak = int(np.argmax(rates))
        assert max(rates) > 0.39
        assert abs(peak - 100 * warmup) <= 1
        assert rates[: peak + 1] == sorted(rates[: peak + 1])
        assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_momentum_cycles_against_the_learning_rate() -> None:
    recipe = Recipe(optimizer="sgd", schedule="onecycle", cycle_momentum=(0.85, 0.95), warmup=0.3)
    schedule = build_schedule(build_optimizer(network(), recipe), recipe, 100)
    momenta = settings_by_step(schedule, "momentum", 100)
    assert [momenta[0], min(momenta), momenta[-1]] == pytest.approx([0.95, 0.85, 0.95], abs=1e-3)
    assert abs(int(np.argmin(momenta)) - 30) <= 1


def test_muon_is_not_captured_where_its_momentum_cycles() -> None:
    recipe = Recipe(optimizer="muon", schedule="onecycle", cycle_momentum=(0.85, 0.95))
    for made, captured in ((recipe, False), (replace(recipe, cycle_momentum=None), True)):
        assert bool(build_optimizer(network(), made, captured=True).captured) is captured  # type: ignore[attr-defined]


@pytest.mark.parametrize("ema", [0.5, 0.998])
def test_the_average_starts_as_a_short_one_and_grows_to_the_decay(ema: float) -> None:
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, ema)
    expected = 0.0
    for step in range(20):
        with torch.no_grad():
            model.weight.fill_(step)
        average.update()
        keep = min(ema, (1 + step) / (10 + step)) if step else 0.0
        expected = keep * expected + (1 - keep) * step
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)  # type: ignore[operator]


def test_the_average_copies_counters_as_they_are() -> None:
    model = nn.BatchNorm2d(1)
    average = Average(model, 0.9)
    for _ in range(3):
        model(torch.zeros(2, 1, 2, 2))
        average.update()
    assert average.module.state_dict()["num_batches_tracked"] == 3


@pytest.mark.slow
def test_a_training_with_muon_does_not_wait_for_the_compiler_to_be_imported() -> None:
    code = (
        "import sys, torch\n"
        "from cifar_arch.optim import build_optimizer, build_schedule\n"
        "from cifar_arch.recipe import Recipe\n"
        "net = torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 3) for _ in range(3)))\n"
        "recipe = Recipe(optimizer='muon', schedule='linear')\n"
        "optimizer = build_optimizer(net, recipe)\n"
        "schedule = build_schedule(optimizer, recipe, 9)\n"
        "net(torch.ones(1, 3, 9, 9)).sum().backward()\n"
        "optimizer.step(); schedule.step(); optimizer.zero_grad()\n"
        "optimizer.load_state_dict(optimizer.state_dict())\n"
        "print('torch._dynamo' in sys.modules)"
    )
    assert python(code).stdout == "False\n"


def test_a_momentum_that_cycles_at_nothing_is_no_mistake() -> None:
    recipe = Recipe(optimizer="sgd", schedule="onecycle", cycle_momentum=(0.0, 0.0))
    optimizer = build_optimizer(network(), recipe)
    assert not optimizer.param_groups[0]["nesterov"]


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "linear"])
def test_each_group_has_its_own_rate(schedule: Any) -> None:
    recipe = Recipe(optimizer="muon", schedule=schedule, lr=0.03, sgd_lr=0.2, warmup=0.5)
    optimizer = build_optimizer(network(), recipe)
    plan = build_schedule(optimizer, recipe, 20)
    seen = []
    for _ in range(20):
        optimizer.step()
        plan.step()
        seen.append([group["lr"] for group in optimizer.param_groups])
    assert np.max(seen, 0) == pytest.approx([0.03, 0.2, 0.2], rel=0.05)


def test_adamw_has_the_momentum_as_its_first_moment() -> None:
    groups = build_optimizer(network(), Recipe(optimizer="adamw", momentum=0.8)).param_groups
    assert {group["betas"] for group in groups} == {(0.8, 0.999)}
