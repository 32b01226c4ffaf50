"""The folder `outputs`: what it may be, and the names in it, of the database and of each study's folder.

Those within the folder of a run are in `runfolder`.
"""

import json
import os
from pathlib import Path

from cifar_arch.schema import ConfigError

RUNS = "runs"  # single ones, by date and time
SWEEPS = "sweeps"
CONFIRMATIONS = "confirm"
ARTIFACTS = "artifacts"  # figures that the dashboard shows
EXPERIMENT = "experiment"  # configs to run again
WORKERS = "workers"  # their logs
LOCKS = ".workers"  # which of them are alive
REJECTED = "rejected.csv"


class Outputs:
    """The folder that the option `outputs` names."""

    def __init__(self, path: str | Path):
        self.path = typed_path(path)
        self.studies = self.path / "studies.db"
        self.artifacts = self.path / ARTIFACTS

    def sweep(self, study: str) -> "StudyFolder":
        return StudyFolder(self.path / SWEEPS / study)

    def confirmation(self, study: str) -> "StudyFolder":
        return StudyFolder(self.path / CONFIRMATIONS / study)


class StudyFolder:
    """The folder of a sweep, or of a study's confirmation: a run folder for each trial, and files on all."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.rejected = self.path / REJECTED
        self.locks = self.path / LOCKS
        self.logs = self.path / WORKERS

    @property
    def outputs(self) -> Outputs:
        return Outputs(self.path.parent.parent)

    def trial(self, number: int) -> Path:
        return self.path / str(number)

    def experiment(self, name: str) -> Path:
        """The file that `--config-dir` with this folder and `+experiment=name` takes."""
        return experiment_file(self.path, name)


def experiment_name(number: int | str) -> str:
    """What `+experiment=` takes for the config of a trial, as it takes `best` and `winner`."""
    return f"trial-{number}"


def experiment_file(folder: Path, name: str) -> Path:
    """The config `name` in a folder that is given as --config-dir."""
    return folder / EXPERIMENT / f"{name}.yaml"


def typed_path(path: str | Path) -> Path:
    """The path that an option of a command, or a caller from Python, names."""
    return Path(from_home(str(path)))


def require_place(folder: Path) -> None:
    """Raises ConfigError where a folder that --to names cannot be made, for a file is in its place."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not place.is_dir():
        raise ConfigError(f"--to: {str(place)!r} is no folder; name another place")


def from_home(path: str) -> str:
    """The path, with the user's home for a ~ at its start, which shells leave there within a word."""
    return os.path.expanduser(path) if path == "~" or path.startswith("~/") else path


def refuse_home(outputs: str) -> None:
    """Raises ConfigError for a ~ in a file of configs, upon which other keys are built as it stands."""
    if outputs != from_home(outputs):
        raise ConfigError(
            f"outputs: expected a folder without ~ in a file of configs, got {outputs!r}; "
            f"write {from_home(outputs)}, or type outputs={outputs}"
        )


def require_outputs(outputs: object) -> None:
    """Raises ConfigError for what cannot be the folder of results."""
    if not isinstance(outputs, str) or not outputs or Path(outputs).is_file():
        file = ", which is a file" if outputs and isinstance(outputs, str) else ""
        raise ConfigError(f"outputs: expected a folder, got {json.dumps(outputs)}{file}; type outputs=FOLDER")
    if {"?", "%"} & set(outputs):
        raise ConfigError(
            f"outputs: expected a folder without ? and %, which mean something in the address of the study's "
            f"database, got {outputs!r}; type outputs=FOLDER"
        )
