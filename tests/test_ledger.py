"""The ledger against a recount of everything, while two processes' worth of objects write."""

import random
from collections import Counter
from pathlib import Path

import pytest
from optuna.distributions import IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState
from sweeping import at_most, finish_job, open_worker, search_config

from cifar_arch.record import Status
from cifar_arch.search.ask import Job
from cifar_arch.search.ledger import UNTRIED, Counts, Ledger
from cifar_arch.search.space import point_identity
from cifar_arch.search.worker import Worker


def recounted(ledger: Ledger) -> Counts:
    names = {TrialState.COMPLETE: "completed", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    counts: Counter[str] = Counter()
    for trial in Ledger(ledger.study).trials():
        counts[trial.role or names.get(trial.state, trial.state.name.lower())] += 1
    return Counts(**counts)


def step(worker: Worker, jobs: list[Job], rng: random.Random) -> None:
    """Something that a worker may do next."""
    if not jobs or rng.random() < 0.5:
        if job := worker.asker.ask():
            jobs.append(job)
        return
    job = jobs.pop(rng.randrange(len(jobs)))
    match rng.randrange(4):
        case 0:
            finish_job(worker, job, status=Status.FAILED, reason="broken")
        case 1:
            finish_job(worker, job, status=Status.PRUNED, reason="low")
        case 2:
            worker.teller.tell(job.number, stopped=True)  # no summary: it is queued again
        case _:
            finish_job(worker, job, rng.random())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_it_says_what_a_recount_says(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    wanted = search_config(
        tmp_path, {"a": IntDistribution(0, 4), "b": IntDistribution(0, 5)}, exhaustive=bool(seed % 2)
    )
    workers = [open_worker(wanted, RandomSampler(seed=seed), at_most(6)) for _ in range(2)]
    jobs: list[list[Job]] = [[], []]
    for turn in range(40):
        who = rng.randrange(2)
        step(workers[who], jobs[who], rng)
        ledger = workers[1 - who].shared.ledger  # what the other one did is known as well
        assert turn % 5 or ledger.counts() == recounted(ledger)
    fresh = Ledger(workers[0].shared.study).trials()
    values = [t.values[0] for t in fresh if t.trained and t.values]
    for ledger in (worker.shared.ledger for worker in workers):
        assert ledger.trials() == fresh
        assert ledger.trials(TrialState.RUNNING) == [t for t in fresh if t.state == TrialState.RUNNING]
        assert ledger.best() == max(values, default=None)
        assert ledger.tried() == {point_identity(t.point) for t in fresh if t.role not in UNTRIED}
        for key in {t.key for t in fresh} - {None}:
            assert key
            assert ledger.equal(key) == [t for t in fresh if t.key == key]
