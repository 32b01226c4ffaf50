"""Hydra's sweeper plugin: reads the space and the options, works on the study or starts workers that do."""

import functools
import sys
from pathlib import Path
from shlex import quote
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, configure_log, run_job
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from msgspec.structs import asdict, replace
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler

from cifar_arch.compose import anchored, as_config_errors, plain
from cifar_arch.device import cores, require_shown_gpu
from cifar_arch.limits import Limits
from cifar_arch.outputs import WORKERS, Outputs, experiment_name
from cifar_arch.overrides import CONF
from cifar_arch.plugins import load_plugins_of
from cifar_arch.provenance import masked
from cifar_arch.schema import ConfigError
from cifar_arch.search.algorithms import make_sampler, working_pruner
from cifar_arch.search.ask import Job, total
from cifar_arch.search.composer import Composer, fixed_keys, read_space, require_text
from cifar_arch.search.edited import require_unedited
from cifar_arch.search.finish import finish, write_experiment
from cifar_arch.search.objectives import by_accuracy_alone
from cifar_arch.search.options import (
    Options,
    bounds_of,
    by_grid,
    each_experiment,
    refuse_hydra_settings,
    search_config,
    target_accuracy,
)
from cifar_arch.search.processes import WorkerCommand, leave_ends_to_parent
from cifar_arch.search.space import Space
from cifar_arch.search.storage import quiet_optuna
from cifar_arch.search.study import Bounds, SearchConfig, SharedStudy
from cifar_arch.search.supervisor import Supervisor
from cifar_arch.search.worker import Worker
from cifar_arch.terminal import one_line

MARK = "trial.worker="  # typed after the command by which one of several workers is started
# What a launcher runs leaves nothing of its own: the worker has its log, and each trial its folder.
WORKER_JOB = (f"hydra.sweep.subdir={WORKERS}", "hydra.output_subdir=null", "hydra/job_logging=none")


class ArchitectureSweeper(Sweeper):
    """Sweeps by Optuna with limits, pruning, replay, resuming and several workers.

    Takes what `hydra.sweeper` has: the options of sampler and pruner, a space, and `Bounds`.
    """

    config: DictConfig  # set by Hydra in `setup`, as are the next two
    hydra_context: HydraContext
    task_function: TaskFunction

    def __init__(
        self, sampler: DictConfig, pruner: DictConfig, params: DictConfig | None, **numbers: Any
    ) -> None:
        self.sampler = sampler
        self.pruner = pruner  # only looked at here: each job makes its own, see app.py
        self.params = params
        self.numbers = numbers

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        Plugins.instance().instantiate_launcher(hydra_context, task_function, config)  # is there such a one?
        quiet_optuna()

    def sweep(self, arguments: list[str]) -> None:
        """Runs the search to its total and prints what it found."""
        bounds = bounds_of(self.numbers)
        config = self._config()
        options = Options.from_dict(config)
        space, fixed = read_space(self.params, arguments)
        refuse_hydra_settings(OmegaConf.to_container(self.config.hydra, resolve=False), space)
        fixed = [text for text in fixed if not text.startswith(MARK)]
        composer = self._composer(space, fixed)
        # A mistake in any value is told before anything is trained.
        first, *_ = each_experiment(composer, options.objectives)
        target = target_accuracy(first, options.prefer)
        search = self._search_config(options, bounds, composer, Outputs(config["outputs"]))
        self._check_algorithms(options)
        if mark := config["trial"]["worker"]:
            self._work(search, composer, options, str(mark))
            return
        try:
            shared = self._run_workers(search, composer, options)
        except KeyboardInterrupt:
            print(f"\nstopped; the same command goes on with study {search.name}", flush=True)
            raise
        finish(shared, composer, options.prefer, target)

    def _config(self) -> dict[str, Any]:
        """The plain config."""
        load_plugins_of(self.config)
        config = plain(self.config)
        # A trial changes the folder of the whole process, in which this thread goes on.
        return anchored(config, Path.cwd()) if self.config.hydra.job.chdir else config

    def _run_workers(self, search: SearchConfig, composer: Composer, options: Options) -> SharedStudy:
        """The study once its total is reached: by this process, or by workers that it starts."""
        count = self._count(options)
        if count == 1 and self._launches_here() and not options.gpus:
            return self._work(search, composer, options)
        shared = SharedStudy(search)
        require_unedited(shared.trials(), composer.assess)
        command = WorkerCommand.of_this_process(search.folder.logs, MARK, options.gpus)
        if self._launches_here():
            start = WorkerCommand.run_here
        else:
            start = functools.partial(self._launch_workers, composer.fixed, search.name)
        Supervisor(shared, command, start, count).supervise(total(search, composer.assess))
        return shared

    def _work(
        self, search: SearchConfig, composer: Composer, options: Options, mark: str | None = None
    ) -> SharedStudy:
        """Works in this process; with a `mark` as one of the workers that another process started."""

        def sampler_of(after: int) -> BaseSampler:
            return make_sampler(self.sampler, options.sampler_seed(after))

        with Worker(search, sampler_of, composer.assess, mark=mark) as worker:
            worker.work(lambda job: self._train(worker.shared, composer, job))
        return worker.shared

    def _composer(self, space: Space, fixed: list[str]) -> Composer:
        def load(chosen: list[str]) -> DictConfig:
            with as_config_errors([*sys.argv[1:], *chosen]):
                return self.hydra_context.config_loader.load_sweep_config(self.config, chosen)

        return Composer(load, [*fixed, "read_test=false"], space)

    def _search_config(
        self, options: Options, bounds: Bounds, composer: Composer, outputs: Outputs
    ) -> SearchConfig:
        algorithms = {
            name: OmegaConf.to_container(node, resolve=True)
            for name, node in {"sampler": self.sampler, "pruner": self.pruner}.items()
        }
        named = OmegaConf.select(self.config, "hydra.runtime.choices.search")
        search = search_config(
            composer, options, outputs, algorithms, named=named, typed=fixed_keys(composer.fixed)
        )
        require_text(search.name)
        return replace(
            search,
            exhaustive=search.exhaustive or by_grid(self.sampler),
            about=_about(composer.config_at({})["limits"]),
            **asdict(bounds),
        )

    def _check_algorithms(self, options: Options) -> None:
        """Refuses wrong options of sampler and pruner here: in a job they would cost a trial each."""
        pruner = working_pruner(self.sampler, self.pruner)
        if not by_accuracy_alone(options.objectives) and not isinstance(pruner, NopPruner):
            print("pruning goes by accuracy as the only objective: here every trial is trained to its end")

    def _launches_here(self) -> bool:
        return bool(self.config.hydra.runtime.choices["hydra/launcher"] == "basic")

    def _count(self, options: Options) -> int:
        """The number of workers: as typed, one for each GPU, or as many as the launcher runs at once."""
        jobs = self.config.hydra.launcher.get("n_jobs") or 1
        return options.workers or len(options.gpus) or (jobs if jobs > 0 else cores())

    def _launch_workers(self, fixed: list[str], study: str, command: WorkerCommand, count: int) -> None:
        """Starts workers by Hydra's launcher, wherever that starts things, and waits for their end."""
        context, job = self.hydra_context, functools.partial(_worker_job, command)
        named = self.config.copy()
        named.study = study  # a launcher makes the folder that this gives
        roomy = named.copy()
        if "n_jobs" in roomy.hydra.launcher:  # joblib would have some of them wait until others have ended
            with flag_override(roomy.hydra, "readonly", False):
                roomy.hydra.launcher.n_jobs = count
        launcher = Plugins.instance().instantiate_launcher(context, job, roomy)
        launcher.setup(hydra_context=context, task_function=job, config=named)  # n_jobs as each job has it
        launcher.launch([[*fixed, f"study={study}", *WORKER_JOB]] * count, initial_job_idx=0)

    def _train(self, shared: SharedStudy, composer: Composer, job: Job) -> None:
        """Runs a job as Hydra's own launcher does, but for the composition, which is there already."""
        if self.config.gpus and self.config.training.device == "auto":
            require_shown_gpu()
        given = {"study": shared.config.name, "trial.number": job.number, "trial.id": job.trial_id}
        if self.config.training.threads == "auto":
            given["training.threads"] = shared.workers.threads()
        try:
            config = composer.job_at({**job.point, **given})
            with open_dict(config.hydra):
                config.hydra.job.update(id=str(job.number), num=job.number)
            done = run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            logging_of = self.config.hydra.hydra_logging, self.config.hydra.verbose
            configure_log(*logging_of, execution_whitelist=self.hydra_context.execution_whitelist)
        except Exception as error:  # what a job raises is kept: this came before it
            raise ConfigError(
                f"hydra: no trial can be started with this config ({one_line(str(error))})"
            ) from error
        if done.status == JobStatus.COMPLETED and done.cfg and done.hydra_cfg:
            write_experiment(shared.config, experiment_name(job.number), done.cfg, done.hydra_cfg.hydra)


def _about(limits: dict[str, Any]) -> str:
    """The command as it was typed, and its limits, for the note of the study."""
    words = sys.argv[1:]
    if words[-2:] == ["--config-dir", str(CONF)]:  # with --config-path, which `app` adds for a user's own
        del words[-4:]
    off = {**asdict(Limits()), "augment": []}
    kept = ", ".join(f"{name} {value}" for name, value in limits.items() if value != off.get(name))
    return f"`python -m cifar_arch.run {masked(' '.join(map(quote, words)))}`\n\nlimits: {kept or 'none'}"


def _worker_job(command: WorkerCommand, _: DictConfig) -> int:
    """What a launcher runs; its exit status says nothing, for the study does."""
    leave_ends_to_parent()
    return command.run(HydraConfig.get().job.num)


def register() -> None:
    """Adds the sweeper to Hydra's plugins; called before its main function runs."""
    Plugins.instance().register(ArchitectureSweeper)
