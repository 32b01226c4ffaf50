"""Notes for optuna-dashboard: what a study is about, its best so far, why a candidate was not trained."""

from collections.abc import Iterable

import optuna
from optuna.trial import Trial

from cifar_arch.limits import Violation
from cifar_arch.search.objectives import OBJECTIVES
from cifar_arch.search.space import Point, short_overrides
from cifar_arch.search.trial import TrialRecord

# Rejected candidates that get a note. The dashboard keeps all notes of a study in one place and each note
# reads it, so that they would cost more and more; the others have the same in their attribute `infeasible`.
NOTED = 100


def note_study(study: optuna.Study, about: str, best: TrialRecord | None) -> None:
    """Writes what a study is about, which is Markdown, and its best trial so far."""
    lines = [about]
    if best:
        pairs = zip(study.metric_names or (), best.values, strict=True)
        values = ", ".join(f"{name} {OBJECTIVES[name].shown(value)}" for name, value in pairs)
        of = f"{best.params or 0:,} parameters, `{short_overrides(best.point)}`"
        lines.append(f"best so far: trial {best.number}, {values}, {of}")
    _save(study, "\n\n".join(lines))


def note_rejection(trial: Trial, point: Point, violations: Iterable[Violation]) -> None:
    """Says which rules a candidate breaks."""
    if trial.number < NOTED:
        broken = "\n".join(f"- {violation.rule}: {violation.message}" for violation in violations)
        heading = f"**infeasible**: `{short_overrides(point)}` is outside the limits, and never trained"
        _save(trial, f"{heading}\n\n{broken}")


def _save(place: optuna.Study | Trial, text: str) -> None:
    from optuna_dashboard import save_note  # takes a quarter of a second

    save_note(place, text)
