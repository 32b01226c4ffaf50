"""Optuna's sampler and pruner, made from their options in the config and tried."""

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import optuna
from hydra.utils import instantiate
from omegaconf import DictConfig
from optuna.distributions import IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler

from cifar_arch.schema import ConfigError, first_line
from cifar_arch.search.options import by_grid
from cifar_arch.search.trial import StudySampler

SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")
PRUNERS = ("optuna.pruners.*",)


def make_sampler(node: DictConfig, seed: int) -> BaseSampler:
    """The sampler of these options. Raises ConfigError for those that it refuses."""
    if by_grid(node):
        return RandomSampler(seed=seed)  # the study goes through a grid by itself
    sampler: BaseSampler = _made("sampler", node, SAMPLERS, seed=seed)
    return sampler


def working_pruner(sampler: DictConfig, pruner: DictConfig) -> BasePruner:
    """The pruner. Raises ConfigError for wrong options of either, such as Hyperband's max_resource=0.

    Some are taken, and fail only at work: in a job that would cost a trial each.
    """
    proposes = make_sampler(sampler, seed=0)
    if isinstance(proposes, CmaEsSampler) and find_spec("cmaes") is None:
        raise ConfigError(  # Optuna itself misses it only when it is asked for a second point
            "hydra.sweeper.sampler: needs the package 'cmaes', which is not installed; "
            "type uv pip install cmaes, or choose another sampler"
        )
    prunes: BasePruner = _made("pruner", pruner, PRUNERS)
    study = optuna.create_study(pruner=prunes)
    study.sampler = StudySampler(proposes, study)
    with _at_work("sampler", sampler):
        trial = study.ask({"width": IntDistribution(8, 16)})
    trial.report(0.5, 1)
    with _at_work("pruner", pruner):
        trial.should_prune()
    return prunes


def _made(kind: str, node: DictConfig, allowed: tuple[str, ...], **more: Any) -> Any:
    try:
        return instantiate(node, _execution_whitelist_=allowed, **more)
    except Exception as error:
        cause = first_line(error.__cause__ or error).removeprefix("Error in call to ")
        raise ConfigError(f"hydra.sweeper.{kind}: {cause}; got {_given(node)}") from error


@contextlib.contextmanager
def _at_work(kind: str, node: DictConfig) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ConfigError(
            f"hydra.sweeper.{kind}: cannot work with these options ({first_line(error)}), "
            f"got {_given(node)}; fix them, or leave them out"
        ) from error


def _given(node: DictConfig) -> str:
    given = ", ".join("=".join(map(str, o)) for o in node.items_ex(resolve=False) if o[0] != "_target_")
    return given or "no options"
