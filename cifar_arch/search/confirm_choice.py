"""Which trials of a study a confirmation trains: the best different ones, or those that were named."""

import difflib
from collections.abc import Sequence
from typing import Any

import msgspec
import optuna
from omegaconf import DictConfig

from cifar_arch.compose import plain
from cifar_arch.config import Experiment
from cifar_arch.outputs import Outputs, StudyFolder
from cifar_arch.provenance import masked
from cifar_arch.recipe import Recipe
from cifar_arch.runfolder import RunFolder
from cifar_arch.saved_config import saved_composition, saved_config
from cifar_arch.schema import ConfigError
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.ledger import full_keys
from cifar_arch.search.objectives import Prefer, objectives_of
from cifar_arch.search.options import target_accuracy
from cifar_arch.search.ranking import Configuration, Ranking, ranked, target_lines
from cifar_arch.search.storage import open_storage, patient, quiet_optuna, sqlite_file
from cifar_arch.search.trial import TrialRecord

OPTION = "--target "  # of `confirm`
OWN = "-confirm"  # what the name of a confirmation's own study ends in


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration to confirm, by its first trial."""

    number: int  # of that trial
    sweep: StudyFolder
    composed: DictConfig  # what that trial was composed to
    value: float  # validation accuracy in the study, a mean where seeds are swept
    params: int
    receptive_field: int
    image_seconds: float | None  # see `DataConfig.epoch_work`
    seeded: bool  # whether seeds are swept

    def config(self, epochs: int | None, seed: int) -> dict[str, Any]:
        """The plain config that trains it on all training images and reads the test set."""
        changed = full_schedule(self.composed, epochs)
        changed.update(seed=seed, read_test=True, trial={"number": self.number})
        return plain(changed)


def full_schedule(composed: DictConfig, epochs: int | None) -> DictConfig:
    """A copy without validation images, for `epochs`: by default the default recipe's, or more."""
    changed = composed.copy()
    changed.data.validation = 0
    changed.training.threads = "auto"  # on record is the share of the worker that trained it
    changed.training.epochs = epochs or max(Recipe().epochs, changed.training.epochs)
    return changed


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which configurations of a study to confirm."""

    study: str
    storage: str
    outputs: Outputs
    top: int  # so many of the best
    trials: Sequence[int]  # numbers, in place of the best
    prefer: Prefer
    target: float | None  # None: that of the study
    epochs: int | None  # None: those of the default recipe, or of the study where that is more
    plugins: Sequence[str]  # Python files that the networks need


@patient
def chosen(wanted: Wanted) -> tuple[list[Choice], list[str]]:
    """What to confirm, the best first, and what there is to say about it.

    No two of the best train the same; trials that are named are taken as they are. Raises ConfigError where
    there is no such study or trial.
    """
    quiet_optuna()
    study = _load(wanted.study, wanted.storage)
    records = [TrialRecord.of(t, full_keys(study)) for t in study.get_trials(deepcopy=False)]
    objectives = objectives_of(study)
    if objectives[0] != "accuracy":
        raise ConfigError(
            f"study: {wanted.study!r} looked for {objectives[0]} first; confirm needs accuracy there"
        )
    ranking = ranked(records, objectives, "accuracy", None)
    if ranking is None:
        raise ConfigError(
            f"study: {wanted.study!r} has no completed trial yet; type its command again to go on"
        )
    if wanted.trials:
        named = [_named(number, ranking, records) for number in dict.fromkeys(wanted.trials)]
        return [_choice(configuration, wanted) for configuration in named], []
    if wanted.prefer != "smallest":
        return _different(ranking, wanted), []
    first = Experiment.from_dict(_choice(ranking.configurations[0], wanted).config(wanted.epochs, 0))
    target = target_accuracy(first, wanted.prefer, OPTION)
    ranking = ranked(records, objectives, wanted.prefer, target) or ranking
    lines = target_lines(ranking, target, wanted.prefer, synthetic=False, option=OPTION)
    return _different(ranking, wanted), lines


def _different(ranking: Ranking, wanted: Wanted) -> list[Choice]:
    """The best configurations, no two of which train the same on the full schedule."""
    found: dict[str, Choice] = {}
    for configuration in ranking.configurations:
        choice = _choice(configuration, wanted)
        found.setdefault(Candidate.from_dict(choice.config(wanted.epochs, 0)).key, choice)
        if len(found) == wanted.top:
            break
    return list(found.values())


def _named(number: int, ranking: Ranking, records: Sequence[TrialRecord]) -> Configuration:
    """One trial by its number. Raises ConfigError for one that was not completed."""
    complete = {t.number: t for c in ranking.configurations for t in c.trials}
    if number not in complete:
        known = records[number] if number < len(records) else None
        got = "there is no such trial" if known is None else f"it is {known.role or known.state.name.lower()}"
        if known is not None and known.replays is not None:
            got += f", equal to trial {known.replays}"
        raise ConfigError(
            f"--trial: expected a completed trial of the study, got {number} ({got}); "
            f"choose from {', '.join(map(str, sorted(complete)))}"
        )
    return Configuration(trials=(complete[number],))


def _load(study: str, storage: str) -> optuna.Study:
    file = sqlite_file(storage)
    if file and not file.is_file():
        raise ConfigError(
            f"storage: there is no file {str(file)!r}; name the one of your study with --storage"
        )
    backend = open_storage(storage)
    names = optuna.get_all_study_names(backend)
    if study not in names:
        others = [name for name in names if not name.endswith(OWN)]
        close = difflib.get_close_matches(study, others, 1, 0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(others) or 'none'}"
        raise ConfigError(f"study: no study {study!r} in {masked(storage)}; {hint}")
    return optuna.load_study(study_name=study, storage=backend)


def _choice(configuration: Configuration, wanted: Wanted) -> Choice:
    """Raises ConfigError where the trial's folder is gone or not one of ours."""
    trial = configuration.first
    # The folder that was named comes first: it may be a copy, and what the study has on record another one.
    run = RunFolder(wanted.outputs.sweep(wanted.study).trial(trial.number))
    if not run.config.is_file():
        run = RunFolder(trial.folder or "")
    if trial.folder is None or not run.config.is_file() or not run.hydra.is_file():
        advice = "type confirm where the sweep was typed, or name other trials with --trial"
        if run.experiment.is_file():
            advice = "`search` trained it from Python: train it there, with data.validation=0"
        raise ConfigError(
            f"study: the folder of trial {trial.number}, {str(run.path)!r}, has no saved config; {advice}"
        )
    config = saved_config(run)
    if trial.key not in (None, Candidate.from_dict(config).key):
        raise ConfigError(
            f"study: {str(run.path)!r} holds another network or recipe than trial {trial.number} had; "
            "type confirm where the sweep was typed"
        )
    whole = saved_composition(run)
    if wanted.target is not None:
        whole.target = wanted.target
    images = (trial.epochs_done or 0) * Experiment.from_dict(config).data.epoch_work
    return Choice(
        number=trial.number,
        sweep=StudyFolder(run.path.parent),
        composed=whole,
        value=configuration.values[0],
        params=trial.params or 0,
        receptive_field=trial.receptive_field or 0,
        image_seconds=trial.seconds / images if trial.seconds and images else None,
        seeded=configuration.seeded,
    )
