"""A command with its workers: whether it goes on stands in the study, where each of them reads it."""

import contextlib
from collections.abc import Iterator
from typing import Literal

import msgspec

from cifar_arch.schema import ConfigError, SearchStopped
from cifar_arch.search.storage import patient
from cifar_arch.search.study import SharedStudy


class WorkerBroken(SearchStopped):
    """A worker whose process can train no more, though others can."""


How = Literal["finished", "stopped", "wrong", "hopeless"]


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a session ended: what there is to do is done, a person stopped it, or a worker could not go on."""

    how: How
    sentence: str = ""  # why


class Session:
    """The end of a command's workers, in an attribute of its study; once it is there, it stays."""

    def __init__(self, shared: SharedStudy, name: str):
        self.shared = shared
        self.name = name

    @patient
    def ended(self) -> End | None:
        """How the session ended, once it has."""
        stored = self.shared.study.user_attrs.get(self._attribute)
        return stored and msgspec.convert(stored, End)

    @patient
    def end(self, how: How, sentence: str = "") -> None:
        """Has all workers give back what they train, and end."""
        if not self.ended():
            self.shared.study.set_user_attr(
                self._attribute, msgspec.to_builtins(End(how=how, sentence=sentence))
            )

    @contextlib.contextmanager
    def of_worker(self) -> Iterator[None]:
        """Ends the session with the worker that finds everything done, or that cannot go on.

        One that is interrupted, as by a job that is cancelled, or broken leaves the rest to the others.
        """
        try:
            yield
        except ConfigError as error:
            self.end("wrong", str(error))
            raise
        except WorkerBroken:
            raise
        except SearchStopped as error:
            self.end("hopeless", str(error))
            raise
        self.end("finished")

    def raise_why(self) -> None:
        """Raises ConfigError or SearchStopped with the sentence of the worker that could not go on."""
        match self.ended():
            case End(how="wrong", sentence=sentence):
                raise ConfigError(sentence)
            case End(how="hopeless", sentence=sentence):
                raise SearchStopped(sentence)

    @property
    def _attribute(self) -> str:
        return f"session {self.name}"
