"""The study that all workers of a search share: opened, locked, counted, written to. No Hydra, no torch."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import optuna
from msgspec import Meta
from optuna.distributions import json_to_distribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from cifar_arch.limits import Violation
from cifar_arch.outputs import StudyFolder
from cifar_arch.record import Epoch, differences, with_added, without_added
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError, SearchStopped, Strict
from cifar_arch.search.ledger import Counts, Ledger
from cifar_arch.search.liveness import Workers
from cifar_arch.search.notes import note_study
from cifar_arch.search.objectives import OBJECTIVES
from cifar_arch.search.space import Point, Space, packages, short_overrides
from cifar_arch.search.storage import Lock, cached_storage, open_storage, patient, sqlite_file, study_lock
from cifar_arch.search.trial import TrialRecord, stored_attributes

REJECTED_COLUMNS = ("trial", "overrides", "rule", "limit", "actual", "message")


class Bounds(Strict, frozen=True, kw_only=True):
    """When a search gives up, and what it begins with."""

    max_failure_rate: Annotated[float, Meta(ge=0, le=1)] = 0.5  # of the trained trials, from the fourth on
    max_rejections: Annotated[int, Meta(ge=1)] = 300  # in a row
    # Trials that it begins with: points inside the limits with most multiply-adds.
    largest_first: Annotated[int, Meta(ge=0)] = 0


class SearchConfig(Bounds, frozen=True, kw_only=True):
    """What a search is about."""

    name: str  # of the study
    storage: str
    folder: StudyFolder
    space: Space
    objectives: tuple[str, ...]
    n_trials: int | None  # trained trials in all, though the space may have fewer; None: every point once
    exhaustive: bool  # point by point instead of by a sampler
    fingerprint: dict[str, Any]
    about: str = ""  # its command and limits, in Markdown


class SharedStudy:
    """A search's study in its database, and this process as one of its workers.

    The database is all that the workers share; whoever decides or tells something holds the lock.
    Raises ConfigError where the study of that name is another search's.
    """

    @patient
    def __init__(self, config: SearchConfig):
        self.config = config
        self.storage = open_storage(config.storage)
        self.file = sqlite_file(config.storage)
        self.opened_file_id = self._file_id()
        with self.lock():
            self.study = optuna.create_study(
                study_name=config.name,
                storage=cached_storage(config.storage),
                sampler=RandomSampler(),
                directions=[OBJECTIVES[name].direction for name in config.objectives],
                load_if_exists=True,
            )
            self._check_fingerprint()
            self.ledger = Ledger(self.study)
            if "folder" not in self.study.user_attrs:
                self.study.set_user_attr("folder", str(config.folder.path.resolve()))
        self.workers = Workers(config.folder.locks)

    def lock(self) -> Lock:
        """Held to ask for or tell a trial. Raises SearchStopped where another database is in its place."""
        if self.opened_file_id != self._file_id():
            raise SearchStopped(
                f"the study was removed while it ran: {str(self.file)!r} is no longer what it was; the same "
                "command starts again, after the folder of its trials is removed"
            )
        return study_lock(self.storage, self.config.storage, self.config.name)

    def _file_id(self) -> tuple[int, int] | None:
        """What tells a database file from another at its place; None for a server, or where it is gone."""
        with suppress(OSError):
            if self.file:
                found = self.file.stat()
                return found.st_dev, found.st_ino
        return None

    def _check_fingerprint(self) -> None:
        stored = self.study.user_attrs.get("fingerprint")
        if stored is None:
            if self.study.get_trials(deepcopy=False):
                raise ConfigError(
                    f"study: {self.config.name!r} was not made by this tool; choose another study=NAME"
                )
            self.study.set_user_attr("keys", self.config.space.aliases())
            self.study.set_metric_names(list(self.config.objectives))
            note_study(self.study, self.config.about, None)
            # It comes last: a study that has one has all of them, whenever its process was killed.
            self.study.set_user_attr("fingerprint", self.config.fingerprint)
        elif different := self._differences(stored):
            raise ConfigError(
                f"study: {self.config.name!r} was made with {different}; "
                "choose another study=NAME, or type the command it was made with"
            )

    def _differences(self, stored: dict[str, Any]) -> str:
        then, now = (
            _spelt_out(with_added(without_added(mark))) for mark in (stored, self.config.fingerprint)
        )
        # Earlier versions had no key within a group that is swept; `edited` looks at what they trained.
        swept = packages(self.config.space.distributions)
        now = {key: value for key, value in now.items() if key in then or not key.startswith(swept)}
        return differences(then, now, most=4)

    # --- reading; whoever holds the lock asks the ledger instead, for that has to fail as a whole -----------

    @patient
    def trials(self, *states: TrialState) -> list[TrialRecord]:
        """All trials by number, or those in one of `states`."""
        return self.ledger.trials(*states)

    @patient
    def best(self) -> float | None:
        """The highest first value of the trained trials."""
        return self.ledger.best()

    @patient
    def counts(self) -> Counts:
        return self.ledger.counts()

    def folder(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.config.folder.trial(number)

    def with_checkpoint(self, trial: TrialRecord) -> int:
        """The trial to go on from in place of one that did not come to an end."""
        # A worker may have died before it had copied the checkpoint: then the older one counts.
        if trial.continues is None or RunFolder(self.folder(trial.number)).checkpoint.is_file():
            return trial.number
        return trial.continues

    def history(self, number: int) -> list[Epoch]:
        """The epochs that a trial has done; none where metrics.csv cannot be read."""
        try:
            return RunFolder(self.folder(number)).read_metrics()
        except (ConfigError, OSError):
            return []

    # --- writing --------------------------------------------------------------------------------

    def note(self, trial: TrialRecord, **attributes: Any) -> None:
        """Writes attributes of an unfinished trial; those that are None are left out."""
        for name, value in stored_attributes(**attributes).items():
            self.storage.set_trial_user_attr(trial.id, name, value)

    def close(
        self, trial: TrialRecord, state: TrialState, values: Sequence[float] | None = None, **attributes: Any
    ) -> None:
        """Ends a trial, its attributes first: a finished one cannot be written to."""
        self.note(trial, **attributes)
        self.study.tell(trial.number, values, state=state)

    def queue(self, point: Point, **attributes: Any) -> None:
        """Queues `point`, so that it is asked for next."""
        self.study.enqueue_trial(self._named(point), user_attrs=stored_attributes(**attributes))

    def ask(self) -> optuna.Trial:
        """A queued point, or one that the study's sampler chooses."""
        return self.study.ask(self._named(self.config.space.distributions))

    def _named(self, by_key: Mapping[str, Any]) -> dict[str, Any]:
        """The same values under the names that the study's parameters have."""
        names = {key: name for name, key in self.ledger.keys.items()}
        return {names.get(key, key): value for key, value in by_key.items()}

    def report(self, trial: TrialRecord, curve: dict[int, float]) -> None:
        """Writes validation accuracies by epoch."""
        for epoch, accuracy in curve.items():
            self.storage.set_trial_intermediate_value(trial.id, epoch, accuracy)

    def beat(self, trial_id: int) -> None:
        self.storage.record_heartbeat(trial_id)

    def list_rejection(self, trial: TrialRecord, violations: Iterable[Violation]) -> None:
        """Adds a row for each broken rule to rejected.csv; in one piece and under the lock."""
        path, text = self.config.folder.rejected, io.StringIO()
        before = path.stat().st_size if path.exists() else 0
        writer = csv.writer(text, lineterminator="\n")
        if not before:
            writer.writerow(REJECTED_COLUMNS)
        words = short_overrides(trial.point)
        writer.writerows((trial.number, words, v.rule, v.limit, v.actual, v.message) for v in violations)
        try:
            with path.open("a", newline="", encoding="utf-8") as file:
                file.write(text.getvalue())
        except OSError:
            with suppress(OSError):
                os.truncate(path, before)  # a disk that is full took a part of it
            raise


def _spelt_out(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """The fingerprint with an entry for each swept key, its values as one reads them."""
    rest = {key: value for key, value in fingerprint.items() if key != "space"}
    space = {key: json_to_distribution(text) for key, text in fingerprint.get("space", {}).items()}
    return {f"values of {key}": list(getattr(d, "choices", [d])) for key, d in space.items()} | rest
