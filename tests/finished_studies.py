"""A finished study as a sweep leaves it, and a training of its networks that learns nothing."""

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState
from sweeping import STORAGE

from cifar_arch.overrides import CONF
from cifar_arch.record import Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.search.objectives import OBJECTIVES
from cifar_arch.search.storage import open_storage, quiet_optuna

# The swept values of each trial, as they are typed, with its validation accuracy; None for a pruned one.
Trials = tuple[tuple[str, float | None], ...]
TIMES = {"seconds": 140.0, "epochs_done": 10}  # of each


def finished_study(trials: Trials, *fixed: str, objectives: tuple[str, ...] = ("accuracy",)) -> None:
    """Leaves the study `s` in the current folder; a network has 1,000 parameters for each channel of C1."""
    quiet_optuna()  # pytest gives every test its own filters of warnings
    shutil.copytree(_made(trials, fixed, objectives).name, Path.cwd(), dirs_exist_ok=True)


@functools.cache  # most tests begin with the same study
def _made(
    trials: Trials, fixed: tuple[str, ...], objectives: tuple[str, ...]
) -> "tempfile.TemporaryDirectory[str]":
    place = tempfile.TemporaryDirectory()
    with contextlib.chdir(place.name):
        Path("outputs").mkdir()
        directions = [OBJECTIVES[name].direction for name in objectives]
        study = optuna.create_study(study_name="s", storage=open_storage(STORAGE), directions=directions)
        study.set_metric_names(list(objectives))
        for number, (typed, accuracy) in enumerate(trials):
            _add(study, number, typed.split(), accuracy, fixed)
    return place


@functools.cache
def _composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), job_name="cifar_arch"):
        return hydra_compose("config", list(overrides), return_hydra_config=True)


def _add(
    study: optuna.Study, number: int, typed: list[str], accuracy: float | None, fixed: tuple[str, ...]
) -> None:
    folder = RunFolder(Path("outputs/sweeps/s") / str(number))
    folder.config.parent.mkdir(parents=True)
    whole = _composed(*fixed, *typed)
    choices = {"hydra": {"runtime": {"choices": whole.hydra.runtime.choices}}}
    OmegaConf.save(OmegaConf.create(choices), folder.hydra)
    names = [str(name) for name in whole if name != "hydra"]
    OmegaConf.save(OmegaConf.masked_copy(whole, names), folder.config)
    params = 1000 * whole.model.width
    pairs = [text.split("=") for text in typed]
    point = {key: int(value) if value.isdigit() else value for key, value in pairs}
    numbers = IntDistribution(0, 99_999)
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.PRUNED if accuracy is None else TrialState.COMPLETE,
            values=None if accuracy is None else [accuracy, params][: len(study.directions)],
            params=point,
            distributions={
                key: numbers if isinstance(value, int) else CategoricalDistribution([value])
                for key, value in point.items()
            },
            user_attrs={"folder": str(folder.path), "params": params, "receptive_field": 50, **TIMES},
        )
    )


class Stub:
    """Stands in for `experiment.run_config`: test accuracies by trial, and what it was called with."""

    def __init__(self, accuracy: Callable[[int], float]):
        self.accuracy, self.calls = accuracy, list[tuple[int, int, dict[str, Any]]]()

    def __call__(self, config: dict[str, Any], path: Path, *_: Any, progress: bool, command: str) -> Summary:
        number = config["trial"]["number"]
        self.calls.append((number, config["seed"], config))
        accuracy = self.accuracy(number) + 0.01 * config["seed"]
        summary = Summary(status=Status.COMPLETED, test_accuracy=accuracy, seconds=60.0, device="cpu")
        RunFolder(path).write_summary(summary)
        return summary

    @property
    def trained(self) -> list[tuple[int, int]]:
        """(trial of the study, seed) of each training."""
        return [(number, seed) for number, seed, _ in self.calls]
