"""What samplers are shown of a study: of large ones an excerpt, rejected trials, and those that run."""

from collections import Counter
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from cifar_arch.search.trial import BEST, EXCERPT, StudySampler, random_start

WIDTH: dict[str, BaseDistribution] = {"width": IntDistribution(4, 9)}


def complete(study: optuna.Study, value: float, width: int = 5) -> None:
    study.add_trial(optuna.trial.create_trial(value=value, params={"width": width}, distributions=WIDTH))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_an_excerpt_has_the_best_of_all_that_has_ended_since() -> None:
    study = optuna.create_study(direction="minimize", sampler=RandomSampler())
    for number in range(EXCERPT + 50):
        complete(study, 1000.0 + number)
    sampler = StudySampler(TPESampler(seed=0), study)

    def lowest() -> list[float]:
        sampler.infer_relative_search_space(study, study.get_trials()[0])
        shown = sampler.study.get_trials(states=(TrialState.COMPLETE,))
        return sorted(t.value or 0.0 for t in shown)[:BEST]

    assert lowest() == [1000.0 + number for number in range(BEST)]
    late = study.ask(WIDTH)
    for number in range(BEST):
        complete(study, 500.0 + number)
    assert lowest() == [500.0 + number for number in range(BEST)]
    study.tell(late, 1.0)  # it ran when the others were looked at
    assert lowest() == [1.0, *(500.0 + number for number in range(BEST - 1))]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("count", [300, 600])
def test_an_excerpt_has_all_that_run(count: int) -> None:
    """Or two workers would be sent to the same place."""
    study = optuna.create_study(direction="maximize", sampler=RandomSampler())
    for number in range(count):
        complete(study, number % 97)
    running = [study.ask(WIDTH).number for _ in range(4)]
    sampler = StudySampler(TPESampler(seed=0), study)
    sampler.infer_relative_search_space(study, study.get_trials()[-1])
    assert [t.number for t in sampler.study.get_trials(states=(TrialState.RUNNING,))] == running


def test_rejected_trials_are_shown_with_the_worst_of_each_objective() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for values in ([0.9, 100], [0.5, 900], [0.7, 300]):
        study.add_trial(optuna.trial.create_trial(values=values, params={"width": 5}, distributions=WIDTH))
    rejected = {"role": "rejected"}
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.PRUNED, params={"width": 5}, distributions=WIDTH, user_attrs=rejected
        )
    )
    shown = StudySampler(NSGAIISampler(), study).study.get_trials(deepcopy=False)
    assert (shown[-1].state, shown[-1].values) == (TrialState.COMPLETE, [0.5, 900])


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(("sampler", "start"), [(TPESampler, 14), (GPSampler, 14), (CmaEsSampler, 10)])
def test_the_random_start_grows_where_rejected_trials_are_shown(
    sampler: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = optuna.create_study(direction="maximize")
    for _ in range(4):
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.PRUNED,
                params={"width": 5},
                distributions=WIDTH,
                user_attrs={"role": "rejected"},
            )
        )
    made = sampler(n_startup_trials=10)
    monkeypatch.setattr(type(made), "infer_relative_search_space", lambda *_: {})
    StudySampler(made, study).infer_relative_search_space(study, study.get_trials()[0])
    assert random_start(made) == start


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_an_excerpt_is_the_best_and_a_regular_sample() -> None:
    study = optuna.create_study(direction="maximize", sampler=RandomSampler())
    number = 2 * EXCERPT
    for n in range(number):
        complete(study, 37 * n % number)  # each value once, in no order
    sampler = StudySampler(TPESampler(seed=0), study)
    sampler.infer_relative_search_space(study, study.get_trials()[0])
    shown = sampler.study.get_trials(states=(TrialState.COMPLETE,))
    assert EXCERPT - BEST <= len(shown) <= EXCERPT  # a good one may be in the sample too
    highest = sorted((t.value or 0.0 for t in shown), reverse=True)[:BEST]
    assert highest == list(range(number - 1, number - 1 - BEST, -1))
    assert [t.number for t in shown] == sorted({t.number for t in shown})
    halves = Counter(t.number < EXCERPT for t in shown)
    assert abs(halves[True] - halves[False]) <= BEST


def test_a_sampler_hears_of_each_trial() -> None:
    """Some choose before it, such as Optuna's grid, others learn after it."""
    told: list[str] = []

    class Listening(RandomSampler):
        def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
            told.append("before")

        def after_trial(self, study: Any, trial: FrozenTrial, state: TrialState, values: Any) -> None:
            told.append(state.name)

    study = optuna.create_study()
    study.sampler = StudySampler(Listening(), study)
    study.tell(study.ask(WIDTH), 0.5)
    assert told == ["before", "COMPLETE"]
