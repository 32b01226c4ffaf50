"""What a command prints: aligned tables; a sentence and an exit status instead of a traceback."""

import contextlib
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import NoReturn

from cifar_arch.schema import ConfigError


def table(rows: Sequence[Sequence[str]], left: Collection[int] = ()) -> str:
    """Rows of cells in aligned columns, the heading first; those in `left` to the left, others right."""
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


@contextlib.contextmanager
def sentences(interrupted: str = "interrupted") -> Iterator[None]:
    """Ends a command with 2 for a mistake in what was typed, 1 for a file that cannot be read or
    written, and 130 after Ctrl-C, saying `interrupted`."""
    try:
        yield
        sys.stdout.flush()
    except ConfigError as error:
        _end(str(error), 2)
    except KeyboardInterrupt:
        _end(interrupted, 130)
    except BrokenPipeError:
        reader_left()
    except OSError as error:
        _end(unreadable(error), 1)


def unreadable(error: OSError) -> str:
    return f"cannot read or write {error.filename or 'a file'}: {error.strerror}"


def reader_left() -> NoReturn:
    """Ends quietly, as after `| head`: also the flush at exit must not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def _end(sentence: str, status: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    sys.exit(status)
