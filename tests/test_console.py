"""What a person sees while a sweep runs, on a terminal and elsewhere."""

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import on_a_terminal
from sweeping import WIDTHS, ask, finish_job, open_worker, search_config, stub, stub_environment, sweep

from cifar_arch.record import Status
from cifar_arch.search.console import Console, fitting
from cifar_arch.search.ledger import Counts

GRID = ("width=64,4,6,8,10", "epochs=3", "study=seen", "pruner=none")


@pytest.mark.slow
def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    settings = stub_environment('{"seconds": 1.1, "faults": {"8": "raise"}}')
    shown = on_a_terminal(stub(*GRID), tmp_path, settings, columns=160)
    states = [line for line in re.split(r"[\r\n]+", shown) if re.search(r"/4 trials.* epoch \d", line)]
    assert re.search(r"^ *0%.* 0/4 trials, 1 rejected, 0 pruned, 0 failed, trial 1 epoch", states[0])
    last = states[-1]
    assert re.search(r" 3/4 trials, best \d\d\.\d\d%, 1 rejected, 0 pruned, 1 failed, trial 4 epoch", last)
    assert re.search(r"about \d\d:\d\d left", last)
    assert re.search(r"\r  1/4  trial 1  accuracy \d\d\.\d\d%  [\d,]+ parameters  width=4", shown)


@pytest.mark.slow
def test_a_narrow_terminal_keeps_the_epoch_and_the_time_left(tmp_path: Path) -> None:
    settings = stub_environment('{"seconds": 1.1}')
    shown = on_a_terminal(stub(*GRID), tmp_path, settings, columns=80)
    states = [line for line in re.split(r"[\r\n]+", shown) if re.search(r"\d% .*/4 trials", line)]
    assert all(len(re.sub(r"\x1b\[\w+", "", line).rstrip()) < 80 for line in states)
    trained = [line for line in states if re.search(r" [123]/4 trials", line)]
    assert re.search(r"best \d\d\.\d\d%, trial 4 epoch \d, about \d\d:\d\d left", trained[-1])


@pytest.mark.slow
def test_the_reason_why_a_search_stopped_does_not_share_its_line_with_the_bar(tmp_path: Path) -> None:
    settings = stub_environment('{"faults": {"4": "raise", "6": "raise", "8": "raise"}}')
    shown = on_a_terminal(stub("width=4,6,8", "study=seen"), tmp_path, settings, columns=160, status=1)
    lines = [line for line in re.split(r"[\r\n]+", shown) if "the sweep was stopped" in line]
    assert [line.startswith("the sweep was stopped: ") for line in lines] == [True]


def test_the_time_left_falls_while_a_trial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.0]
    monkeypatch.setattr("cifar_arch.search.console.time.monotonic", lambda: seconds[0])
    console = Console(open_worker(search_config(tmp_path, WIDTHS)).shared, 8, progress=False)
    console.before = console.done = 5  # trials of an earlier time
    shown = []
    for now, done in ((60, 5), (60, 6), (90, 6), (120, 6), (300, 6), (300, 7), (330, 7), (400, 8)):
        seconds[0] = now
        shown.append(console._left(done).removeprefix("about ").removesuffix(" left"))
    assert shown == ["", "02:00", "01:30", "01:00", "01:00", "02:30", "02:00", ""]


def test_a_failure_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    Console(worker.shared, 3).finished(finish_job(worker, ask(worker), status=Status.FAILED, reason="broken"))
    assert capsys.readouterr().out.startswith("  1/3  trial 0  failed: broken  4 parameters  width=4")


FITTING: list[dict[str, Any]] = [
    {"room": 100, "kept": ["best 40%", "2 failed", "trial 4 epoch 1", "5 min left"]},
    {"room": 40, "kept": ["best 40%", "trial 4 epoch 1", "5 min left"]},
    {"room": 30, "kept": ["trial 4 epoch 1", "5 min left"]},
    {"room": 20, "kept": ["trial 4 epoch 1"]},
    {"room": 0, "kept": []},
]


@pytest.mark.parametrize("case", FITTING, ids=lambda case: str(case["room"]))
def test_the_least_wanted_is_left_out_until_the_rest_fits(case: dict[str, Any]) -> None:
    shown = ["best 40%", "2 failed", "trial 4 epoch 1", "5 min left", ""]
    wanted = ["trial 4 epoch 1", "5 min left", "best 40%", "", "2 failed"]
    assert fitting(shown, wanted, case["room"]) == case["kept"]


def test_failures_are_told_before_what_did_not_happen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(open_worker(search_config(tmp_path, WIDTHS)).shared, 3, progress=False)
    monkeypatch.setattr(console.shared, "counts", lambda: Counts(completed=1, failed=1, rejected=10))
    monkeypatch.setattr(console, "_room", lambda: len("1 failed"))
    console._update(())
    assert console.bar.postfix == "1 failed"


@pytest.mark.slow
def test_each_line_has_its_own_number_whoever_trained_it(tmp_path: Path) -> None:
    done = sweep(*GRID, "workers=2", cwd=tmp_path, settings='{"seconds": 0.2}')
    numbers = [line.split("/")[0].strip() for line in done.stdout.splitlines() if re.match(r" *\d/4 ", line)]
    assert numbers == ["1", "2", "3", "4"]


@pytest.mark.slow
def test_plain_lines_elsewhere(tmp_path: Path) -> None:
    done = sweep(*GRID, cwd=tmp_path, settings='{"seconds": 0.2}')
    assert (done.returncode, done.stderr) == (0, "")
    assert "\r" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if re.match(r" *\d/4 ", line)]
    assert len(lines) == 4
    assert all(re.search(r"about \d\d:\d\d left$", line) for line in lines[:-1])
    assert re.search(r"width=10$", lines[-1])
    assert "study seen is done: 4 trained (1 rejected)" in done.stdout
