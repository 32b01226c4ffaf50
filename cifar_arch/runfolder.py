"""Every file name of a run folder; typed reads, and writes that leave a whole file or none."""

import csv
import errno
import json
import logging
import math
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from cifar_arch.record import Epoch, Summary
from cifar_arch.schema import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FigureName = Literal["augmented", "curves", "confusion_matrix", "misclassified"]

_held: dict[Path, tuple[int, int]] = {}  # process and thread by the full path of the folder that it holds
PATIENCE = 8.0  # seconds; processes that load images may outlive a killed run by five
DISK_FULL_BELOW = 1 << 16  # free bytes: no room for what comes next


class RunFolder:
    """The files of one run. Nothing else joins these paths."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / ".hydra" / "config.yaml"
        self.hydra = self.path / ".hydra" / "hydra.yaml"
        self.overrides = self.path / ".hydra" / "overrides.yaml"
        self.log = self.path / "run.log"
        self.experiment = self.path / "experiment.json"
        self.architecture = self.path / "architecture.json"
        self.metrics = self.path / "metrics.csv"
        self.summary = self.path / "summary.json"
        self.checkpoint = self.path / "checkpoints" / "last.pt"
        self.weights = self.path / "checkpoints" / "weights.safetensors"
        self.plots = self.path / "plots"
        self.onnx = self.path / "network.onnx"
        self.tensorboard = self.path / "tensorboard"

    def figure(self, name: FigureName) -> Path:
        """The file of a figure."""
        return self.plots / f"{name}.png"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the folder for training; re-entrant in a thread. Raises ConfigError where it is held.

        No lock is taken where the system, or the file system, cannot lock a folder.
        """
        place, here = self.path.resolve(), (os.getpid(), threading.get_ident())
        if _held.get(place) == here:
            yield
            return
        with ExitStack() as stack:
            with suppress(ImportError, OSError):
                self.path.mkdir(parents=True, exist_ok=True)
                if not _locked(self.path, stack):
                    raise ConfigError(
                        f"run: another process is training in {str(self.path)!r}; wait for its end, "
                        "or choose another folder (hydra.run.dir=FOLDER)"
                    )
            _held[place] = here
            stack.callback(_held.pop, place)
            yield

    def write_summary(self, summary: Summary) -> None:
        """The summary as JSON, every field of it; null where a number is not finite."""
        self.write_json(self.summary, msgspec.to_builtins(summary))

    def read_summary(self) -> Summary | None:
        """summary.json; None where the run has not ended. Raises ConfigError for a file that is not ours."""
        with suppress(FileNotFoundError), _whole(self.summary):
            return _summary.decode(self.summary.read_bytes())
        return None

    def write_metrics(self, history: Sequence[Epoch]) -> None:
        """Writes the whole table of at least one epoch again: it is small, and so never torn."""
        with atomic(self.metrics) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, Epoch.__struct_fields__)
            writer.writeheader()
            writer.writerows(msgspec.structs.asdict(row) for row in history)

    def read_metrics(self) -> list[Epoch]:
        """The rows of metrics.csv; none before the first epoch. Raises ConfigError for a file not ours."""
        with suppress(FileNotFoundError), _whole(self.metrics):
            rows = csv.DictReader(self.metrics.read_bytes().decode().splitlines(), strict=True)
            filled = ({name: cell or None for name, cell in row.items()} for row in rows)
            return msgspec.convert(list(filled), list[Epoch], strict=False)
        return []

    def write_json(self, path: Path, data: Mapping[str, Any]) -> None:
        """`data` as JSON; null where a number is not finite, which JSON cannot say."""
        with atomic(path) as temporary:
            text = json.dumps(_finite(data), indent=2)
            temporary.write_text(text + "\n", encoding="utf-8")

    def read_json(self, path: Path) -> dict[str, Any]:
        """What `write_json` wrote. Raises ConfigError for a file that is damaged."""
        with _whole(path):
            return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])

    def log_handler(self) -> logging.FileHandler:
        """A handler that adds to run.log, in the form of conf/hydra/job_logging."""
        handler = logging.FileHandler(self.log, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        return handler

    def save_figure(self, name: FigureName, figure: "Figure") -> None:
        with atomic(self.figure(name)) as temporary:
            figure.savefig(temporary, format="png", dpi=120)

    def discard_unfinished(self) -> None:
        """Removes what a killed process was writing, and no other file of a user's."""
        ours = {file.name for file in vars(self).values()}
        for place in {file.parent for file in vars(self).values()} | {self.plots}:
            for temporary in place.glob(".*.tmp"):
                name, _, by = temporary.name[1 : -len(".tmp")].rpartition(".")
                if re.fullmatch(r"\d+(-[0-9a-f]{8})?", by) and (name in ours or place == self.plots):
                    temporary.unlink(missing_ok=True)


def _locked(folder: Path, stack: ExitStack) -> bool:
    """Whether this process could lock the folder itself, which leaves no file, until `stack` is unwound."""
    import fcntl  # not on Windows

    descriptor = os.open(folder, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    patient_until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > patient_until:
                return False
            time.sleep(0.1)
        else:
            # Closing alone would leave it to processes that were forked in between.
            stack.callback(fcntl.flock, descriptor, fcntl.LOCK_UN)
            return True


_summary = msgspec.json.Decoder(Summary)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Within it a file that is damaged, or not ours, is a ConfigError."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError, RecursionError, csv.Error) as error:
        raise ConfigError(f"run: {str(path)!r} is damaged ({error}); remove it and run again") from error


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {name: _finite(item) for name, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
    return value


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place at the end, or vanishes on an error.

    Raises OSError (ENOSPC) where the disk is full, whatever the library that wrote made of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two processes in containers may have one number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except Exception as error:
        if shutil.disk_usage(path.parent).free < DISK_FULL_BELOW:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        if isinstance(error, OSError) and str(error.filename) == str(temporary):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()
