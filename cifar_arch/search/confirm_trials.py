"""The trials of a confirmation: its points, and how they are asked for and told.

At its next start a point may mean something else, such as another schedule. So points are looked up by what
they train, the key of their candidate; nothing is left in the queue; and what failed is trained again.
"""

from collections.abc import Hashable, Iterator, Sequence

from optuna.distributions import IntDistribution
from optuna.trial import Trial, TrialState

from cifar_arch.schema import SearchStopped
from cifar_arch.search.ask import Asker
from cifar_arch.search.ledger import Counts
from cifar_arch.search.space import Point, Space
from cifar_arch.search.tell import Teller
from cifar_arch.search.trial import Role, TrialRecord


class Seeds(Space):
    """Every chosen network, by the number of its trial, with every seed.

    The ranges are the widest, so that another choice can join the same study.
    """

    def __init__(self, numbers: Sequence[int], seeds: int):
        super().__init__({"network": IntDistribution(0, 2**31), "seed": IntDistribution(0, 2**31)})
        self.numbers, self.seeds = numbers, seeds

    def size(self) -> int:
        return len(self.numbers) * self.seeds

    def points(self) -> Iterator[Point]:
        for number in self.numbers:
            yield from ({"network": number, "seed": seed} for seed in range(self.seeds))


class ConfirmAsker(Asker):
    """The next jobs of a confirmation, point by point."""

    def awaited(self) -> int:
        """How many of its trials other workers train; those of another schedule do not count."""
        keys = {self.assess(point).key for point in self.shared.config.space.points()}
        return sum(trial.key in keys for trial in self.shared.trials(TrialState.RUNNING))

    def _refuse_edited(self) -> None:
        """Refuses nothing: a point that means something else by now has another key."""

    def _next_trial(self, counts: Counts, fruitless: int) -> Trial | None:
        self._drop_waiting(counts.waiting)
        point = self._first_untried(feasible=True)
        if point is None:
            return None
        self.shared.queue(point, **self._left_behind(point))
        return self.shared.ask()

    def _drop_waiting(self, count: int) -> None:
        """Closes what is queued: Optuna would hand it out, though another command may look for it alone."""
        for _ in range(count):
            trial = self.shared.ledger.trial(self.shared.ask().number)
            self.shared.close(trial, TrialState.FAIL, role=Role.ABANDONED)

    def _left_behind(self, point: Point) -> dict[str, int]:
        """What a copy has to know of the last training of this point, where that was interrupted."""
        equal = [t for t in self.shared.ledger.equal(self.assess(point).key) if t.role is not Role.ABANDONED]
        if not equal or (last := equal[-1]).role is not Role.REQUEUED:
            return {}
        return {
            "retries": last.retries,
            "epochs_before": last.epochs_before,
            "continues": self.shared.with_checkpoint(last),
        }

    def _tried(self) -> set[Hashable]:
        return set()  # the same point may have another key by now

    def _equal(self, key: str) -> list[TrialRecord]:
        return [t for t in self.shared.ledger.equal(key) if t.state != TrialState.FAIL]


class ConfirmTeller(Teller):
    """Ends the trials of a confirmation; the point of one that did not come to an end is open again."""

    def _give_up(self, trial: TrialRecord, reason: str) -> None:
        """Raises SearchStopped, or the failure would be repeated at once."""
        self.shared.close(trial, TrialState.FAIL, reason=reason)
        raise SearchStopped(f"a training failed ({reason}); the same command tries it once more")

    def _hand_on(self, trial: TrialRecord, retries: int, epochs: int) -> None:
        self.shared.note(trial, retries=retries, epochs_before=epochs)  # for `ConfirmAsker`
        self.shared.close(trial, TrialState.FAIL, role=Role.REQUEUED)
