"""The names in the folder `outputs`: the database, and the folder of each study.

Those within the folder of a run are in `runfolder`.
"""

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
        self.path = Path(from_home(str(path)))
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


def typed_path(text: str) -> Path:
    """The path that an option of a command names."""
    return Path(from_home(text))


def require_place(folder: Path) -> None:
    """Raises ConfigError where a folder that --to names cannot be made, for a file is in its place."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not place.is_dir():
        raise ConfigError(f"--to: {str(place)!r} is no folder; name another place")


def from_home(path: str) -> str:
    """The path, with the user's home for a ~ at its start, which shells leave there within a word."""
    return os.path.expanduser(path) if path == "~" or path.startswith("~/") else path
