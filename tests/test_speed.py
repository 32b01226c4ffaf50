import functools
import json
import os
from pathlib import Path

import pytest

from cifar_arch.compose import compose
from cifar_arch.experiment import Experiment
from cifar_arch.layers import Plan
from cifar_arch.recipe import Recipe
from cifar_arch.search import speed
from cifar_arch.search.speed import training_speed

FAST = Recipe(batch_size=32)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine_is(False, monkeypatch)
    return tmp_path / "cifar_arch" / "speed.json"


def machine_is(busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    load = (os.cpu_count() or 1) * (0.6 if busy else 0.4)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))


@functools.cache
def plan(width: int = 8) -> Plan:
    return Experiment.from_dict(compose([f"width={width}"])).model.plan()


def measured_as(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_measured", lambda *_: value)


def test_it_is_measured_once_for_each_network_recipe_and_machine(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured_as(5e3, monkeypatch)
    assert training_speed(plan(), FAST).images == 5e3
    measured_as(7e3, monkeypatch)
    assert training_speed(plan(), FAST).images == 5e3
    assert training_speed(plan(9), FAST).images == 7e3
    measured_as(8e3, monkeypatch)
    assert training_speed(plan(), Recipe(batch_size=64)).images == 8e3
    # Another number of cores, and no GPU.
    for value, variable, setting in ((9e3, "OMP_NUM_THREADS", "9"), (1e4, "CUDA_VISIBLE_DEVICES", "")):
        measured_as(value, monkeypatch)
        monkeypatch.setenv(variable, setting)
        assert training_speed(plan(), FAST).images == value
    assert sorted(json.loads(file.read_text(encoding="utf-8")).values()) == [5e3, 7e3, 8e3, 9e3, 1e4]


def test_what_a_busy_machine_reaches_is_not_remembered(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured_as(12.0, monkeypatch)
    machine_is(True, monkeypatch)
    assert training_speed(plan(), FAST) == (12.0, True)
    assert not file.exists()
    measured_as(5e3, monkeypatch)
    machine_is(False, monkeypatch)
    assert training_speed(plan(), FAST) == (5e3, False)
    machine_is(True, monkeypatch)
    assert training_speed(plan(), FAST) == (5e3, False)  # of the quiet moment


@pytest.mark.parametrize("content", ["{", "[1]", '{"x": "fast"}', '{"x": null}'])
def test_a_damaged_file_is_written_again(file: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file.parent.mkdir()
    file.write_text(content, encoding="utf-8")
    measured_as(5e3, monkeypatch)
    assert training_speed(plan(), FAST).images == 5e3
    assert list(json.loads(file.read_text(encoding="utf-8")).values()) == [5e3]


def test_a_folder_that_cannot_be_written_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cifar_arch").write_text("a file", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measured_as(5e3, monkeypatch)
    assert training_speed(plan(), FAST).images == 5e3


def test_it_is_that_of_training_steps(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.5)
    elsewhere = Recipe(batch_size=32, device="mps", compile=True)
    narrow, wide = (training_speed(plan(width), elsewhere).images for width in (4, 64))
    assert 1e6 > narrow > 2 * wide > 0
