"""What commands say and return when something goes wrong, or nobody reads on."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import command, environment

from cifar_arch.schema import ConfigError
from cifar_arch.terminal import sentences


def missing() -> None:
    Path("/nowhere/at/all").read_text()


def stopped() -> None:
    raise KeyboardInterrupt


def mistaken() -> None:
    raise ConfigError("width: expected a number, got 'x'")


ENDS = [
    (mistaken, 2, "width: expected a number, got 'x'"),
    (missing, 1, "cannot read or write /nowhere/at/all: No such file or directory"),
    (stopped, 130, "interrupted"),
]


@pytest.mark.parametrize(("work", "status", "sentence"), ENDS)
def test_ends(
    work: Callable[[], None], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, sentences():
        work()
    assert end.value.code == status
    assert capsys.readouterr().err == f"{sentence}\n"


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), sentences():
        _ = 1 / 0


@pytest.mark.parametrize("typed", ["", "--json", "-m width=16,24"])
def test_nobody_reads_on(typed: str) -> None:
    """As after `| head`, which is gone before the command prints."""
    with subprocess.Popen(
        command("check", *typed.split()),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
