"""The static numbers against the built thing: parameters, receptive field, multiply-adds, shapes."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from architectures import Drawn, architecture, convs, drawn
from conftest import cases
from hypothesis import given
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cifar_arch.analysis import analyse
from cifar_arch.blocks import BLOCKS, Blueprint, Custom, Dilated, Inverted, Plain, Separable
from cifar_arch.compose import compose
from cifar_arch.downsample import DOWNSAMPLERS
from cifar_arch.layers import IMAGE_SIZE, Activation, GlobalPool, Linear, Plan, Section, Shuffle
from cifar_arch.network import ACTIVATIONS, Normalised, SqueezeExcite, build
from cifar_arch.overrides import CONF
from cifar_arch.spec import Architecture

EVERY_CUSTOM = convs({"out": 4, "bias": True}, {"depthwise": True, "after": ["norm", "dropout"]})
ENTRIES: dict[str, dict[str, Any]] = {
    **{f"c2={kind}": {"c2": block()} for kind, block in BLOCKS.items() if block is not Custom},
    **{f"t2={kind}": {"t2": kind()} for kind in DOWNSAMPLERS.values() if kind is not Custom},
    "c2=custom": {"c2": EVERY_CUSTOM},
    "t2=custom": {"t2": convs({"out": 4, "stride": 2})},
    "sums": {"c2": Plain(layers=2, residual=True), "c3": Dilated(layers=2, residual=True)},
    "even kernels": {"c2": convs({"out": 3, "kernel": 4, "dilation": 2}, {"kernel": 2})},
    "head=conv": {"head": "conv"},
    "squeeze": {"c2": Inverted(squeeze=4, residual=True), "c3": Plain(squeeze=2, preactivation=True)},
    "kernels": {"c2": Separable(kernel=7, multiplier=2), "c4": Blueprint(kernel=5, dilation=2)},
    "stem=1": {"stem": 1},
    "stem=3": {"stem": 3, "c1": Plain(residual=True)},
    "depths": {"depth": (2, 1, 3, 1), "c4": Separable(layers=2, dilation=2)},
}
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
PLANS = [
    *(pytest.param(architecture(**changes).plan(), id=name) for name, changes in ENTRIES.items()),
    *(
        pytest.param(Architecture.from_dict(compose([f"model={name}"])["model"]).plan(), id=name)
        for name in MODELS
    ),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Such small work only waits for a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def on_meta(plan: Plan) -> nn.Module:
    with torch.device("meta"):
        return build(plan).eval()


def counted_params(plan: Plan) -> int:
    return sum(p.numel() for p in on_meta(plan).parameters() if p.requires_grad)


@torch.no_grad()
def counted_macs(plan: Plan) -> int:
    network = build(plan).eval()  # not on the meta device, where a forward pass is four times slower
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, IMAGE_SIZE, IMAGE_SIZE))
    return counter.get_total_flops() // 2


def gradient_extent(plan: Plan, expected: int, *, square: bool) -> int:
    """Columns of pixels that a unit in the centre of the last map before pooling depends on.

    All weights are positive, so that no gradient vanishes or cancels out. Kernels are square: a
    strip as high as the real images tells as much as a square image that clips nothing either way.
    """
    trunk = [layer for section in plan for layer in section.layers]
    trunk = [layer for layer in trunk if not isinstance(layer, GlobalPool | Linear)]
    network = build((Section(name="trunk", layers=tuple(trunk)),)).double().eval()
    for p in network.parameters():
        p.requires_grad_(False).fill_(1 / p[0].numel() if p.ndim > 1 else 1)
    for module in network.modules():
        if isinstance(module, SqueezeExcite):  # its means of whole maps are not counted, see analysis.py
            module.gate.register_forward_hook(lambda _module, _input, factors: factors.detach())
    width = max(IMAGE_SIZE, expected) + 4 * 32  # so that the field stays clear of the border
    height = width if square else IMAGE_SIZE
    image = torch.ones(1, 3, height, width, dtype=torch.float64, requires_grad=True)
    last = network(image)  # (1, C, H, W)
    last[0, 0, :, last.shape[3] // 2].sum().backward()
    assert image.grad is not None
    columns = image.grad[0].sum((0, 1)).nonzero()
    assert 0 < columns.min() <= columns.max() < width - 1, "clipped by the border"
    return int(columns.max() - columns.min()) + 1


def counts_agree(plan: Plan) -> None:
    a = analyse(plan)
    assert (a.params, a.macs) == (counted_params(plan), counted_macs(plan))


def field_agrees(plan: Plan, *, square: bool) -> None:
    field = analyse(plan).receptive_field
    assert gradient_extent(plan, field, square=square) == field


@pytest.mark.parametrize("plan", PLANS)
def test_parameters_and_multiply_adds_are_those_of_torch(plan: Plan) -> None:
    counts_agree(plan)


@pytest.mark.parametrize("plan", PLANS)
def test_the_receptive_field_is_the_support_of_the_gradient(plan: Plan) -> None:
    field_agrees(plan, square=True)


@cases(10)
@given(drawn())
def test_the_numbers_of_random_draws_agree(draw: Drawn) -> None:
    counts_agree(draw.plan)
    field_agrees(draw.plan, square=False)


@pytest.mark.slow
@cases(200)
@given(drawn())
def test_the_numbers_of_many_random_draws_agree(draw: Drawn) -> None:
    counts_agree(draw.plan)
    field_agrees(draw.plan, square=False)


def shapes_by_hooks(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Output shape of every module, without the batch, by the name that its row has."""
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: torch.Tensor) -> None:
        found[name.replace("_", ".").replace(".body.", ".")] = tuple(output.shape[1:])

    for name, module in network.named_modules():
        module.register_forward_hook(lambda _m, _i, output, name=name: note(name, output))
    network(torch.empty(2, 3, IMAGE_SIZE, IMAGE_SIZE, device="meta"))
    return found


@pytest.mark.parametrize("plan", PLANS)
def test_shape_of_every_row(plan: Plan) -> None:
    found = shapes_by_hooks(on_meta(plan))
    for row in analyse(plan).layers:
        section, _, layer = row.name.rpartition(".")
        assert found[f"{section}.{layer}"] == row.out_shape, row.name


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_activation_is_the_one_of_torch(name: Any) -> None:
    network = build((Section(name="c1", layers=(Activation(function=name),)),))
    x = torch.tensor([-2.0, 0.5])
    assert torch.equal(network(x), getattr(nn.functional, name)(x))


def test_a_sum_adds_its_input() -> None:
    plan = architecture(c2=Plain(residual=True)).plan()
    block = build(plan).get_submodule("c2_1.sum1").eval()
    x = torch.rand(1, 8, 4, 4)
    assert torch.equal(block(x), x + block.get_submodule("body")(x))


def test_a_squeeze_and_excitation_multiplies_each_channel_by_a_factor() -> None:
    module = SqueezeExcite(4, 2)
    x = torch.rand(3, 4, 5, 5)
    factors = module(x) / x
    assert torch.allclose(factors, factors[:, :, :1, :1].expand_as(factors))
    means = x.mean((2, 3))
    first, second = (part for part in module.gate if isinstance(part, nn.Conv2d))
    hidden = nn.functional.linear(means, first.weight.flatten(1), first.bias).relu()
    wanted = nn.functional.linear(hidden, second.weight.flatten(1), second.bias).sigmoid()
    assert torch.allclose(factors[:, :, 0, 0], wanted, atol=1e-6)


def test_a_shuffle_brings_channels_of_every_group_together() -> None:
    network = build((Section(name="c1", layers=(Shuffle(channels=6, groups=2),)),))
    assert network(torch.arange(6.0).view(1, 6, 1, 1)).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_a_shuffle_asks_mps_for_no_kernel_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnMps(torch.Tensor):
        device = torch.device("mps")

    monkeypatch.setattr(nn.functional, "channel_shuffle", None)
    network = build((Section(name="c1", layers=(Shuffle(channels=6, groups=2),)),))
    given = torch.arange(6.0).view(1, 6, 1, 1).as_subclass(OnMps)
    assert network(given).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_normalised_takes_pixels_of_any_type() -> None:
    network = Normalised(nn.Identity(), (10, 20, 30), (2, 4, 5))
    pixels = torch.tensor([12, 12, 40], dtype=torch.uint8).view(1, 3, 1, 1)
    assert network(pixels).flatten().tolist() == [1, -2, 2]
    assert set(network.state_dict()) == {"mean", "std"}
