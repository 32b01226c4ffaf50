"""Every file name of a run folder; all writes go to a temporary file that is renamed when whole."""

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifar_arch.schema import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Status(StrEnum):
    COMPLETED = "completed"
    PRUNED = "pruned"
    REJECTED = "rejected"  # outside its limits: never trained
    FAILED = "failed"


class RunFolder:
    """The files of one run. Nothing else joins these paths."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / ".hydra" / "config.yaml"
        self.log = self.path / "run.log"
        self.architecture = self.path / "architecture.json"
        self.metrics = self.path / "metrics.csv"
        self.summary = self.path / "summary.json"
        self.checkpoint = self.path / "checkpoints" / "last.pt"
        self.weights = self.path / "checkpoints" / "weights.safetensors"
        self.plots = self.path / "plots"
        self.onnx = self.path / "network.onnx"
        self.tensorboard = self.path / "tensorboard"

    def write_json(self, path: Path, data: Mapping[str, Any]) -> None:
        """`data` as JSON; null where a number is not finite, which JSON cannot say."""
        with atomic(path) as temporary:
            text = json.dumps(_finite(data), indent=2, allow_nan=False)
            temporary.write_text(text + "\n")

    def write_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """The whole table of epochs, anew: it is small, and so never torn."""
        rows = list(rows)
        with atomic(self.metrics) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    def save_figure(self, name: str, figure: "Figure") -> None:
        with atomic(self.plots / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=120)

    def seconds_trained(self) -> float:
        """Sum over the epochs in metrics.csv."""
        try:
            with self.metrics.open(newline="") as file:
                return sum(float(row["seconds"]) for row in csv.DictReader(file))
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0

    def epochs_done(self) -> int:
        """Rows of metrics.csv."""
        try:
            return max(0, len(self.metrics.read_text().splitlines()) - 1)
        except OSError:
            return 0

    def discard_unfinished(self) -> None:
        """Removes what a killed process was writing."""
        for temporary in self.path.rglob(".*.tmp"):
            temporary.unlink(missing_ok=True)

    def read_summary(self) -> dict[str, Any]:
        """summary.json, or nothing where the run ended without one."""
        try:
            return self.read_json(self.summary)
        except (OSError, ValueError):
            return {}

    def read_json(self, path: Path) -> dict[str, Any]:
        """What `write_json` wrote. Raises ConfigError for a file that is damaged."""
        try:
            return json.loads(path.read_text())
        except ValueError as error:
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
    """A temporary path beside `path` that takes its place at the end, or vanishes on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
