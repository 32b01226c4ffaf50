"""The end of a sweep: its ranking, what to type next, and the configs that train its trials once more."""

from pathlib import Path

from omegaconf import DictConfig

from cifar_arch.compose import plain
from cifar_arch.experiment import Experiment
from cifar_arch.plugins import files_as_typed
from cifar_arch.runfolder import atomic
from cifar_arch.saved_config import best_config, copy_own_options, data_override
from cifar_arch.schema import ConfigError, SearchStopped
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.composer import Composer
from cifar_arch.search.console import done_line, next_steps, target_lines
from cifar_arch.search.ranking import ranked
from cifar_arch.search.space import overrides, typed
from cifar_arch.search.study import SearchConfig, SharedStudy
from cifar_arch.search.trial import TrialRecord


def finish(shared: SharedStudy, composer: Composer, prefer: str, target: float | None) -> None:
    """Prints the ranking and what to type next, and writes the configs to run again.

    Raises SearchStopped where no trial was completed.
    """
    print(f"\n{done_line(shared)}")
    search = shared.config
    ranking = ranked(shared.trials(), search.objectives, prefer, target)
    if ranking is None:
        raise SearchStopped("no trial was completed; look at run.log in the folders of the failed ones")
    print(ranking)
    data = Experiment.from_dict(composer.config_at(ranking.best.point)).data
    for line in target_lines(ranking, target, prefer, synthetic=data.synthetic):
        print(line)
    best = ranking.configurations[0]
    whole = _compose_again(search, composer, best.first, "best", pin_seed=not best.seeded)
    for trial in (t for c in ranking.configurations for t in c.trials):
        if not _file(search, f"trial-{trial.number}").exists():  # its worker died right before
            _compose_again(search, composer, trial, f"trial-{trial.number}")
    plugins = files_as_typed(whole.plugins, whole.hydra.runtime)
    print(next_steps(search, ranking, plugins, data_override(data), prefer, target))


def write_experiment(
    search: SearchConfig, name: str, config: DictConfig, hydra: DictConfig, *, pin_seed: bool = True
) -> None:
    """Writes what `+experiment=` takes: the config, and the node `hydra` that was composed with it."""
    path = _file(search, name)
    copy_own_options(hydra, search.folder)
    with atomic(path) as temporary:
        temporary.write_text(best_config(config, hydra, path, pin_seed=pin_seed), encoding="utf-8")


def _file(search: SearchConfig, name: str) -> Path:
    return search.folder / "experiment" / f"{name}.yaml"


def _compose_again(
    search: SearchConfig, composer: Composer, trial: TrialRecord, name: str, *, pin_seed: bool = True
) -> DictConfig:
    """Writes the config of a trial, and returns it.

    Raises ConfigError where an option is no longer what the trial was trained with.
    """
    composed = composer.load([*composer.fixed, *overrides(trial.point)])
    if trial.key not in (None, Candidate.from_dict(plain(composed)).key):
        raise ConfigError(
            f"study: trial {trial.number} was trained with other options than {typed(trial.point)} has now; "
            "put them back, or choose another study=NAME"
        )
    write_experiment(search, name, composed, composed.hydra, pin_seed=pin_seed)
    return composed
