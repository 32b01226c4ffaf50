"""A confirmation typed after a sweep that really trains, by one worker and by two."""

import os
import signal
from pathlib import Path

import pytest
from conftest import TINY, begin, command, summary_of, type_command
from sweeping import trained_trials, trials, wait_until

from cifar_arch.report import load_runs


@pytest.mark.slow
def test_a_real_sweep_is_confirmed_and_its_winner_runs(tmp_path: Path) -> None:
    short = [text for text in TINY if text not in ("width=4", "epochs=2")]
    swept = type_command("run", "-m", *short, "epochs=1", "width=3,4", "study=tiny", cwd=tmp_path)
    assert swept.returncode == 0, swept.stderr
    arguments = ("tiny", "--top", "1", "--seeds", "1", "--epochs", "1")
    done = type_command("confirm", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the synthetic data set never counts towards the target" in done.stdout
    content = summary_of(tmp_path / "outputs/confirm/tiny/0")
    assert (content["split"]["train"], content["split"]["validation"]) == (6000, 0)
    again = type_command("confirm", *arguments, cwd=tmp_path)
    assert "1 trained before\n" in again.stdout
    words = (
        "--config-dir",
        "outputs/sweeps/tiny",
        "+experiment=winner",
        "training.device=cpu",
        "data.validation=5800",
    )
    rerun = type_command("run", *words, cwd=tmp_path)
    assert rerun.returncode == 0, rerun.stderr


@pytest.mark.slow
def test_two_workers_share_a_confirmation_and_a_killed_one_costs_nothing(tmp_path: Path) -> None:
    short = [text for text in TINY if text not in ("width=4", "epochs=2")]
    swept = type_command("run", "-m", *short, "epochs=1", "width=3,4", "study=tiny", cwd=tmp_path)
    assert swept.returncode == 0, swept.stderr
    words = ("tiny", "--top", "2", "--seeds", "2", "--epochs", "2", "--workers", "2")
    process = begin(command("confirm", *words), tmp_path)
    wait_until(lambda: len(workers_of(tmp_path)) == 2)
    os.kill(min(workers_of(tmp_path)), signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "study tiny-confirm: 4 points, folders in outputs/confirm/tiny\n" in out
    done = trained_trials(tmp_path, name="tiny-confirm")
    assert sorted((t.point["network"], t.point["seed"]) for t in done) == [
        (n, s) for n in (0, 1) for s in (0, 1)
    ]
    for trial in done:
        summary = summary_of(tmp_path / str(trial.folder))
        assert trial.values == (summary["test_accuracy"],)
        assert summary["epochs_done"] == 2
        assert summary["command"] == (
            "python -m cifar_arch.run --config-dir outputs/sweeps/tiny "
            f"+experiment=trial-{trial.point['network']} "
            f"data.validation=0 training.epochs=2 seed={trial.point['seed']} "
            f"training.threads={summary['threads']} training.precision={summary['precision']}"
        )
    frame = load_runs(tmp_path / "outputs")
    confirmed = frame[frame["source"] == "confirm"]
    assert sorted(confirmed["status"].unique()) in (["completed"], ["completed", "continued"])
    assert (confirmed["status"] == "completed").sum() == 4


def workers_of(cwd: Path) -> set[int]:
    """Processes that a trial of the confirmation was ever given to."""
    try:
        found = trials(cwd, name="tiny-confirm")
    except KeyError:
        return set()
    return {int(t.worker.rsplit("-", 2)[1]) for t in found if t.worker}
