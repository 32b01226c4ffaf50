"""Sweeps in real processes that prune."""

from pathlib import Path

import pytest
from optuna.trial import TrialState
from stub_sweep import curve
from sweeping import sweep, trained_trials

from cifar_arch.record import Status
from cifar_arch.runfolder import RunFolder

pytestmark = pytest.mark.slow

TYPED = ("limits=none", "epochs=6", "study=pruned")


@pytest.mark.parametrize("pruner", ["median", "halving", "hyperband", "none"])
def test_a_pruner_ends_bad_trials_early(tmp_path: Path, pruner: str) -> None:
    done = sweep("width=range(8,28)", *TYPED, f"pruner={pruner}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    trials = trained_trials(tmp_path)
    assert len(trials) == 20
    pruned = [t for t in trials if t.state == TrialState.PRUNED]
    assert bool(pruned) == (pruner != "none")
    for trial in pruned:
        folder = RunFolder(tmp_path / str(trial.folder))
        summary = folder.read_summary()
        assert summary
        assert summary.status == Status.PRUNED
        assert len(folder.read_metrics()) == len(trial.curve) < 6
        assert str(trial.reason).startswith(f"pruned after epoch {len(trial.curve)} at ")
    best = max(trials, key=lambda t: curve(t.params, 6)[-1])
    assert best.state == TrialState.COMPLETE


def test_pruning_by_two_workers(tmp_path: Path) -> None:
    done = sweep("width=range(8,24)", *TYPED, "workers=2", cwd=tmp_path, settings='{"seconds": 0.02}')
    assert done.returncode == 0, done.stderr
    states = [t.state for t in trained_trials(tmp_path)]
    assert states.count(TrialState.PRUNED) > 0
    assert states.count(TrialState.PRUNED) + states.count(TrialState.COMPLETE) == 16
