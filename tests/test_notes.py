"""The notes that optuna-dashboard shows; tests/test_dashboard.py looks at them there."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra._internal.utils import get_args_parser
from optuna.trial import TrialState
from sweeping import broken

from cifar_arch import app
from cifar_arch.search import notes, sweeper
from cifar_arch.search.trial import TrialRecord


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the notes that are saved."""
    texts: list[str] = []
    monkeypatch.setattr(notes, "_save", lambda _, text: texts.append(text))
    return texts


def test_a_study_says_what_it_is_about_and_its_best_values_as_they_are_printed(written: list[str]) -> None:
    study: Any = SimpleNamespace(metric_names=["accuracy", "macs"])
    values = (0.98765, 14_907_840.0)
    point = {"model.width": 8, "block@model.c3": "plain"}
    best = TrialRecord(number=3, id=4, state=TrialState.COMPLETE, values=values, params=9000, point=point)
    notes.note_study(study, "about", None)
    notes.note_study(study, "about", best)
    line = "best so far: trial 3, accuracy 98.77%, macs 14,907,840, 9,000 parameters, `width=8 c3=plain`"
    assert written == ["about", f"about\n\n{line}"]


def test_a_rejected_candidate_says_which_rules_it_breaks_in_the_first_hundred(written: list[str]) -> None:
    for number in (0, 99, 100):
        trial: Any = SimpleNamespace(number=number)
        notes.note_rejection(trial, {"model.width": 8}, [broken("params", 5, 9), broken("macs", 1, 2)])
    heading = "**infeasible**: `width=8` is outside the limits, and never trained"
    rules = "- params: params: 5 is allowed, got 9\n- macs: macs: 1 is allowed, got 2"
    assert written == [f"{heading}\n\n{rules}"] * 2


def test_the_note_gives_the_command_as_it_was_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    typed = ["-m", "width=4,6", "--config-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["run", *typed])
    app._prepare(get_args_parser().parse_args(typed))
    assert sweeper._about({}).splitlines()[0] == f"`python -m cifar_arch.run {' '.join(typed)}`"


LIMITS = {  # as a config has them: how the note says it
    "params_below 9, fully_connected False": {
        "params_below": 9,
        "fully_connected": False,
        "macs_below": None,
    },
    "none": {"fully_connected": True, "separable_at_least": 0, "augment": []},
}


@pytest.mark.parametrize(("said", "limits"), LIMITS.items())
def test_a_study_is_about_its_command_without_passwords_and_its_limits(
    said: str, limits: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["run", "-m", "study=it's", "storage=postgresql://ann:hunter2@host/db"])
    typed = """python -m cifar_arch.run -m 'study=it'"'"'s' storage=postgresql://ann:***@host/db"""
    assert sweeper._about(limits) == f"`{typed}`\n\nlimits: {said}"
