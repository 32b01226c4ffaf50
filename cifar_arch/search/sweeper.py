"""Hydra's sweeper plugin: reads the space and the options, and launches the jobs."""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
from omegaconf import DictConfig, OmegaConf, flag_override
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler

from cifar_arch.compose import COMPOSITION_ERRORS, plain, sentence
from cifar_arch.runfolder import RunFolder, atomic
from cifar_arch.schema import ConfigError, checked
from cifar_arch.search.candidate import Candidate, candidate
from cifar_arch.search.composer import Composer, read_space
from cifar_arch.search.ending import announce, finish
from cifar_arch.search.live import Heart, Live, result_line
from cifar_arch.search.options import Options, SweeperOptions, fingerprint, readable_name
from cifar_arch.search.space import Point, Space, overrides
from cifar_arch.search.stopping import stop_if_hopeless
from cifar_arch.search.storage import quiet_optuna
from cifar_arch.search.study import Job, Plan, SearchStudy

log = logging.getLogger(__name__)

SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")
PRUNERS = ("optuna.pruners.*",)
SWEEPS = Path("outputs/sweeps")


class ArchitectureSweeper(OptunaSweeperImpl):
    """Hydra's Optuna sweeper with limits, pruning, replay, resuming and several workers."""

    config: DictConfig  # set by Hydra in `setup`, as are the next two
    hydra_context: HydraContext
    launcher: Launcher

    def __init__(
        self, sampler: DictConfig, pruner: DictConfig, params: DictConfig | None, **numbers: Any
    ) -> None:
        self.numbers = numbers
        super().__init__(sampler, "maximize", None, None, 1, 1, 0.0, None, params)
        self.pruner = pruner  # used by the jobs, see app.py

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        quiet_optuna()

    def sweep(self, arguments: list[str]) -> None:
        """Runs the search to its total and prints what it found."""
        self.options = checked(SweeperOptions, self.numbers, "hydra.sweeper")
        config = plain(self.config)
        ours = {name: config[name] for name in Options.__struct_fields__ if name in config}
        options = checked(Options, ours, "")
        space, fixed = read_space(self.params, arguments)
        composer = self._composer(space, fixed)
        judge = _judge(composer)
        for point in space.each_value():  # a mistake anywhere is told before anything is trained
            judge(point)
        plan = self._plan(options, space, composer)
        self._check_plugins(options)
        search = SearchStudy(plan, lambda moved_on: self._sampler(options.seed + moved_on), judge)
        try:
            with flag_override(self.config.hydra, "readonly", False):
                self.config.hydra.sweep.dir = str(plan.folder)
            self._search(search, fixed)
        except KeyboardInterrupt:
            print(f"\nstopped; the same command goes on with study {plan.name}", flush=True)
            raise
        finally:
            search.leave()
        finish(search, options.prefer, composer, config)

    def _composer(self, space: Space, fixed: list[str]) -> Composer:
        def load(chosen: list[str]) -> DictConfig:
            try:
                return self.hydra_context.config_loader.load_sweep_config(self.config, chosen)
            except COMPOSITION_ERRORS as error:
                raise ConfigError(sentence(error)) from error

        return Composer(load, [*fixed, "read_test=false"], space)

    def _plan(self, options: Options, space: Space, composer: Composer) -> Plan:
        size, wanted = space.size(), options.n_trials
        if wanted is None and size is None:
            raise ConfigError(
                "n_trials: a space with an interval has no end, got null; give a number, n_trials=20"
            )
        everything = size is not None and (wanted is None or wanted >= size)
        if self._by_grid() and size is None:
            raise ConfigError("sampler: grid needs a finite space, got an interval; choose tpe, gp or random")
        plugins = {
            name: OmegaConf.to_container(node, resolve=True)
            for name, node in {"sampler": self.sampler, "pruner": self.pruner}.items()
        }
        mark = fingerprint(composer({}), space, plugins, options.objectives)
        named = OmegaConf.select(self.config, "hydra.runtime.choices.search")
        name = options.study or readable_name(named, space, mark)
        return Plan(
            name=name,
            storage=options.storage,
            folder=SWEEPS / name,
            space=space,
            objectives=options.objectives,
            n_trials=None if everything else wanted,
            exhaustive=everything or self._by_grid(),
            fingerprint=mark,
            max_rejections=self.options.max_rejections,
        )

    def _check_plugins(self, options: Options) -> None:
        """Refuses wrong options of sampler and pruner here: in a job they would cost a trial each."""
        sampler = self._sampler(options.seed)
        if isinstance(sampler, CmaEsSampler) and find_spec("cmaes") is None:
            raise ConfigError(  # Optuna itself misses it only when it is asked for a second point
                "hydra.sweeper.sampler: needs the package 'cmaes', which is not installed; "
                "type uv pip install cmaes, or choose another sampler"
            )
        pruner = _made("pruner", self.pruner, PRUNERS)
        if len(options.objectives) > 1 and type(pruner).__name__ != "NopPruner":
            print("Optuna cannot prune with several objectives: every trial is trained to its end")

    def _by_grid(self) -> bool:
        return str(self.sampler.get("_target_")).endswith("GridSampler")

    def _sampler(self, seed: int) -> BaseSampler:
        if self._by_grid():
            return RandomSampler(seed=seed % 2**32)  # the study goes through a grid by itself
        sampler: BaseSampler = _made("sampler", self.sampler, SAMPLERS, seed=seed % 2**32)
        return sampler

    def _search(self, search: SearchStudy, fixed: list[str]) -> None:
        announce(search)
        live = Live(search, search.total())
        while True:
            jobs = self._next_jobs(search)
            if jobs:
                self._train(search, jobs, fixed, live)
                stop_if_hopeless(search, self.options.max_failure_rate)
            elif search.counts()["running"]:
                time.sleep(1)  # another worker's: what it leaves behind when it dies is ours
            else:
                live.bar.close()
                return

    def _next_jobs(self, search: SearchStudy) -> list[Job]:
        jobs: list[Job] = []
        for _ in range(self._at_once()):
            job = search.ask()
            if job is None:
                break
            jobs.append(job)
        return jobs

    def _at_once(self) -> int:
        launcher = self.config.hydra.launcher.get("n_jobs", 1) or 1
        return self.options.n_jobs or (launcher if launcher > 0 else os.cpu_count() or 1)

    def _train(self, search: SearchStudy, jobs: list[Job], fixed: list[str], live: Live) -> None:
        """Launches jobs and tells their results, also when the launcher itself breaks."""
        for job in jobs:
            _continue_from(job)
        stopped = False
        try:
            with Heart(search, jobs, live):
                self.launcher.launch(
                    [_command(search.plan, fixed, job) for job in jobs], initial_job_idx=jobs[0].number
                )
        except Exception as error:
            # A killed worker process makes the launcher raise for its whole batch. The outcome of
            # each trial is in its own summary.json.
            log.warning("the launcher failed (%s); each trial is settled by its own files", error)
            log.debug("the launcher failed", exc_info=True)
        except KeyboardInterrupt:
            stopped = True
            _stop_children()
            raise
        finally:
            for job in jobs:
                trial = search.settle(job, stopped=stopped)
                live.finished(result_line(search, trial))


def _made(kind: str, node: DictConfig, allowed: tuple[str, ...], **more: Any) -> Any:
    try:
        return instantiate(node, _execution_whitelist_=allowed, **more)
    except Exception as error:
        cause = str(error.__cause__ or error).splitlines()[0]
        raise ConfigError(f"hydra.sweeper.{kind}: {cause.removeprefix('Error in call to ')}") from error


def _judge(composer: Composer) -> Callable[[Point], Candidate]:
    def judge(point: Point) -> Candidate:
        return candidate(composer(point))

    return judge


def _command(plan: Plan, fixed: list[str], job: Job) -> list[str]:
    """The overrides of one job."""
    return [
        *fixed,
        *overrides(job.point),
        "read_test=false",
        f"study={plan.name}",
        f"trial.number={job.number}",
        f"trial.id={job.trial_id}",
        f"hydra.sweep.dir={plan.folder}",
        f"hydra.sweep.subdir={job.number}",
    ]


def _continue_from(job: Job) -> None:
    """Brings along the checkpoint of the trial that this one goes on from."""
    if job.continues is None:
        return
    old, new = RunFolder(job.continues), RunFolder(job.folder)
    # The checkpoint first: it alone is enough to go on from.
    for source, target in ((old.checkpoint, new.checkpoint), (old.metrics, new.metrics)):
        if source.is_file():
            with atomic(target) as temporary:
                shutil.copyfile(source, temporary)


def _stop_children() -> None:
    """Leaves no worker process of joblib behind."""
    with contextlib.suppress(ImportError):
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=False, kill_workers=True)


def register() -> None:
    """Makes Hydra know the sweeper; called before its main function runs."""
    Plugins.instance().register(ArchitectureSweeper)
