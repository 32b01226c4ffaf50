"""The end of a sweep: its ranking, what to type next, and the configs that train its trials once more."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from omegaconf import DictConfig

from cifar_arch.compose import plain
from cifar_arch.config import Experiment
from cifar_arch.outputs import experiment_name
from cifar_arch.plugins import plugin_paths
from cifar_arch.provenance import masked
from cifar_arch.runfolder import atomic
from cifar_arch.saved_config import copy_own_options, experiment_text
from cifar_arch.schema import SearchStopped
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.composer import Composer
from cifar_arch.search.console import done_line
from cifar_arch.search.edited import require_same
from cifar_arch.search.objectives import Prefer, by_accuracy_first
from cifar_arch.search.ranking import Ranking, ranked, target_lines
from cifar_arch.search.storage import sqlite_file
from cifar_arch.search.study import SearchConfig, SharedStudy
from cifar_arch.search.trial import TrialRecord
from cifar_arch.shown_commands import data_override, plugin_options, run_command


def finish(shared: SharedStudy, composer: Composer, prefer: Prefer, target: float | None) -> None:
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
        name = experiment_name(trial.number)
        if not search.folder.experiment(name).exists():  # its worker died before it could write the file
            _compose_again(search, composer, trial, name)
    plugins = plugin_paths(whole.plugins, whole.hydra.runtime)
    print(next_steps(search, ranking, plugins, data_override(data), prefer, target))


def write_experiment(
    search: SearchConfig, name: str, config: DictConfig, hydra: DictConfig, *, pin_seed: bool = True
) -> None:
    """Writes what `+experiment=` takes: the config, and the node `hydra` that was composed with it."""
    folder = search.folder
    copy_own_options(hydra, folder.path)
    with atomic(folder.experiment(name)) as temporary:
        text = experiment_text(config, hydra, folder.path, name, pin_seed=pin_seed)
        temporary.write_text(text, encoding="utf-8")


def _compose_again(
    search: SearchConfig, composer: Composer, trial: TrialRecord, name: str, *, pin_seed: bool = True
) -> DictConfig:
    """Writes the config of a trial, and returns it.

    Raises ConfigError where an option is no longer what the trial was trained with.
    """
    composed = composer.by_hydra(trial.point)
    require_same(trial, trial.key, Candidate.from_dict(plain(composed)).key)
    write_experiment(search, name, composed, composed.hydra, pin_seed=pin_seed)
    return composed


def next_steps(
    search: SearchConfig,
    ranking: Ranking,
    plugins: Sequence[str],
    data: Sequence[str],
    prefer: Prefer,
    target: float | None,
) -> str:
    """What to type after a sweep.

    `plugins` are the Python files that it takes, `data` are the words that name its images.
    """
    outputs = search.folder.outputs
    other = ranking.trials[min(1, len(ranking.trials) - 1)].number
    best, trial = (
        run_command(search.folder.path, name, data, plugins) for name in ("best", experiment_name(other))
    )
    confirm = _confirm_lines(search, other, plugins, prefer, target)
    return (
        f"\ntrain the best again, and read the test set:\n"
        f"  {best}\n"
        f"any completed trial, such as trial {other}:\n"
        f"  {trial}\n"
        f"{confirm if by_accuracy_first(search.objectives) else ''}"
        f"tables and figures of all runs:\n"
        f"  python -m cifar_arch.report {quote(str(outputs.path))}\n"
        f"look at the study:\n"
        f"  optuna-dashboard {quote(masked(search.storage))} --artifact-dir {quote(str(outputs.artifacts))}"
    )


def _confirm_lines(
    search: SearchConfig, trial: int, plugins: Sequence[str], prefer: Prefer, target: float | None
) -> str:
    """What to type to confirm the best trials, or the one of that number."""
    outputs = search.folder.outputs
    confirm = f"  python -m cifar_arch.confirm {search.name}"
    if outputs.path != Path("outputs"):
        confirm += f" --outputs {quote(str(outputs.path))}"
    if sqlite_file(search.storage) != outputs.studies:
        confirm += f" --storage {quote(masked(search.storage))}"
    confirm += "".join(f" {quote(word)}" for word in plugin_options(plugins))
    chosen = f" --prefer smallest --target {target}" if prefer == "smallest" else ""
    return (
        f"the best three, or one that you choose, on the full schedule with several seeds:\n"
        f"{confirm}{chosen}\n"
        f"{confirm} --trial {trial}\n"
    )
