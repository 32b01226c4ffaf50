"""A search from Python: what a sweep does, without Hydra."""

import copy
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import BaseSampler, TPESampler

from cifar_arch.config import Experiment
from cifar_arch.outputs import Outputs
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError, SearchStopped, checked
from cifar_arch.search.ask import Job
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.console import done_line
from cifar_arch.search.objectives import Prefer
from cifar_arch.search.options import (
    Options,
    each_experiment,
    refuse_unswept,
    search_config,
    target_accuracy,
)
from cifar_arch.search.pruning_callback import PruningCallback
from cifar_arch.search.ranking import Ranking, ranked, target_lines
from cifar_arch.search.space import Point, Space, with_value
from cifar_arch.search.storage import quiet_optuna, sqlite_url
from cifar_arch.search.study import SharedStudy
from cifar_arch.search.worker import Worker, train_here

# The defaults of conf/hydra/sweeper.
TPE = functools.partial(TPESampler, n_startup_trials=10, multivariate=True, group=True, constant_liar=True)
MEDIAN = functools.partial(MedianPruner, n_startup_trials=5, n_warmup_steps=2)


def search(
    config: dict[str, Any],
    space: Mapping[str, Sequence[Any] | BaseDistribution],
    *,
    n_trials: int | None = None,
    study: str | None = None,
    objectives: Sequence[str] = ("accuracy",),
    prefer: Prefer = "accuracy",
    sampler: Callable[..., BaseSampler] = TPE,
    pruner: BasePruner | None = None,
    outputs: str | Path = "outputs",
    progress: bool = True,
) -> Ranking:
    """The completed trials of a search, the best first; print it, or take its `best`.

    `config` is an experiment as plain data; `space` maps full keys, such as model.width or model.t1.kind,
    to the values to try or to an Optuna distribution. As in a sweep, `n_trials` counts trained trials (None:
    every point once), points outside the limits are rejected, the test set is not read, and the same call
    goes on where it was interrupted. `sampler` is called with `seed=`; `pruner=None` is the median one.
    Writes into `outputs`. Raises ConfigError for a mistake, SearchStopped where too many trials fail.
    """
    quiet_optuna()
    _require_kinds(config, space, objectives, pruner, outputs)
    # Hyperband counts in itself: of a copy, so that the same call with it goes on.
    points, made_pruner = _Points(config, space), copy.deepcopy(pruner) or MEDIAN()
    where = {"storage": sqlite_url(Outputs(outputs).studies), "seed": config.get("seed", 0)}
    given = {"study": study, "n_trials": n_trials, "objectives": list(objectives), "prefer": prefer}
    options = checked(Options, {**where, **given}, "")
    algorithms = {"sampler": _described(sampler), "pruner": _made_described(made_pruner)}
    first, *_ = each_experiment(points, options.objectives)
    wanted = search_config(points, options, Outputs(outputs), algorithms, named="search")
    target = target_accuracy(first, prefer)
    with Worker(wanted, lambda after: sampler(seed=options.sampler_seed(after)), points.assess) as worker:
        worker.work(lambda job: _train(points, worker.shared, made_pruner, job), progress=progress)
    ranking = _ranking(worker.shared, prefer, target)
    if progress:
        lines = target_lines(ranking, target, prefer, synthetic=first.data.synthetic)
        print(done_line(worker.shared), *lines, sep="\n")
    return ranking


def _ranking(shared: SharedStudy, prefer: Prefer, target: float | None) -> Ranking:
    """The completed trials of a study, the best first. Raises SearchStopped where there is none."""
    ranking = ranked(shared.trials(), shared.config.objectives, prefer, target)
    if ranking is None:
        folder = shared.config.folder.path
        raise SearchStopped(f"no trial was completed; look at run.log in the folders in {folder}")
    return ranking


def _require_kinds(
    config: object, space: object, objectives: object, pruner: object, outputs: object
) -> None:
    """Raises ConfigError for what is of another type than `search` takes."""
    if not isinstance(outputs, str | Path):  # as a text it would be a folder called None
        raise ConfigError(f'outputs: expected a folder, got {outputs!r:.60}; type outputs="FOLDER"')
    if isinstance(space, Mapping) and (wrong := [key for key in space if not isinstance(key, str)]):
        raise ConfigError(f"space: expected keys such as 'model.width', got {wrong[0]!r:.60}; write them so")
    if not isinstance(config, Mapping) or not isinstance(space, Mapping) or isinstance(objectives, str):
        raise ConfigError(
            "search: expected a config as plain data, a space such as {'model.width': [8, 16]}, and a list "
            f"of objectives, got {config!r:.40}, {space!r:.40} and {objectives!r:.40}"
        )
    if not isinstance(pruner, BasePruner | None):
        raise ConfigError(
            f"pruner: expected one such as optuna.pruners.MedianPruner(), got {pruner!r:.60}; or leave it out"
        )


class _Points:
    """The points of a space with their plain configs and their candidates."""

    def __init__(self, config: dict[str, Any], space: Mapping[str, Sequence[Any] | BaseDistribution]):
        self.config = {**config, "read_test": False}
        self.structured: dict[tuple[str, Any], Any] = {}  # by key and by the text that stands for it
        self.space = Space({key: self._distribution(key, values) for key, values in space.items()})
        refuse_unswept(self.space)

    def _distribution(self, key: str, values: Sequence[Any] | BaseDistribution) -> BaseDistribution:
        if isinstance(values, BaseDistribution):
            return values
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ConfigError(
                f"space: {key} takes a list of values or an Optuna distribution, got {values!r}; "
                f'write {{"{key}": [VALUE, ...]}}'
            )
        if odd := [v for v in values if not isinstance(v, int | float | str | dict | list | tuple | None)]:
            raise ConfigError(
                f"space: {key} takes plain values, got {odd[0]!r:.60} of type {type(odd[0]).__name__}; "
                "write a number, a text, or a dict such as {'kind': 'plain'}"
            )
        choices = [json.dumps(v) if isinstance(v, dict | list | tuple) else v for v in values]
        self.structured |= {
            (key, choice): value
            for choice, value in zip(choices, values, strict=True)
            if isinstance(value, dict | list | tuple)
        }
        return CategoricalDistribution(choices)

    def config_at(self, point: Point) -> dict[str, Any]:
        config = self.config
        for key, value in point.items():
            config = with_value(config, key, self.structured.get((key, value), value))
        return config

    def assess(self, point: Point) -> Candidate:
        return Candidate.from_dict(self.config_at(point))


def _described(sampler: Any) -> str:
    """A sampler's class and options as text, for the fingerprint."""
    if not callable(sampler) or getattr(sampler, "__name__", "") == "<lambda>":
        raise ConfigError(
            "sampler: expected a class such as optuna.samplers.TPESampler, or functools.partial of one, "
            f"got {sampler!r}; its seed is set for it"
        )
    if isinstance(sampler, functools.partial):
        named = (f"{name}={_spelt(value)}" for name, value in sampler.keywords.items())
        return f"{sampler.func.__name__}({', '.join([*map(_spelt, sampler.args), *named])})"
    return _spelt(sampler)


def _spelt(option: Any) -> str:
    """As text that is the same in every process: of an object without its address."""
    if callable(option):
        return str(getattr(option, "__qualname__", type(option).__qualname__))
    plain = isinstance(option, int | float | str | list | tuple | dict | None)
    return repr(option) if plain else _made_described(option)


def _made_described(made: Any) -> str:
    """The class and the options of a pruner, or of an object that a sampler takes; those of the default
    pruner are left out."""
    name, options = type(made).__name__, getattr(made, "__dict__", {})
    if not options or (name == type(default := MEDIAN()).__name__ and options == vars(default)):
        return name
    plain = {key: _made_described(v) if isinstance(v, BasePruner) else v for key, v in options.items()}
    shown = {key.removeprefix("_"): v for key, v in plain.items() if isinstance(v, int | float | str | None)}
    return f"{name}({', '.join(f'{key}={v!r}' for key, v in shown.items())})"


def _train(points: _Points, shared: SharedStudy, pruner: BasePruner, job: Job) -> None:
    config = {**points.config_at(job.point), "objectives": list(shared.config.objectives)}
    epochs = Experiment.from_dict(config).training.epochs
    callback = PruningCallback(shared.config.storage, shared.config.name, job.trial_id, pruner, epochs)
    with suppress(Exception):  # its summary.json has the reason, and its log the traceback
        train_here(config, RunFolder(job.folder), shared, callback)
