"""The benchmarks that put something in the place of our functions run on small numbers, unjudged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = {
    "step_speed": "--turns 1 --seconds 0.1 --rows bf16",
    "pipeline_speed": "--turns 1 --batches 2",
    "analysis_speed": "--count 300",
    "between_trials": "--trials 2",
    "study_cost": "--turns 1 --trials 3",
    "sweep_overhead": "--trials 3 --sleep 0.1 --workers 1",
    "report_speed": "--runs 10",
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words"), SMALL.items(), ids=list(SMALL))
def test_it_runs_and_prints_its_numbers(name: str, words: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", *words.split()]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert any(character.isdigit() for character in done.stdout)
