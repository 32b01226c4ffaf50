"""The @hydra.main function, and its errors: a sentence, an exit status, a traceback in the log.

It stands in a module of its own so that launchers pickle it by name under `python -m`.
"""

import argparse
import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cifar_arch import experiment
from cifar_arch.compose import anchored, as_config_errors, own_configs, plain
from cifar_arch.config import Experiment
from cifar_arch.device import limit_spinning
from cifar_arch.experiment import Rejected
from cifar_arch.identity import changes, finished, holds_run
from cifar_arch.idle_choices import refuse_idle_rate, refuse_search
from cifar_arch.overrides import CONF, at_home, read_override
from cifar_arch.plugins import load_plugins, load_plugins_of, plugin_paths, refuse_plugin_option
from cifar_arch.record import Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.saved_config import began_with, command, saved_config
from cifar_arch.schema import ConfigError
from cifar_arch.shown_commands import plugin_options, plugin_override, relative_to
from cifar_arch.terminal import (
    end_on_signals,
    exit_on_errors,
    message_and_status,
    one_line,
    percent,
    reader_left,
)

log = logging.getLogger(__name__)


@hydra.main(config_path=str(CONF), config_name="config", execution_whitelist=("cifar_arch.*", "logging.*"))
def hydra_main(config: DictConfig) -> None:
    """One job: a run, or a trial of a sweep, whose result is what its folder says."""
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    try:
        ours = job_config(config)
    except ConfigError as error:
        if not (run := RunFolder(folder)).summary.exists():
            run.write_summary(Summary(**experiment.failure(error), seconds=0.0))
        raise
    if hydra_config.mode == RunMode.MULTIRUN:
        run_trial(ours, folder, hydra_config.sweeper.pruner)
        return
    files = plugin_paths(ours.get("plugins", []), hydra_config.runtime)
    _run(ours, folder, Path(hydra_config.runtime.cwd), files)


def job_config(config: DictConfig) -> dict[str, Any]:
    """The plain config of a Hydra job, with paths as they were meant where the command was typed."""
    typed_in = Path(HydraConfig.get().runtime.cwd)
    load_plugins_of(config, HydraConfig.get())
    return plain(config) if typed_in == Path.cwd() else anchored(plain(config), typed_in)


def run_trial(config: dict[str, Any], folder: Path, pruner: DictConfig) -> None:
    """One trial of a sweep: quiet on the terminal, reporting to its study."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.CRITICAL)  # the sweep prints a line for each trial itself
    again = command(RunFolder(folder), Path(HydraConfig.get().runtime.cwd))
    on_epoch = _pruning_callback(config, pruner)
    experiment.run_config(config, folder, on_epoch, progress=False, command=again)


def _pruning_callback(config: dict[str, Any], pruner: DictConfig) -> experiment.OnEpoch:
    from cifar_arch.search.algorithms import PRUNERS
    from cifar_arch.search.pruning_callback import PruningCallback

    made = instantiate(pruner, _execution_whitelist_=PRUNERS)
    trial_id, epochs = config["trial"]["id"], config["training"]["epochs"]
    return PruningCallback(config["storage"], config["study"], trial_id, made, epochs)


def main(task: Callable[[], Any] = hydra_main) -> None:
    """Entry of `python -m cifar_arch.run` and of `cifar-arch`; ends with the exit status."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come back here instead of being printed
    end_on_signals()
    limit_spinning()
    with _held, exit_on_errors():
        refuse_plugin_option(sys.argv[1:])
        sys.argv[1:] = at_home(sys.argv[1:])
        resumed = [a for a in sys.argv[1:] if a.partition("=")[0].lstrip("+") == "training.resume"]
        folders = [text.partition("=")[2] for text in resumed]
        if resumed and folders != ["null"]:
            _resume(folders, [a for a in sys.argv[1:] if a not in resumed])
        else:
            parser = get_args_parser()
            parser.error = _refuse_option  # type: ignore[assignment]  # which would print its usage
            arguments = parser.parse_intermixed_args()
            _prepare(arguments)
            with as_config_errors(arguments.overrides, arguments.config_dir):
                task()


def _refuse_option(said: str) -> NoReturn:
    raise ConfigError(f"options: {said}; type a key as KEY=VALUE, width=24, and an option as --help lists it")


def _prepare(arguments: argparse.Namespace) -> None:
    """Places own configs before ours, and registers our sweeper where one is needed: it takes a second."""
    own = own_configs(arguments.config_dir, arguments.config_name)
    if own and not arguments.config_path:  # Hydra itself would search it after ours
        sys.argv += ["--config-path", str(own), "--config-dir", str(CONF)]
    if arguments.multirun or any("MULTIRUN" in text for text in arguments.overrides):
        from cifar_arch.search.sweeper import register

        register()
    elif not (arguments.cfg or arguments.info or arguments.help or arguments.hydra_help):
        refuse_search(arguments.overrides)


def _resume(folders: list[str], others: list[str]) -> None:
    """Goes on in the one of `folders` with the config that is saved there."""
    if len(folders) != 1 or not folders[0]:
        given = ", ".join(folders) or "nothing"
        raise ConfigError(
            f"training.resume: expected the folder of one run, got {given}; type training.resume=RUN"
        )
    folder = folders[0]
    if not Path(folder).is_dir() and (quoted := re.fullmatch(r"([\"'])(.*)\1", folder)):
        folder = quoted[2]  # for Hydra, as other values of that kind are
    run = RunFolder(folder)
    files: Any = []
    for text in [text for text in others if text.startswith("plugins=")]:
        with as_config_errors([text]):
            load_plugins(files := read_override(text).value())
        others.remove(text)
    if others:
        raise ConfigError(
            f"training.resume goes on with the run's own config, got {' '.join(others)} as well; "
            f"type {quote(f'training.resume={folder}')} alone"
        )
    if not run.config.is_file():
        raise ConfigError(f"training.resume: {folder!r} is no run folder (it has no .hydra/config.yaml)")
    config = saved_config(run)
    experiment = Experiment.from_dict(config)
    if changed := changes(run, experiment):
        raise ConfigError(
            f"training.resume: {str(run.config)!r} is no longer what the run began with ({changed}); "
            "put it back, or run the other config in another folder"
        )
    if summary := finished(run, experiment):
        _print_finished(summary, run.path, files)
        return
    console = logging.StreamHandler(sys.stdout)
    console.setLevel(logging.INFO)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[console, run.log_handler()])
    logging.getLogger("cifar_arch").setLevel(logging.DEBUG)
    _run(config, run.path, Path.cwd(), files)


_held = contextlib.ExitStack()  # the run folder, to the end of the command


class Guard(Callback):
    """Takes the folder of a single run before Hydra writes there."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Exits if the config is invalid, the folder holds a different run, or this run is complete."""
        try:
            HydraConfig.instance().set_config(config)  # the folder's name may ask for values of Hydra
            load_plugins_of(config)
            ours = plain(config)
            with as_config_errors():
                where = config.hydra.run.dir
            if not where:  # Hydra would write into the current folder
                raise ConfigError("hydra.run.dir: expected a folder, got nothing; name one, or leave it out")
            optimizer = OmegaConf.select(config, "training.optimizer")
            refuse_idle_rate(config.hydra.overrides.task, optimizer)
            run = RunFolder(where)
            _held.enter_context(run.locked())  # or another command's files would be written over
            if not holds_run(run):
                return
            summary = finished(run, Experiment.from_dict(ours), began_with(run))
        except Exception as error:  # which Hydra would turn into a warning
            sys.exit(_explain(error))
        if summary:
            _print_finished(summary, run.path, plugin_paths(ours.get("plugins", []), config.hydra.runtime))
            sys.exit(0)


def _print_finished(summary: Summary, folder: Path, files: Sequence[str]) -> None:
    shown = relative_to(folder, Path.cwd())
    _print_results(summary, shown, files, f"{shown} is complete, nothing is left to train; on record:")


def _run(config: dict[str, Any], folder: Path, typed_in: Path, files: Sequence[str]) -> None:
    """One experiment at the command line: a sentence and an exit status instead of a traceback.

    `files` are those of own blocks, as they are typed.
    """
    try:
        summary = experiment.run_config(config, folder, command=command(RunFolder(folder), typed_in))
    except BaseException as error:
        log.debug("the run ended here", exc_info=True)
        status = _explain(error)
        if RunFolder(folder).checkpoint.is_file() and not isinstance(error, ConfigError):
            words = [f"training.resume={relative_to(folder, typed_in)}", *plugin_override(files)]
            print(f"type python -m cifar_arch.run {' '.join(map(quote, words))} to go on", file=sys.stderr)
        sys.exit(status)
    _print_results(summary, relative_to(folder, typed_in), files)


def _explain(error: BaseException) -> int:
    """Prints a sentence for an error, or one for each broken limit, and returns the exit status."""
    if isinstance(error, Rejected):
        lines, status = [f"outside its limits: {line}" for line in str(error).splitlines()], 1
    else:
        sentence, status = message_and_status(error)
        lines = [sentence]
    print("\n".join(map(one_line, lines)), file=sys.stderr)
    return status


def _print_results(summary: Summary, shown: str, files: Sequence[str], *lines: str) -> None:
    """Prints `lines`, then what a run reached; ends the command where nobody reads on."""
    words = [shown, *plugin_options(files)]
    target = summary.target_accuracy
    held = ""
    if target is not None and summary.test_accuracy is not None:
        held = f" ({_REACHES[summary.reaches_target]} the target of {percent(target)})"
    lines += (
        f"validation accuracy {_percent(summary.val_accuracy)}, "
        f"test accuracy {_percent(summary.test_accuracy)}{held}",
        f"{summary.params or 0:,} parameters, receptive field {summary.receptive_field} px, "
        f"{summary.seconds or 0:.0f} s on {one_line(str(summary.device))}",
        *([one_line(summary.note)] if summary.note else []),
        f"\ncurves and pictures: {RunFolder(shown).plots}",
        f"again from the weights: python -m cifar_arch.evaluate {' '.join(map(quote, words))}",
    )
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:  # which Hydra would report
        reader_left()


_REACHES = {True: "reaches", False: "misses", None: "is not held against"}


def _percent(accuracy: float | None) -> str:
    return "not read" if accuracy is None else f"{accuracy:.2%}"
