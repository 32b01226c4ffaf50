"""What commands say and return when something goes wrong, or nobody reads on."""

import io
import logging
import shlex
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY, Cli, Done, begin, cases, command, ended, environment, python, type_command
from hypothesis import given
from hypothesis import strategies as st

from cifar_arch.__main__ import COMMANDS
from cifar_arch.schema import ConfigError
from cifar_arch.terminal import counted, duration, exit_on_errors, message_and_status, printable, table


def missing() -> None:
    Path("/nowhere/at/all").read_text(encoding="utf-8")


def stopped() -> None:
    raise KeyboardInterrupt


def mistaken() -> None:
    full = io.StringIO()
    full.close()  # a log that cannot be written is not worth a traceback
    logging.StreamHandler(full).emit(logging.makeLogRecord({}))
    raise ConfigError("width: expected a number, got 'x'")


def steering() -> None:
    raise ConfigError("study: there are \x1b[2J\x1b]0;mine\x07, \u202eevil\r and a\nb")


ENDS = [
    (mistaken, 2, "width: expected a number, got 'x'"),
    (missing, 1, "cannot read or write /nowhere/at/all: No such file or directory"),
    (stopped, 130, "interrupted"),
    (steering, 2, r"study: there are \x1b[2J\x1b]0;mine\x07, \u202eevil\r and a b"),
]


@pytest.mark.parametrize(("work", "status", "sentence"), ENDS)
def test_what_goes_wrong_is_one_sentence_and_a_status(
    work: Callable[[], None], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, exit_on_errors():
        work()
    assert end.value.code == status
    assert capsys.readouterr().err == f"{sentence}\n"


TURNING = ["\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))]


@cases(500)
@given(st.text(st.characters(categories=["Cc"]) | st.sampled_from(TURNING) | st.characters()))
def test_whatever_a_text_holds_nothing_of_it_steers_the_terminal(text: str) -> None:
    def steers(letter: str) -> bool:
        return letter in TURNING or (unicodedata.category(letter) == "Cc" and letter not in "\t\n")

    shown = printable(text)
    assert not any(map(steers, shown))
    expected = (ascii(letter)[1:-1] if steers(letter) else letter for letter in text)
    assert shown == "".join(expected)


def test_other_errors_are_not_hidden(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cifar_arch.search.sweeper.plain", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # nor told as if Hydra had a quarrel with what was typed
        cli("run", "-m", "width=8,9")
    with pytest.raises(ZeroDivisionError), exit_on_errors():
        _ = 1 / 0
    said, status = message_and_status(ZeroDivisionError("division by zero"))  # as a run says it
    assert (said[:35], status) == ("ZeroDivisionError: division by zero", 1)


@pytest.mark.parametrize("typed", ["", "-m width=64,96"])
def test_nobody_reads_on(typed: str) -> None:
    """As after `| head`, which is gone before the command prints."""
    with begin(command("check", *typed.split())) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


COMPLETED = """if True:
    from cifar_arch import app, experiment
    from cifar_arch.record import Status, Summary
    def run(*_, **__):
        import matplotlib
        matplotlib.get_configdir()
        return Summary(status=Status.COMPLETED)
    experiment.run_config = run
    app.main()
"""


def test_what_matplotlib_tells_of_its_folders_is_not_shown(tmp_path: Path) -> None:
    nowhere = dict.fromkeys(("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), "")
    done = ended([sys.executable, "-c", COMPLETED, *TINY], tmp_path, HOME="/dev/null", **nowhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("validation accuracy not read")


def test_nobody_reads_on_after_a_run(tmp_path: Path) -> None:
    """As after `| head`, which is gone before the run has ended."""
    with begin([sys.executable, "-c", COMPLETED, *TINY], tmp_path) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


DROPPING = """
import os, signal, time
from cifar_arch.terminal import end_on_signals, exit_on_errors
class Finalised:
    def __del__(self):
        os.kill(os.getpid(), signal.{sent})
        time.sleep(10)
with exit_on_errors():
    end_on_signals()
    Finalised()
    time.sleep(10)
    print("went on")
"""


@pytest.mark.parametrize("sent", ["SIGTERM", "SIGINT"])
def test_an_interrupt_that_python_drops_comes_once_more(sent: str) -> None:
    done = python(DROPPING.format(sent=sent))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


LEAVING = """
import atexit, os, signal, time
from cifar_arch.terminal import end_on_signals
atexit.register(lambda: (time.sleep(0.05), print("put away")))  # runs after the next
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
end_on_signals()
"""


def test_an_interrupt_at_the_very_end_does_not_come_once_more() -> None:
    done = python(LEAVING)  # or an alarm would kill the process that ends
    assert (done.returncode, done.stdout, done.stderr) == (0, "put away\n", "")


IGNORING = """
import os, signal
from cifar_arch.terminal import end_on_signals
signal.signal(signal.SIGHUP, signal.SIG_IGN)
end_on_signals()
os.kill(os.getpid(), signal.SIGHUP)
print("went on")
"""


def test_a_command_under_nohup_outlives_its_terminal() -> None:
    done = python(IGNORING)
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


def test_a_table_spells_control_characters_out() -> None:
    shown = table([["name", "why"], ["größe", "\x1b[31mred\x1b[0m\n\u009b2J"]])
    assert shown.splitlines() == [" name                        why", r"größe  \x1b[31mred\x1b[0m \x9b2J"]


def test_lines_and_tabs_are_no_control_characters() -> None:
    assert printable("a\tb\nç ☃\u200bé\x7f") == "a\tb\nç ☃\u200bé\\x7f"


NARROW = {
    "a terminal of ASCII": {"PYTHONIOENCODING": "ascii"},
    "a locale of ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "both": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    "a console of Windows": {"PYTHONIOENCODING": "cp1252"},
}


def type_narrowly(narrow: dict[str, str], cwd: Path, *typed: str) -> Done:
    """A command typed in a terminal that lacks letters; status, and what it shows."""
    done = subprocess.run(command(*typed), cwd=cwd, env=environment(**narrow), capture_output=True)
    out, err = (
        text.decode(narrow.get("PYTHONIOENCODING", "utf-8"), "replace") for text in (done.stdout, done.stderr)
    )
    return Done(done.returncode, out, err)


@pytest.mark.slow
@pytest.mark.parametrize("narrow", NARROW)
def test_the_encoding_of_a_terminal_stops_no_check(narrow: str, tmp_path: Path) -> None:
    here = tmp_path / "größe ☃"
    (here / "größe").mkdir(parents=True)
    plain = type_narrowly(NARROW[narrow], here, "check", "--config-dir", "größe", "limits=none")
    assert (plain.status, plain.err) == (0, "")
    wrong = type_narrowly(NARROW[narrow], here, "check", "--config-dir", "nößuch")
    assert wrong.status == 2
    assert wrong.err.startswith("--config-dir: expected a folder, got 'n")
    assert "Traceback" not in wrong.err
    drawn = type_narrowly(NARROW[narrow], here, "check", "limits=none", "--plot", "größe.svg")
    assert (drawn.status, drawn.err) == (0, "")
    assert (here / "größe.svg").is_file()


@pytest.mark.slow
def test_the_encoding_of_a_terminal_stops_nothing(tmp_path: Path) -> None:
    """With both: what starts again in UTF-8 mode has a terminal of ASCII then."""
    here = tmp_path / "größe ☃"
    here.mkdir()
    short = (*(t for t in TINY if not t.startswith(("width", "epochs"))), "epochs=1")
    typed = {
        "a run": ("run", *short, "width=4", 'hydra.run.dir="größe"'),
        "its resumption": ("run", "training.resume=größe"),
        "its evaluation": ("evaluate", "größe"),
        "a sweep": ("run", "-m", *short, "width=4,6", "study=s", 'outputs="größe ☃"'),
        "its confirmation": (
            *("confirm", "s", "--top", "1", "--seeds", "1", "--epochs", "1"),
            *("--outputs", "größe ☃", "--storage", "sqlite:///größe ☃/studies.db"),
        ),
        "its report": ("report", "größe ☃"),
        "the preview of a sweep": ("check", "-m", "width=4,6", 'outputs="größe ☃"'),
    }
    for name, words in typed.items():
        done = type_narrowly(NARROW["both"], here, *words)
        assert (done.status, done.err) == (0, ""), (name, done)
    assert (here / "größe" / "summary.json").is_file()
    assert (here / "größe ☃" / "sweeps" / "s" / "experiment" / "best.yaml").is_file()


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_while_it_is_imported_is_a_word(name: str, tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("raise KeyboardInterrupt", encoding="utf-8")
    done = type_command(name, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 second"),
        (89, "89 seconds"),
        (100, "1.7 minutes"),
        (3000, "50 minutes"),
        (10_000, "2.8 hours"),
        (400_000, "4.6 days"),
        (9e7, "1,000 days"),
    ],
)
def test_a_time_is_told_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_count_may_begin_with_the_least() -> None:
    counts = [counted(1, "epoch"), counted(2000, "epoch", 2000), counted(3, "epoch", 1)]
    assert counts == ["1 epoch", "2,000 epochs", "1 to 3 epochs"]


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_command_runs_whose_output_was_closed_before(closed: str) -> None:
    redirection = {"stdout": ">&-", "stderr": "2>&-"}[closed]
    line = f"exec {shlex.quote(sys.executable)} -m cifar_arch.check {redirection}"
    done = ended(["sh", "-c", line])
    assert (done.returncode, done.stderr) == (0, "")
