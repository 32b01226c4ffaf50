"""The best trials of a finished study, and their configs for a last training on all images."""

import difflib
from pathlib import Path
from typing import Any, cast

import msgspec
import optuna
from omegaconf import DictConfig, OmegaConf

from cifar_arch.compose import plain
from cifar_arch.provenance import masked
from cifar_arch.recipe import Recipe
from cifar_arch.runfolder import RunFolder, atomic
from cifar_arch.schema import ConfigError
from cifar_arch.search.composer import best_config
from cifar_arch.search.ranking import ranked
from cifar_arch.search.storage import open_storage, quiet_optuna, sqlite_file
from cifar_arch.search.trial import TrialRecord


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A trial to confirm: its folder in the sweep, and the config it was composed to."""

    number: int
    folder: Path
    composed: DictConfig
    value: float  # validation accuracy in the study
    params: int
    receptive_field: int

    def config(self, epochs: int | None, seed: int) -> dict[str, Any]:
        """The plain config that trains it on all training images and reads the test set."""
        changed = full_schedule(self.composed, epochs)
        changed.update(seed=seed, read_test=True)
        return plain(changed)


def full_schedule(composed: DictConfig, epochs: int | None) -> DictConfig:
    """A copy without validation images, for `epochs`: by default the default recipe's, or more."""
    changed = composed.copy()
    changed.data.validation = 0
    changed.training.epochs = epochs or max(Recipe().epochs, changed.training.epochs)
    changed.training.resume = None
    return changed


def best_trials(study: str, storage: str, top: int, prefer: str) -> list[Choice]:
    """The best `top` trials of a study, the best first. Raises ConfigError where there is no such study."""
    quiet_optuna()
    found = _load(study, storage)
    trials = [TrialRecord.of(t) for t in found.get_trials(deepcopy=False)]
    objectives = found.metric_names or ["accuracy"]
    if objectives[0] != "accuracy":
        raise ConfigError(f"study: {study!r} looked for {objectives[0]} first; confirm needs accuracy there")
    ranking = ranked(trials, objectives, "accuracy", None)
    if ranking is None:
        raise ConfigError(f"study: {study!r} has no completed trial yet; type its command again to go on")
    if prefer == "smallest":
        target = _choice(ranking.best).composed.limits.target_accuracy
        ranking = ranked(trials, objectives, prefer, target) or ranking
    return [_choice(t) for t in ranking.trials[:top]]


def _load(study: str, storage: str) -> optuna.Study:
    file = sqlite_file(storage)
    if file and not file.is_file():
        raise ConfigError(
            f"storage: there is no file {str(file)!r}; name the one of your study with --storage"
        )
    backend = open_storage(storage)
    names = optuna.get_all_study_names(backend)
    if study not in names:
        close = difflib.get_close_matches(study, names, 1, 0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names) or 'none'}"
        raise ConfigError(f"study: no study {study!r} in {masked(storage)}; {hint}")
    return optuna.load_study(study_name=study, storage=backend)


def _choice(trial: TrialRecord) -> Choice:
    """Raises ConfigError where the trial's folder is gone or not one of ours."""
    run = RunFolder(trial.folder or "")
    settings = run.config.with_name("hydra.yaml")
    if trial.folder is None or not run.config.is_file() or not settings.is_file():
        raise ConfigError(
            f"study: the folder of trial {trial.number}, {str(run.path)!r}, has no saved config; "
            "type confirm where the sweep was typed"
        )
    composed, hydra = OmegaConf.load(run.config), OmegaConf.load(settings)
    assert isinstance(composed, DictConfig)
    composed = cast(
        DictConfig, OmegaConf.merge(composed, {"hydra": {"runtime": {"choices": _choices(hydra)}}})
    )
    return Choice(
        number=trial.number,
        folder=run.path,
        composed=composed,
        value=trial.values[0],
        params=trial.params or 0,
        receptive_field=trial.receptive_field or 0,
    )


def _choices(hydra: Any) -> dict[str, Any]:
    choices = OmegaConf.to_container(hydra.hydra.runtime.choices)
    assert isinstance(choices, dict)
    return {str(group): choice for group, choice in choices.items()}


def write_winner(choice: Choice, epochs: int | None) -> Path:
    """Writes experiment/winner.yaml beside the sweep's best.yaml and returns its path."""
    path = choice.folder.parent / "experiment" / "winner.yaml"
    with atomic(path) as temporary:
        temporary.write_text(best_config(full_schedule(choice.composed, epochs), path), encoding="utf-8")
    return path


def save_config(folder: RunFolder, config: dict[str, Any]) -> None:
    """What `training.resume` reads."""
    with atomic(folder.config) as temporary:
        OmegaConf.save(OmegaConf.create(config), temporary)


def saved_config(folder: RunFolder) -> dict[str, Any] | None:
    """What `save_config` wrote; None where there is none that can be read."""
    try:
        loaded = OmegaConf.load(folder.config)
    except (OSError, ValueError):
        return None
    return plain(loaded) if isinstance(loaded, DictConfig) else None
