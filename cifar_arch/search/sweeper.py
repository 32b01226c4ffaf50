"""Hydra's sweeper plugin: reads the space and the options, works on the study or starts workers that do."""

import functools
import sys
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any

import optuna
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, configure_log, run_job
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from msgspec.structs import asdict, replace
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler

from cifar_arch.compose import anchored, as_config_errors, plain
from cifar_arch.device import cores, require_shown_gpu
from cifar_arch.limits import Limits
from cifar_arch.outputs import WORKERS, Outputs, experiment_name
from cifar_arch.overrides import read_override
from cifar_arch.plugins import load_plugins_of
from cifar_arch.provenance import masked
from cifar_arch.schema import ConfigError, first_line
from cifar_arch.search.ask import Job, total
from cifar_arch.search.composer import Composer, fixed_keys, read_space
from cifar_arch.search.edited import require_unedited
from cifar_arch.search.finish import finish, write_experiment
from cifar_arch.search.objectives import by_accuracy_alone
from cifar_arch.search.options import (
    Options,
    SweeperOptions,
    by_grid,
    each_experiment,
    refuse_hydra_settings,
    search_config,
    target_accuracy,
)
from cifar_arch.search.processes import WorkerCommand, leave_ends_to_parent
from cifar_arch.search.space import Space
from cifar_arch.search.storage import quiet_optuna
from cifar_arch.search.study import SearchConfig, SharedStudy
from cifar_arch.search.supervisor import Supervisor
from cifar_arch.search.worker import Worker
from cifar_arch.terminal import one_line

SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")
PRUNERS = ("optuna.pruners.*",)

# What a launcher runs leaves nothing of its own: the worker has its log, and each trial its folder.
WORKER_JOB = (f"hydra.sweep.subdir={WORKERS}", "hydra.output_subdir=null", "hydra/job_logging=none")


class ArchitectureSweeper(Sweeper):
    """Sweeps by Optuna with limits, pruning, replay, resuming and several workers.

    Takes what `hydra.sweeper` has: the options of sampler and pruner, a space, and `SweeperOptions`.
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
        numbers = SweeperOptions.from_dict(self.numbers)
        config = self._config()
        options = Options.from_dict(config)
        space, fixed = read_space(self.params, arguments)
        refuse_hydra_settings(OmegaConf.to_container(self.config.hydra, resolve=False), space)
        fixed = [text for text in fixed if not text.startswith("trial.worker=")]
        composer = self._composer(space, fixed)
        # A mistake in any value is told before anything is trained.
        first, *_ = each_experiment(composer, options.objectives)
        target = target_accuracy(first, options.prefer)
        search = self._search_config(options, numbers, composer, Outputs(config["outputs"]))
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
        command = WorkerCommand.of_this_process(search.folder.logs, "trial.worker=", options.gpus)
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

        def make_sampler(after: int) -> BaseSampler:
            return self._sampler(options.sampler_seed(after))

        with Worker(search, make_sampler, composer.assess, mark=mark) as worker:
            worker.work(lambda job: self._train(worker.shared, composer, job))
        return worker.shared

    def _composer(self, space: Space, fixed: list[str]) -> Composer:
        def load(chosen: list[str]) -> DictConfig:
            with as_config_errors([*sys.argv[1:], *chosen]):
                return self.hydra_context.config_loader.load_sweep_config(self.config, chosen)

        return Composer(load, [*fixed, "read_test=false"], space)

    def _search_config(
        self, options: Options, numbers: SweeperOptions, composer: Composer, outputs: Outputs
    ) -> SearchConfig:
        algorithms = {
            name: OmegaConf.to_container(node, resolve=True)
            for name, node in {"sampler": self.sampler, "pruner": self.pruner}.items()
        }
        named = OmegaConf.select(self.config, "hydra.runtime.choices.search")
        search = search_config(
            composer, options, outputs, algorithms, named=named, typed=fixed_keys(composer.fixed)
        )
        if read_override(f"study={search.name}").value() != search.name:
            raise ConfigError(f"study: {search.name!r} would be read as a number; choose another name")
        return replace(
            search,
            exhaustive=search.exhaustive or by_grid(self.sampler),
            about=_about(composer.config_at({})["limits"]),
            **asdict(numbers),
        )

    def _check_algorithms(self, options: Options) -> None:
        """Refuses wrong options of sampler and pruner here: in a job they would cost a trial each."""
        sampler = self._sampler(options.seed)
        if isinstance(sampler, CmaEsSampler) and find_spec("cmaes") is None:
            raise ConfigError(  # Optuna itself misses it only when it is asked for a second point
                "hydra.sweeper.sampler: needs the package 'cmaes', which is not installed; "
                "type uv pip install cmaes, or choose another sampler"
            )
        pruner = _made("pruner", self.pruner, PRUNERS)
        _require_working(pruner)
        if not by_accuracy_alone(options.objectives) and not isinstance(pruner, NopPruner):
            print("pruning goes by accuracy as the only objective: here every trial is trained to its end")

    def _sampler(self, seed: int) -> BaseSampler:
        if by_grid(self.sampler):
            return RandomSampler(seed=seed)  # the study goes through a grid by itself
        sampler: BaseSampler = _made("sampler", self.sampler, SAMPLERS, seed=seed)
        return sampler

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
    words = " ".join(map(quote, sys.argv[1:]))
    off = {**asdict(Limits()), "augment": []}
    kept = ", ".join(f"{name} {value}" for name, value in limits.items() if value != off.get(name))
    return f"`python -m cifar_arch.run {masked(words)}`\n\nlimits: {kept or 'none'}"


def _worker_job(command: WorkerCommand, _: DictConfig) -> int:
    """What a launcher runs; its exit status says nothing, for the study does."""
    leave_ends_to_parent()
    return command.run(HydraConfig.get().job.num)


def _made(kind: str, node: DictConfig, allowed: tuple[str, ...], **more: Any) -> Any:
    try:
        return instantiate(node, _execution_whitelist_=allowed, **more)
    except Exception as error:
        cause = first_line(error.__cause__ or error).removeprefix("Error in call to ")
        given = ", ".join("=".join(map(str, o)) for o in node.items_ex(resolve=False) if o[0] != "_target_")
        raise ConfigError(f"hydra.sweeper.{kind}: {cause}; got {given or 'no options'}") from error


def _require_working(pruner: BasePruner) -> None:
    """Raises ConfigError for options that a pruner takes and then fails on: Hyperband's max_resource=0."""
    trial = optuna.create_study(pruner=pruner).ask()
    trial.report(0.5, 1)
    try:
        trial.should_prune()
    except Exception as error:
        raise ConfigError(
            f"hydra.sweeper.pruner: {type(pruner).__name__} cannot work with these options "
            f"({first_line(error)}); fix them, or type pruner=median"
        ) from error


def register() -> None:
    """Adds the sweeper to Hydra's plugins; called before its main function runs."""
    Plugins.instance().register(ArchitectureSweeper)
