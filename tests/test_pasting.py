"""Each printed command can be pasted into a shell, whatever its folder is called."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from hydra import compose as hydra_compose

from cifar_arch import experiment
from cifar_arch.compose import composing
from cifar_arch.record import Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.saved_config import experiment_text

pytestmark = pytest.mark.usefixtures("here")

ODD = ("plain", "par(en) [x]", "größe", "it's", "$HOME", "a;b&c")
NAMES = ["with space", *(pytest.param(name, marks=pytest.mark.slow) for name in ODD)]


def words(pattern: str, shown: str) -> list[str]:
    """The words that a shell makes of what stands behind `pattern`."""
    found = re.search(rf"{pattern} (.*)$", shown, re.M)
    assert found, shown
    return shlex.split(found[1])


def stubbed(monkeypatch: pytest.MonkeyPatch, run: Callable[[RunFolder], Summary]) -> None:
    def run_config(config: dict[str, Any], path: Path, *_: Any, **__: Any) -> Summary:
        return run(RunFolder(path))

    monkeypatch.setattr(experiment, "run_config", run_config)


def hydras(name: str) -> str:
    """The name in Hydra's quotes, which take a dollar for the start of an interpolation only with a brace."""
    return '"' + name.replace('"', '\\"') + '"'


@pytest.mark.parametrize("name", NAMES)
def test_after_a_run(name: str, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    done = Summary(status=Status.COMPLETED, val_accuracy=0.5, params=1, seconds=1.0)
    stubbed(monkeypatch, lambda _: done)
    printed = cli("run", f"hydra.run.dir={hydras(name)}").out
    assert words(r"python -m cifar_arch\.evaluate", printed) == [name]


@pytest.mark.parametrize("name", NAMES)
def test_after_an_interruption(name: str, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    def interrupted(run: RunFolder) -> Summary:
        run.checkpoint.parent.mkdir(parents=True)
        run.checkpoint.touch()
        raise KeyboardInterrupt

    stubbed(monkeypatch, interrupted)
    printed = cli("run", f"hydra.run.dir={hydras(name)}").err
    assert words(r"type python -m cifar_arch\.run", printed)[:1] == [f"training.resume={name}"]
    printed = cli("run", f"training.resume={name}", "width=4").err
    assert words("; type", printed) == [f"training.resume={name}", "alone"]


@pytest.mark.parametrize("name", NAMES)
def test_in_the_heading_of_a_config(name: str) -> None:
    with composing():
        composed = hydra_compose("config", return_hydra_config=True)
    text = experiment_text(composed, composed.hydra, Path(name), "best")
    assert words(r"# python -m cifar_arch\.run --config-dir", text) == [name, "+experiment=best"]
