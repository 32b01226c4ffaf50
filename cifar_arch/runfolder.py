"""Every file name of a run folder; all writes go to a temporary file that is renamed when whole."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        self.tensorboard = self.path / "tensorboard"

    def write_json(self, path: Path, data: Mapping[str, Any]) -> None:
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(data, indent=2) + "\n")

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

    def read_json(self, path: Path) -> dict[str, Any]:
        return json.loads(path.read_text())


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
