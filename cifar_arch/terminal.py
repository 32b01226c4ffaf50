"""What a command prints, and how it ends.

Numbers, aligned tables; on an error or a signal a sentence and an exit status instead of a traceback.
"""

import codecs
import contextlib
import functools
import io
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from cifar_arch.schema import ConfigError, SearchStopped

# All that a terminal takes for a command, and what turns the direction of writing around.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with control characters spelled out, so that a foreign one cannot steer the terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """The text as a line of its own, control characters spelled out."""
    return printable(" ".join(text.split("\n")))


def prepare_terminal() -> None:
    """Lets neither the encoding of the terminal nor that of the locale, nor a log that has no room, stop
    a command or print a traceback."""
    logging.raiseExceptions = False
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # closed by who started us
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _restart_in_utf8()


def _restart_in_utf8() -> None:
    """Starts the command again in Python's UTF-8 mode where the locale has no letters beyond ASCII.

    There Python would not even open a file called größe.
    """
    program = Path(sys.argv[0])
    ours = program.stem == "cifar-arch" or Path(__file__).parent in program.parents
    ascii_only = codecs.lookup(sys.getfilesystemencoding()).name == "ascii"
    if ascii_only and ours and os.environ.get("PYTHONUTF8") != "1":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})


def table(rows: Sequence[Sequence[str]], left: Collection[int] = ()) -> str:
    """Rows of cells in aligned columns, the heading first; those in `left` to the left, others right."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def percent(share: float) -> str:
    """A share as it was typed: 0.85 is 85%, 0.855 is 85.5%."""
    return f"{100 * share:.6g}%"


def counted(number: int, what: str, least: int | None = None) -> str:
    """1 epoch, 2 epochs; from another `least` on, 1 to 2 epochs."""
    start = "" if least in (None, number) else f"{least} to "
    return f"{start}{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """The time to two digits, in the largest unit of which there is more than one and a half: 1.8 hours."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds > 1.5 * length:
            return f"{float(f'{seconds / length:.2g}'):,g} {unit}"
    return counted(max(1, round(seconds)), "second")


# What schedulers send before they take a machine away: SLURM at the end (TERM), or some time before it
# (USR1 and USR2, as --signal and submitit have it); and a terminal that is closed, or loses its connection.
_NAMES = ("SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP")
ENDING = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


def end_on_signals() -> None:
    """Treats these signals as Ctrl-C, even if the parent shell ignores SIGINT."""
    for number in ENDING:
        if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupt)
    sys.unraisablehook = functools.partial(_lost, sys.unraisablehook)


def _lost(otherwise: Callable[[Any], object], lost: "sys.UnraisableHookArgs") -> None:
    """Interrupts once more where Python drops what is raised, as while an object is finalised."""
    if lost.exc_type is not KeyboardInterrupt:
        otherwise(lost)
        return
    if sys._getframe().f_back is None:  # no code runs any more: the alarm would kill a process that ends
        return
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01)  # later, for what is raised in here is dropped as well


def _interrupt(*_: object) -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)  # once: what is being put away must not be interrupted again
    signal.alarm(0)  # Ray came first, and has set one that aborts the process after three seconds
    raise KeyboardInterrupt


@contextlib.contextmanager
def exit_on_errors(interrupted: str = "interrupted") -> Iterator[None]:
    """Ends a command as `message_and_status` says; errors of other kinds are bugs, and pass."""
    prepare_terminal()
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        reader_left()
    except (ConfigError, SearchStopped, OSError, KeyboardInterrupt) as error:
        sentence, status = message_and_status(error, interrupted)
        print(one_line(sentence), file=sys.stderr)
        sys.exit(status)


def message_and_status(error: BaseException, interrupted: str = "interrupted") -> tuple[str, int]:
    """What a command says about an error, and its exit status.

    2 for a mistake in what was typed; 130 after Ctrl-C, saying `interrupted`; 1 for all else.
    """
    from cifar_arch.provenance import masked  # only now: it takes longer to import than a --help

    match error:
        case ConfigError():
            return masked(str(error)), 2
        case SearchStopped():
            return f"the sweep was stopped: {error}", 1
        case KeyboardInterrupt():
            return interrupted, 130
        case OSError():
            return f"cannot read or write {error.filename or 'a file'}: {error.strerror}", 1
    return f"{type(error).__name__}: {error} (the traceback is in run.log)", 1


def reader_left() -> NoReturn:
    """Ends quietly, as after `| head`: also the flush at exit must not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
