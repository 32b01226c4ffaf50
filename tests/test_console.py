"""What a person sees while a sweep runs, on a terminal and elsewhere."""

import os
import pty
import re
import subprocess
import termios
from pathlib import Path

import pytest
from sweeping import stub, stub_environment, sweep

pytestmark = pytest.mark.slow

GRID = ("width=64,4,6,8,10", "epochs=3", "study=seen", "pruner=none")


def on_a_terminal(arguments: tuple[str, ...], cwd: Path, settings: str) -> str:
    """All that a sweep writes to a terminal of 160 columns, control characters included."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 160))
    process = subprocess.Popen(
        stub(*arguments), cwd=cwd, env=stub_environment(settings), stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            written += os.read(ours, 4096)
        except OSError:  # the sweep has closed its end
            break
    assert process.wait() == 0
    os.close(ours)
    return written.decode()


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    shown = on_a_terminal(GRID, tmp_path, '{"seconds": 1.1, "faults": {"8": "raise"}}')
    states = [line for line in re.split(r"[\r\n]+", shown) if re.search(r"/4 trials.* epoch \d", line)]
    assert re.search(r"^ *0%.* 0/4 trials, 1 rejected, 0 pruned, 0 failed, trial 1 epoch", states[0])
    last = states[-1]
    assert re.search(r" 3/4 trials, best \d\d\.\d\d%, 1 rejected, 0 pruned, 1 failed, trial 4 epoch", last)
    assert re.search(r"about \d\.\d min left", last)
    assert re.search(r"\r  1/4  trial 1  accuracy \d\d\.\d\d%  [\d,]+ parameters  width=4", shown)


def test_plain_lines_elsewhere(tmp_path: Path) -> None:
    done = sweep(*GRID, cwd=tmp_path, settings='{"seconds": 0.2}')
    assert (done.returncode, done.stderr) == (0, "")
    assert "\r" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if re.match(r" *\d/4 ", line)]
    assert len(lines) == 4
    assert all(re.search(r"about \d\.\d min left$", line) for line in lines[:-1])
    assert re.search(r"width=10$", lines[-1])
    assert "study seen is done: 4 trained (1 rejected)" in done.stdout
