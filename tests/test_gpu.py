"""What a GPU needs, without one: tensors of torch's fake mode have a device and a shape, and no content.

Mixed devices raise there, and so does whatever has to wait for a number: `item`, `if tensor`, `nonzero`. The
backward pass does not run, so that gradients are made up. Captured graphs a CPU replays. Tests marked `gpu`
train on a real one.
"""

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import easy_dataset, tiny_architecture
from cpu_graph import emulate
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from cifar_arch import training
from cifar_arch.augment import Augment
from cifar_arch.checkpoint import State
from cifar_arch.cuda_graph import WARM_UP, CapturedGraph, Prefetch
from cifar_arch.data import Dataset
from cifar_arch.device import Execution
from cifar_arch.loader import BatchLoader, make_loader
from cifar_arch.muon import orthogonal
from cifar_arch.network import Normalised, build
from cifar_arch.optim import Average
from cifar_arch.recipe import Recipe
from cifar_arch.record import Epoch
from cifar_arch.schema import checked
from cifar_arch.spec import Architecture
from cifar_arch.training import forward_pass, train

EVERY: dict[str, Any] = {name: {"p": 0.5} for name in Augment.__struct_fields__ if name != "backend"}
RECIPES: dict[str, dict[str, Any]] = {
    "muon": {"optimizer": "muon", "schedule": "linear"},
    "sgd": {"optimizer": "sgd", "clip": 1.0, "label_smoothing": 0.0},
    "adamw": {"optimizer": "adamw", "schedule": "cosine", "lr": 0.01},
}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return easy_dataset(120)


@pytest.fixture
def fake() -> Iterator[None]:
    """Within it CUDA has tensors, though this machine may have no GPU."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def loader_of(dataset: Dataset) -> BatchLoader:
    execution = Execution("cuda", "bf16", 1)
    loader = make_loader(dataset, checked(Augment, EVERY, "augment"), 40, 0, "auto", execution)
    assert isinstance(loader, BatchLoader)
    return loader


def state_of(recipe: Recipe) -> State:
    with torch.device("cuda"):  # a fake module cannot be moved there
        model = Normalised(build(Architecture.from_dict(tiny_architecture()).plan()), (125,) * 3, (60,) * 3)
    return State(model, recipe, 100, Execution("cuda", "bf16", 1))


def test_the_data_set_stays_on_the_device_as_bytes(dataset: Dataset, fake: None) -> None:
    loader = loader_of(dataset)
    assert (loader.images.device.type, loader.images.dtype) == ("cuda", torch.uint8)
    assert loader.images.shape[1:] == (32, 32, 3)  # as a convolution with channels last reads them
    assert loader.labels.device.type == "cuda"


@pytest.mark.parametrize("mixed", [False, True])
def test_batches_are_augmented_there_and_nobody_waits(mixed: bool, dataset: Dataset, fake: None) -> None:
    loader = loader_of(dataset)
    loader.mixing.active = mixed
    for images, labels in loader.epoch(1):
        assert (images.device.type, labels.device.type) == ("cuda", "cuda")
        assert images.shape == (40, 3, 32, 32)
        assert images.dtype == (torch.float32 if mixed else torch.uint8)
        assert labels.shape == ((40, 10) if mixed else (40,))


@pytest.mark.filterwarnings("ignore:CUDA is not available.* Disabling autocast")  # the pass is in float32
@pytest.mark.parametrize("settings", RECIPES.values(), ids=RECIPES)
def test_a_step_stays_on_the_device_and_nobody_waits(
    dataset: Dataset, settings: dict[str, Any], fake: None
) -> None:
    recipe = Recipe(**settings, ema=0)
    state, loader = state_of(recipe), loader_of(dataset)
    images, labels = next(iter(loader.epoch(1)))
    loss, right = forward_pass(state, images, labels)
    assert (loss.device.type, loss.dtype, right.device.type) == ("cuda", torch.float32, "cuda")
    for p in state.model.parameters():
        p.grad = torch.zeros_like(p)
    state.step()


@pytest.mark.parametrize(("native", "products"), [(True, torch.bfloat16), (False, torch.float32)])
def test_muon_multiplies_in_what_the_device_computes(
    native: bool, products: torch.dtype, fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    seen: set[torch.dtype] = set()
    multiply = torch.baddbmm

    def watched(*given: Tensor, **options: float) -> Tensor:
        seen.update(part.dtype for part in given)
        return multiply(*given, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(torch, "baddbmm", watched)
    assert orthogonal(torch.ones(2, 4, 8, device="cuda")).dtype == torch.float32
    assert seen == {products}


def test_the_average_moves_on_the_device_and_nobody_waits() -> None:
    average = Average(torch.nn.BatchNorm2d(3), 0.99)
    assert average.n_averaged.device.type == "cpu"  # where it is looked at in every step
    with FakeTensorMode():
        average.averaged, average.current = ([torch.ones(3, device="cuda")] for _ in range(2))
        average.counters, average.counted = ([torch.ones((), device="cuda").long()] for _ in range(2))
        average.n_averaged = torch.tensor(0)
    average.update()


def test_graphs_that_may_run_at_once_have_streams_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = emulate(monkeypatch)
    graphs = [CapturedGraph(torch.neg) for _ in range(2)]
    for number in range(WARM_UP + 3):
        assert [graph(torch.tensor(number)) for graph in graphs] == [-number, -number]
    assert len({*streams} - {None}) == len(streams) == 2


def test_prefetched_batches_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    emulate(monkeypatch)
    made = Prefetch(lambda x: (x + 1, x + 2))(torch.arange(WARM_UP + 3))
    assert [(int(a), int(b)) for a, b in made] == [(n + 1, n + 2) for n in range(WARM_UP + 3)]


DROPPED = {"kind": "custom", "convs": [{"after": ["norm", "activation", "dropout"]}], "dropout": 0.3}
CYCLED = {"optimizer": "muon", "schedule": "onecycle", "cycle_momentum": (0.8, 0.95)}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(settings, id=name, marks=() if name == "muon" else pytest.mark.slow)
        for name, settings in {**RECIPES, "muon, cycled momentum": CYCLED}.items()
    ],
)
def test_no_number_of_a_captured_step_is_out_of_date(
    dataset: Dataset, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A graph does what it did with the numbers of the step in which it was captured."""
    augment = checked(Augment, EVERY | {"horizontal_flip": {"p": 1.0, "alternate": True}}, "augment")

    def trained(captured: bool, **options: Any) -> list[Tensor]:
        torch.manual_seed(0)
        network = build(Architecture.from_dict(tiny_architecture(c2=DROPPED)).plan())
        recipe = Recipe(**settings, epochs=3, batch_size=20, compile=captured, device="cpu")
        return [*train(network, dataset, recipe, augment=augment, **options).network.parameters()]

    def stop(history: list[Epoch]) -> None:
        if len(history) == 2:
            raise KeyboardInterrupt

    eager, last = trained(False), tmp_path / "last.pt"
    streams = emulate(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        trained(True, checkpoint=last, on_epoch=stop)
    for captured in trained(True), trained(True, checkpoint=last):
        torch.testing.assert_close(captured, eager, rtol=1e-4, atol=1e-4)
    assert len(streams) >= 6  # of the batch and of the backward pass


def test_the_memory_of_the_training_before_is_free_for_the_next(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither torch, when it has none left, nor a capture looks for what lies in cycles."""

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    def loader(*_: Any) -> None:
        found.append(left())
        raise KeyboardInterrupt

    found: list[Cycle | None] = []
    execution = Execution("cuda", "bf16", torch.get_num_threads())
    monkeypatch.setattr(training, "choose_execution", lambda *_: execution)
    monkeypatch.setattr(training, "make_loader", loader)
    gc.disable()
    try:
        left = weakref.ref(Cycle())
        with pytest.raises(KeyboardInterrupt):
            train(torch.nn.Linear(1, 1), dataset, Recipe())
    finally:
        gc.enable()
    assert found == [None]


WAITING: dict[str, Callable[[Tensor], object]] = {
    "a number is asked for": lambda x: x.sum().item(),
    "a decision hangs on it": lambda x: bool(x.any()),
    "a count decides a shape": lambda x: x.nonzero(),
    "it is copied to the CPU and read": lambda x: float(x.sum().cpu()),
    "another device's numbers are mixed in": lambda x: x + torch.ones(40, 1, device="cpu"),
}


@pytest.mark.parametrize("wait", WAITING.values(), ids=WAITING)
def test_these_tests_would_tell(wait: Callable[[Tensor], object], fake: None) -> None:
    with pytest.raises(Exception, match=r"(?i)data.dependent|dynamic|device|_local_scalar_dense|nonzero"):
        wait(torch.ones(40, 1, device="cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_every_device_gets_the_same_augmentation(dataset: Dataset) -> None:
    augment = checked(Augment, EVERY, "augment")
    executions = [
        Execution("cpu", "float32", 1),
        *(Execution("cuda", "bf16", 1, captured) for captured in (False, True)),
    ]
    ours, *others = (make_loader(dataset, augment, 20, 0, 0, execution) for execution in executions)
    for epoch in range(1, 4):  # of six batches: the capture begins with the fourth
        expected = list(ours.epoch(epoch))
        for found in (list(loader.epoch(epoch)) for loader in others):
            for (images, labels), (same, named) in zip(expected, found, strict=True):
                difference = (images.float() - same.cpu().float()).abs()
                assert (difference > 1).float().mean() < 0.001  # rounding may differ
                assert torch.allclose(labels, named.cpu(), atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
@pytest.mark.parametrize("settings", RECIPES.values(), ids=RECIPES)
def test_captured_or_resumed_it_trains_to_the_same(
    dataset: Dataset, settings: dict[str, Any], tmp_path: Path
) -> None:
    def trained(captured: bool, **options: Any) -> list[Tensor]:
        torch.manual_seed(0)
        network = build(Architecture.from_dict(tiny_architecture()).plan())
        recipe = Recipe(**settings, epochs=4, batch_size=20, compile=captured)
        found = train(network, dataset, recipe, **options)
        assert found.execution.device == "cuda"
        return [*found.network.parameters(), *found.network.buffers()]

    def stop(history: list[Epoch]) -> None:
        if len(history) == 2:
            raise KeyboardInterrupt

    eager, captured, last = trained(False), trained(True), tmp_path / "last.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(True, checkpoint=last, on_epoch=stop)
    resumed = trained(True, checkpoint=last)
    for ours, *theirs in zip(eager, captured, resumed, strict=True):
        assert all(torch.allclose(ours, other, rtol=1e-3, atol=1e-4) for other in theirs)
