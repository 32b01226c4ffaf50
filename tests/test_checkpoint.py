import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SGD, python, tiny_architecture

from cifar_arch.checkpoint import State
from cifar_arch.device import Execution
from cifar_arch.network import Normalised, build
from cifar_arch.recipe import Recipe
from cifar_arch.record import Epoch
from cifar_arch.schema import ConfigError
from cifar_arch.spec import Architecture
from cifar_arch.training import training_step

STEPS = 10
HISTORY = [
    Epoch(1, 0.1, 2.3, 0.1, 2.2, 0.2, 1.5, 400.0),
    Epoch(2, 0.05, 2.1, 0.3, None, None, 1.5, 400.0),
]


def fresh(seed: int = 0, width: int = 4, **changes: Any) -> State:
    torch.manual_seed(seed)
    network = build(Architecture.from_dict(tiny_architecture(width=width)).plan())
    execution = Execution("cpu", "float32", 1)
    return State(Normalised(network, (125, 123, 114), (63, 62, 67)), recipe(**changes), STEPS, execution)


def recipe(**changes: Any) -> Recipe:
    return Recipe(**{**SGD, "lr": 0.1, "ema": 0.9, **changes})


def stepped(seed: int = 0, width: int = 4, **changes: Any) -> State:
    """A state after three steps on noise, with a history."""
    state = fresh(seed, width, **changes)
    step(state, 3)
    state.history = list(HISTORY)
    return state


def step(state: State, count: int) -> None:
    images = torch.rand(count, 8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 255
    one = training_step(state)
    for batch in images:
        one(batch, torch.arange(8))


def everything(state: State) -> list[Any]:
    """All that a state holds, tensors as lists."""
    parts: list[Any] = [state.model, state.optimizer, state.schedule]
    parts += [state.average] if state.average else []
    return [plain([part.state_dict() for part in parts]), state.history]


def plain(value: Any) -> Any:
    match value:
        case torch.Tensor():
            return value.tolist()
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    return value


RECIPES: dict[str, dict[str, Any]] = {
    "sgd, onecycle": {},
    "sgd, cycled momentum": {"cycle_momentum": (0.85, 0.95)},
    "adamw, cosine": {"optimizer": "adamw", "schedule": "cosine"},
    "muon, linear": {"optimizer": "muon", "schedule": "linear"},
    "no average": {"ema": 0},
}


@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
def test_a_loaded_state_goes_on_as_the_saved_one(tmp_path: Path, changes: dict[str, Any]) -> None:
    saved, loaded = stepped(**changes), stepped(seed=1, **changes)
    assert everything(loaded) != everything(saved)
    saved.save(tmp_path / "last.pt")
    loaded.load(tmp_path / "last.pt")
    assert everything(loaded) == everything(saved)
    step(saved, 2)
    step(loaded, 2)
    assert everything(loaded) == everything(saved)


@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
def test_the_file_keeps_the_names_and_types_of_earlier_versions(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    state = stepped(**changes)
    parts: dict[str, Any] = {"model": state.model, "optimizer": state.optimizer, "schedule": state.schedule}
    if state.average:
        parts["average"] = state.average
    earlier = {
        **{name: part.state_dict() for name, part in parts.items()},
        "history": [
            (1, 0.1, 2.3, 0.1, 2.2, 0.2, 1.5, 400.0),
            (2, 0.05, 2.1, 0.3, None, None, 1.5, 400.0),
        ],
    }
    torch.save(earlier, tmp_path / "earlier.pt")
    loaded = fresh(seed=1, **changes)
    loaded.load(tmp_path / "earlier.pt")
    assert everything(loaded) == everything(state)
    state.save(tmp_path / "last.pt")
    execution = {"precision": "float32", "threads": 1}
    assert plain(torch.load(tmp_path / "last.pt", weights_only=True)) == {**plain(earlier), "how": execution}


@pytest.mark.slow
def test_a_disk_that_takes_no_more_is_named_as_such_and_keeps_the_old_file(tmp_path: Path) -> None:
    stepped(ema=0).save(tmp_path / "last.pt")
    old = (tmp_path / "last.pt").read_bytes()
    code = """if True:
        import resource, sys
        from pathlib import Path
        from cifar_arch.record import Cause
        from test_checkpoint import stepped
        state = stepped()
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            state.save(Path(sys.argv[1]))
        except OSError as error:
            print(Cause.of(error))
    """
    done = python(code, str(tmp_path / "last.pt"))
    assert done.stdout == "disk full\n", done.stderr
    assert (tmp_path / "last.pt").read_bytes() == old
    assert os.listdir(tmp_path) == ["last.pt"]


def test_a_run_goes_on_with_the_precision_and_the_threads_it_began_with(tmp_path: Path) -> None:
    began, other = stepped(), fresh()
    began.execution, other.execution = Execution("cpu", "bf16", 3), Execution("cuda", "float32", 8)
    began.save(tmp_path / "last.pt")
    other.load(tmp_path / "last.pt")
    assert other.execution == Execution("cuda", "bf16", 3)


def test_what_is_counted_on_the_cpu_stays_there_on_every_device(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"optimizer": "adamw", "ema": 0}
    stepped(**changes).save(tmp_path / "last.pt")
    loaded = fresh(**changes)
    model = loaded.model.to("meta")
    elsewhere = State(model, loaded.recipe, STEPS, loaded.execution)
    with warnings.catch_warnings(action="ignore"):  # meta tensors take no numbers
        elsewhere.load(tmp_path / "last.pt")
    devices = {
        (name, t.device.type) for kept in elsewhere.optimizer.state.values() for name, t in kept.items()
    }
    assert devices == {("step", "cpu"), ("exp_avg", "meta"), ("exp_avg_sq", "meta")}


def test_epoch_and_learning_rate_are_those_of_what_comes_next() -> None:
    first, third = fresh(), stepped(schedule="cosine", warmup=0)
    assert (first.epoch, third.epoch) == (1, 3)
    assert first.lr == pytest.approx(0.1 / 25)
    assert 0 < third.lr < 0.1
    assert fresh(optimizer="muon", sgd_lr=0.2, schedule="cosine", warmup=0).lr == 0.1  # not that of the rest


def test_the_final_network_is_the_averaged_one_where_there_is_one_ready_to_predict() -> None:
    averaged, last = stepped(), stepped(ema=0)
    assert averaged.average is not None
    assert averaged.final() is averaged.average.module
    assert last.final() is last.model
    assert not averaged.final().training
    assert not last.final().training


class Bomb:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def truncate(path: Path) -> None:
    stepped().save(path)
    path.write_bytes(path.read_bytes()[:-1000])


def script(path: Path) -> None:
    """What torch takes for TorchScript."""
    stepped().save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/constants.pkl", b"")


def parts(path: Path) -> dict[str, Any]:
    """What a whole checkpoint holds."""
    stepped().save(path)
    saved: dict[str, Any] = torch.load(path, weights_only=True)
    return saved


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "truncated": truncate,
    "empty": Path.touch,
    "text": lambda path: path.write_text("no checkpoint", encoding="utf-8"),
    "a folder": Path.mkdir,
    "code": lambda path: torch.save({"model": Bomb(path.with_name("exploded"))}, path),
    "a list": lambda path: torch.save([1, 2], path),
    "a script": script,
    "another history": lambda path: torch.save({**parts(path), "history": [("a",) * 8]}, path),
    "a short history": lambda path: torch.save({**parts(path), "history": [(1, 2)]}, path),
    "another width": lambda path: stepped(width=5).save(path),
    "no average": lambda path: stepped(ema=0).save(path),
}


@pytest.mark.parametrize("write", UNREADABLE.values(), ids=UNREADABLE)
def test_a_checkpoint_that_cannot_be_read_is_refused(tmp_path: Path, write: Callable[[Path], object]) -> None:
    path = tmp_path / "last.pt"
    write(path)
    message = r"training\.resume: the checkpoint '.*last\.pt' cannot be read \(.+\); remove it to train"
    with pytest.raises(ConfigError, match=message) as raised:
        fresh().load(path)
    assert "weights_only" not in str(raised.value)
    assert ("(Is a directory)" in str(raised.value)) == path.is_dir()
    assert not (tmp_path / "exploded").exists()
