"""A mistake is told in the same sentence by run, by check, by a sweep, in a space file and in its params."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli

pytestmark = pytest.mark.usefixtures("here")

# What is typed: how the sentence begins, wherever it is typed.
EVERYWHERE = {
    "widht=8": "widht: unknown key, did you mean 'width'? choose from ",
    "training.epoch=3": "training.epoch: unknown key, did you mean 'training.epochs'? choose from ",
    "hydra.job.nam=x": "hydra.job.nam: ",
    "c1=plan": ": unknown option 'plan'; choose from blueprint, ",
    "c1=[1]": ": expected the name of an option, got [1]",
    "epochs=many": "training.epochs: expected an integer at least 1, got 'many'",
    "width=0": "model.width: expected an integer at least 1 and at most 4096 or auto or null, got 0",
    "seed=-1": "seed: expected an integer at least 0 and below 4294967296, got -1",
    "training.lr=${nope}": "training.lr: Interpolation key 'nope' not found",
    "training.lr=${oc.env:UNSET}": "training.lr: Environment variable 'UNSET' not found",
    "+seed=1": "seed: is there already; type seed=1 without the +",
    "+widht=1": "widht: unknown key; choose from augment, ",
    "experiment=reference": "experiment: nothing is chosen by default; type +experiment=reference",
}


def _twice(typed: str) -> str:
    """A sweep over the value and itself."""
    return f"{typed},{typed.partition('=')[2]}"


def _params(typed: str) -> str:
    key, _, value = typed.partition("=")
    return f"hydra.sweeper.params={{{key}:'choice({value},{value})'}}"


def _in_a_search(typed: str) -> tuple[str, ...]:
    key, _, value = typed.partition("=")
    Path("own/search").mkdir(parents=True)
    text = f"# @package _global_\nhydra: {{sweeper: {{params: {{'{key}': 'choice({value},{value})'}}}}}}\n"
    Path("own/search/mine.yaml").write_text(text, encoding="utf-8")
    return ("-m", "--config-dir", "own", "+search=mine")


FORMS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "a run": lambda typed: ("run", typed),
    "a check": lambda typed: ("check", typed),
    "beside what is swept": lambda typed: ("run", "-m", "prefer=accuracy", "model.head=linear,conv", typed),
    "swept": lambda typed: ("run", "-m", _twice(typed)),
    "swept in a check": lambda typed: ("check", "-m", _twice(typed)),
    "in params": lambda typed: ("run", "-m", _params(typed)),
    "in a search": lambda typed: ("run", *_in_a_search(typed)),
    "in the check of a search": lambda typed: ("check", *_in_a_search(typed)),
}


CASES = [
    pytest.param(typed, form, marks=[pytest.mark.slow] * (typed != "widht=8"))
    for typed in EVERYWHERE
    for form in FORMS
]


@pytest.mark.parametrize(("typed", "form"), CASES)
def test_a_mistake_is_told_alike_everywhere(typed: str, form: str, cli: Cli) -> None:
    done = cli(*FORMS[form](typed))
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1), done
    assert EVERYWHERE[typed] in done.err, done.err
    assert not Path("outputs/sweeps").exists()
