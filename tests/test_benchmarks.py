"""The benchmarks that put something in the place of our functions run on small numbers, unjudged."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from conftest import ended

from benchmarks import as_typed
from cifar_arch.device import limit_spinning

NUMBER = r"[\d,.]+"
# What is typed, and how the table that is printed begins.
SMALL = {
    "step_speed": (
        "--turns 1 --seconds 0.1 --rows bf16",
        rf" +images/s \(lowest, highest\) +of the first\nbf16 +{NUMBER}",
    ),
    "pipeline_speed": (
        "--turns 1 --batches 2",
        rf"bare step, images a second +{NUMBER} \({NUMBER}, {NUMBER}\)\n",
    ),
    "analysis_speed": (
        "--count 300",
        rf"way +architectures/s  of it, static  later in a search\nstatic.* {NUMBER} ",
    ),
    "between_trials": ("--trials 2", rf"shapes +{NUMBER} s \({NUMBER}, {NUMBER}\), n=\d\n"),
    "study_cost": ("--turns 1 --trials 3", rf"trials +ask \(s\) +first report \(s\) .*\n +3 +{NUMBER}"),
    "sweep_overhead": ("--trials 3 --sleep 0.1 --workers 1", rf"one worker: {NUMBER} s a trained trial, "),
    "report_speed": ("--runs 10", rf"first look: 10 runs, \d+ columns in {NUMBER} s\nsecond look: 10 runs, "),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_it_runs_and_prints_its_table(name: str, tmp_path: Path) -> None:
    words, begins = SMALL[name]
    done = ended([sys.executable, "-m", f"benchmarks.{name}", *words.split()], tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^{begins}", done.stdout, re.M), done.stdout


def test_what_a_benchmark_starts_says_by_itself_how_threads_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"HOME": "/"})
    limit_spinning()  # as `benchmarks` does for itself
    assert as_typed() == {"HOME": "/"}


@pytest.mark.slow
def test_a_part_of_the_gpu_benchmark_that_fails_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    words = ["--without-gpu", "--data", ".", "to 85 %", "machine"]
    done = ended([sys.executable, "-m", "benchmarks.gpu", *words], tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert (found["to 85 %"]["ended"], found["to 85 %"]["so far"]) == ("status 1", None)
    assert re.fullmatch(r".*ConfigError: data\.root: .* is missing; .*", found["to 85 %"]["last words"])
    assert set(found["machine"]) >= {"device", "torch"}
