"""Hydra's face of the search: reads its space and options, launches its jobs, prints its end."""

import contextlib
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
from omegaconf import DictConfig, OmegaConf, flag_override
from optuna.samplers import BaseSampler, RandomSampler

from cifar_arch.compose import COMPOSITION_ERRORS, plain, sentence
from cifar_arch.runfolder import RunFolder, atomic
from cifar_arch.schema import ConfigError, SearchStopped, checked
from cifar_arch.search.candidate import Candidate, candidate
from cifar_arch.search.composer import Composer, best_config, read_space
from cifar_arch.search.failures import stop_if_hopeless
from cifar_arch.search.live import Heart, Live, result_line
from cifar_arch.search.options import Options, SweeperOptions, fingerprint, readable_name
from cifar_arch.search.ranking import ranked, table
from cifar_arch.search.space import Point, Space, overrides
from cifar_arch.search.storage import masked, quiet_optuna
from cifar_arch.search.study import Job, Plan, SearchStudy

log = logging.getLogger(__name__)

SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")
SWEEPS = Path("outputs/sweeps")


class ArchitectureSweeper(OptunaSweeperImpl):
    """Hydra's Optuna sweeper with limits, pruning, replay, resuming and several workers."""

    config: DictConfig  # set by Hydra in `setup`, as are the next two
    hydra_context: HydraContext
    launcher: Launcher

    def __init__(
        self, sampler: DictConfig, pruner: DictConfig, params: DictConfig | None, **numbers: Any
    ) -> None:
        self.options = checked(SweeperOptions, numbers, "hydra.sweeper")
        rate = self.options.max_failure_rate
        super().__init__(sampler, "maximize", None, None, 1, 1, rate, None, params)
        self.pruner = pruner  # used by the jobs, see app.py

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        quiet_optuna()

    def sweep(self, arguments: list[str]) -> None:
        """Runs the search to its total and prints what it found."""
        config = plain(self.config)
        ours = {name: config[name] for name in Options.__struct_fields__ if name in config}
        options = checked(Options, ours, "")
        space, fixed = read_space(self.params, arguments)
        composer = self._composer(space, fixed)
        plan = self._plan(options, space, composer)
        search = SearchStudy(plan, lambda moved_on: self._sampler(options.seed + moved_on), _judge(composer))
        try:
            with flag_override(self.config.hydra, "readonly", False):
                self.config.hydra.sweep.dir = str(plan.folder)
            self._search(search, fixed, config)
        except KeyboardInterrupt:
            print(f"\nstopped; the same command goes on with study {plan.name}", flush=True)
            raise
        finally:
            search.workers.leave()
        self._finish(search, options, composer, config)

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
        by_grid = str(self.sampler.get("_target_")).endswith("GridSampler")
        if by_grid and size is None:
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
            exhaustive=everything or by_grid,
            fingerprint=mark,
            max_rejections=self.options.max_rejections,
        )

    def _sampler(self, seed: int) -> BaseSampler:
        if str(self.sampler.get("_target_")).endswith("GridSampler"):
            return RandomSampler(seed=seed)  # the study goes through a grid by itself
        try:
            sampler: BaseSampler = instantiate(self.sampler, seed=seed, _execution_whitelist_=SAMPLERS)
            return sampler
        except Exception as error:
            raise ConfigError(f"hydra.sweeper.sampler: {str(error).splitlines()[0]}") from error

    def _search(self, search: SearchStudy, fixed: list[str], config: dict[str, Any]) -> None:
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
        try:
            with Heart(search, jobs, live):
                self.launcher.launch(
                    [_command(search.plan, fixed, job) for job in jobs], initial_job_idx=jobs[0].number
                )
        except Exception:
            # A killed worker process makes the launcher raise for its whole batch. What became of
            # each trial is in its own summary.json.
            log.exception("the launcher failed; each trial is settled by its own files")
        except KeyboardInterrupt:
            _stop_children()
            raise
        finally:
            for job in jobs:
                with search.lock():
                    trial = search.settle(job)
                live.finished(result_line(search, trial))

    def _finish(
        self, search: SearchStudy, options: Options, composer: Composer, config: dict[str, Any]
    ) -> None:
        target = config["limits"]["target_accuracy"]
        trials = ranked(search, options.prefer, target)
        counts, plan = search.counts(), search.plan
        others = ", ".join(
            f"{counts[n]} {n}" for n in ("pruned", "failed", "rejected", "replayed") if counts[n]
        )
        print(
            f"\nstudy {plan.name} is done: {counts['trained']} trained" + (f" ({others})" if others else "")
        )
        if not trials:
            raise SearchStopped("no trial was completed; look at run.log in the folders of the failed ones")
        print(table(trials, plan.objectives))
        _print_target(trials[0], plan, target, config["data"]["name"])
        chosen = composer.load([*composer.fixed, *overrides(trials[0].params)])
        path = plan.folder / "experiment" / "best.yaml"
        with atomic(path) as temporary:
            temporary.write_text(best_config(chosen, path))
        print(
            f"\ntrain the best again, and read the test set:\n"
            f"  python -m cifar_arch.run --config-dir {plan.folder} +experiment=best\n"
            f"look at the study:\n"
            f"  optuna-dashboard {masked(plan.storage)} --artifact-dir outputs/artifacts"
        )


def announce(search: SearchStudy) -> None:
    plan, counts = search.plan, search.counts()
    size = plan.space.size()
    points = "endless" if size is None else f"{size:,} points"
    print(f"study {plan.name}: {points}, folders in {plan.folder}", flush=True)
    if counts["trained"]:
        print(f"{counts['trained']} trials are trained already", flush=True)


def _print_target(best: Any, plan: Plan, target: float | None, data: str) -> None:
    if plan.objectives[0] != "accuracy" or target is None:
        return
    if data == "shapes":
        print("accuracies on the embedded picture set never count towards the target")
    elif best.values[0] < target:
        print(
            f"none reaches {target:.0%} on the validation images: {target - best.values[0]:.2%} are missing"
        )


def _judge(composer: Composer) -> Any:
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
    for source, target in ((old.metrics, new.metrics), (old.checkpoint, new.checkpoint)):
        if source.is_file():
            with atomic(target) as temporary:
                shutil.copyfile(source, temporary)


def _stop_children() -> None:
    """Leaves no worker process of joblib behind."""
    with contextlib.suppress(ImportError):
        from joblib.externals.loky import get_reusable_executor  # type: ignore[import-not-found]

        get_reusable_executor().shutdown(wait=False, kill_workers=True)


def register() -> None:
    """Makes Hydra know the sweeper; called before its main function runs."""
    Plugins.instance().register(ArchitectureSweeper)
