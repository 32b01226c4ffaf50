import json
from pathlib import Path

import pytest

from cifar_arch.search import speed
from cifar_arch.search.speed import training_speed


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "cifar_arch" / "speed.json"


def measured_as(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_measured", lambda: value)


def test_it_is_measured_once_for_each_machine(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured_as(5e9, monkeypatch)
    assert training_speed() == 5e9
    measured_as(7e9, monkeypatch)
    assert training_speed() == 5e9
    monkeypatch.setenv("OMP_NUM_THREADS", "9")  # another number of cores
    assert training_speed() == 7e9
    assert sorted(json.loads(file.read_text(encoding="utf-8")).values()) == [5e9, 7e9]


@pytest.mark.parametrize("content", ["{", "[1]", '{"x": "fast"}', '{"x": null}'])
def test_a_damaged_file_is_written_again(file: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file.parent.mkdir()
    file.write_text(content, encoding="utf-8")
    measured_as(5e9, monkeypatch)
    assert training_speed() == 5e9
    assert list(json.loads(file.read_text(encoding="utf-8")).values()) == [5e9]


def test_a_folder_that_cannot_be_written_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cifar_arch").write_text("a file", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measured_as(5e9, monkeypatch)
    assert training_speed() == 5e9


def test_it_is_that_of_training_steps(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.5)
    assert 1e8 < training_speed() < 1e14
