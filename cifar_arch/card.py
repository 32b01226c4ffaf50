"""python -m cifar_arch.card RUN [RUN ...] --to FOLDER: a trained network with its weights, to publish.

The runs have one network and recipe, and several seeds. It writes a page on the network (README.md), the
weights of the lowest seed, and experiment/winner.yaml to train it again, with options and blocks of your own;
`evaluate FOLDER` computes its accuracy again.
"""

import argparse
import csv
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from msgspec.structs import replace

from cifar_arch.config import Experiment
from cifar_arch.data import SYNTHETIC, SYNTHETIC_NOTE
from cifar_arch.evaluate import ROUNDING, Evaluation, evaluate
from cifar_arch.feasibility import Verdict, judge
from cifar_arch.identity import changes
from cifar_arch.limits import requirements
from cifar_arch.outputs import experiment_file, require_place, typed_path
from cifar_arch.plugins import add_plugin_option, own_blocks
from cifar_arch.record import EXECUTION
from cifar_arch.runfolder import FigureName, RunFolder
from cifar_arch.saved import SavedRun
from cifar_arch.schema import ConfigError
from cifar_arch.shown_commands import exact_command, plugin_options, run_command
from cifar_arch.terminal import counted, exit_on_errors, percent

COPIED = ("architecture", "metrics", "weights")
PICTURES: tuple[FigureName, ...] = ("curves", "confusion_matrix")
SEEDS = "seeds.csv"  # a row for each run: its results, as in summary.json
COLUMNS = (
    "seed",
    "test_accuracy",
    "val_accuracy",
    "epochs_done",
    "seconds",
    "device",
    "precision",
    "threads",
)


class Tested(NamedTuple):
    """One of the runs, and what `evaluate --json` says of it."""

    run: SavedRun
    found: Evaluation

    @property
    def seed(self) -> int:
        return self.run.summary.seed or 0


def main() -> None:
    """Exits with 2 where the runs are not of one network, or do not give their accuracy again."""
    parser = argparse.ArgumentParser(prog="python -m cifar_arch.card", description=__doc__)
    parser.add_argument("runs", type=typed_path, nargs="+", metavar="RUN", help="folders of finished runs")
    parser.add_argument("--to", type=typed_path, required=True, metavar="FOLDER", help="such as results/mine")
    parser.add_argument(
        "--data", metavar="FOLDER", help="folder that holds cifar-10-batches-py (default: the runs')"
    )
    add_plugin_option(parser)
    arguments = parser.parse_args()
    with exit_on_errors(), own_blocks(arguments.plugin):
        files = [Path(file) for file in arguments.plugin]
        if len({file.name for file in files}) < len(files):
            names = ", ".join(map(str, files))
            raise ConfigError(f"--plugin: a card cannot hold two files of one name, got {names}; rename one")
        require_free(arguments.to)
        runs = sorted(map(SavedRun, arguments.runs), key=lambda run: run.summary.seed or 0)
        experiment = of_one_experiment(runs)
        require_same(arguments.to, experiment)
        tested = [tested_again(run, arguments.data) for run in runs]
        write(arguments.to, tested, experiment, files)
        print(f"{arguments.to}: {headline(tested)}\n{again(arguments.to, tested[0], files)}")


def require_free(folder: Path) -> None:
    """Raises ConfigError for a folder with anything in it but an earlier card."""
    require_place(folder)
    card = (folder / SEEDS).is_file() and RunFolder(folder).summary.is_file()  # a report has the first alone
    if folder.exists() and not card and any(folder.iterdir()):
        raise ConfigError(
            f"--to: {str(folder)!r} holds other files, which would be written over; name a new folder, "
            "or one with an earlier card"
        )


def require_same(folder: Path, experiment: Experiment) -> None:
    """Raises ConfigError for an earlier card of another network or recipe, whose files would be left over."""
    earlier = RunFolder(folder).read_summary()
    if earlier and (different := changes(RunFolder(folder), replace(experiment, seed=earlier.seed))):
        raise ConfigError(
            f"--to: {str(folder)!r} is the card of another network or recipe ({different}); remove it, or "
            "name another folder"
        )


def of_one_experiment(runs: Sequence[SavedRun]) -> Experiment:
    """What the runs computed, with the first one's seed. Raises ConfigError where they differ in more."""
    from cifar_arch.saved_config import saved_config

    folder = runs[0].folder
    first = Experiment.from_dict(saved_config(folder))
    needed = [*(getattr(folder, name) for name in COPIED), *map(folder.figure, PICTURES)]
    if missing := [str(file.relative_to(folder.path)) for file in needed if not file.is_file()]:
        raise ConfigError(
            f"run: {str(folder.path)!r} lacks {', '.join(missing)}; copy the folder again, or train it again"
        )
    for run in runs:
        path, seed = str(run.folder.path), run.summary.seed
        if run.summary.test_accuracy is None:
            raise ConfigError(
                f"run: {path!r} has not read the test set; train it with read_test=true, as `confirm` does"
            )
        if different := changes(run.folder, replace(first, seed=seed)):
            raise ConfigError(
                f"run: {path!r} and {str(runs[0].folder.path)!r} differ in more than the seed ({different}); "
                "name runs of one network and recipe"
            )
    seeds = [run.summary.seed for run in runs]
    if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise ConfigError(f"run: seed {twice[0]} was given twice; name one run for each seed")
    return first


def tested_again(run: SavedRun, root: str | None) -> Tested:
    """The run on its test set. Raises ConfigError where the accuracy is not the one on record."""
    found = evaluate(run, root)
    if abs(found.difference) > ROUNDING:
        raise ConfigError(
            f"run: {str(run.folder.path)!r} gives {found.test_accuracy:.2%} now, and has "
            f"{found.recorded:.2%} on record; name the data it was trained on with --data"
        )
    return Tested(run, found)


def write(folder: Path, tested: Sequence[Tested], experiment: Experiment, files: Sequence[Path]) -> None:
    """Everything that is published, without a path of this machine; accuracies as `evaluate` gives them.

    `files`: those of own blocks, which are copied as well. An earlier card is written over once all is there.
    """
    named = Path(folder.name) if folder.is_absolute() else folder  # as the page has it
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
        made = Path(place) / "card"  # whose mode is that of any folder
        _write(made, named, tested, experiment, files)
        shutil.copytree(made, folder, dirs_exist_ok=True)


def _write(
    place: Path, folder: Path, tested: Sequence[Tested], experiment: Experiment, files: Sequence[Path]
) -> None:
    """Into `place`, for `folder`."""
    from cifar_arch.drawing import save
    from cifar_arch.saved_config import experiment_text, saved_composition, write_own_options

    first, made = tested[0].run, RunFolder(place)
    verdict = judge(experiment.model, experiment.limits, experiment.augment.active())
    for copied in COPIED:
        source, target = getattr(first.folder, copied), getattr(made, copied)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for name in PICTURES:
        made.plots.mkdir(exist_ok=True)
        shutil.copyfile(first.folder.figure(name), made.figure(name))
    for file in files:
        shutil.copyfile(file, place / file.name)
    whole = saved_composition(first.folder)
    write_own_options(whole, place)
    winner = experiment_file(place, "winner")
    winner.parent.mkdir(exist_ok=True)
    named = [file.name for file in files]
    text = experiment_text(whole, whole.hydra, folder, "winner", named, pin_seed=False)
    winner.write_text(text, encoding="utf-8")
    save(verdict, experiment.limits, str(place / "network.svg"))
    config = {key: value for key, value in first.summary.config.items() if key not in EXECUTION}
    summaries = [replace(t.run.summary, test_accuracy=t.found.test_accuracy) for t in tested]
    made.write_summary(replace(summaries[0], config=config, command=again(folder, tested[0], files)))
    with (place / SEEDS).open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table)
        rows.writerow(COLUMNS)
        rows.writerows([getattr(summary, name) for name in COLUMNS] for summary in summaries)
    text = "\n".join(page(folder, tested, experiment, verdict, files))
    (place / "README.md").write_text(text, encoding="utf-8")


def again(folder: Path, tested: Tested, files: Sequence[Path]) -> str:
    """The command that trains the network once more, as that seed was."""
    command = run_command(folder, "winner", [f"seed={tested.seed}"], [file.name for file in files])
    return exact_command(replace(tested.run.summary, command=command)) or command


def headline(tested: Sequence[Tested]) -> str:
    """Parameters and the accuracy on the test set, as it is quoted."""
    accuracies = [t.found.test_accuracy for t in tested]
    spread = f"std {statistics.stdev(accuracies):.2%}, " if len(accuracies) > 1 else ""
    return (
        f"{tested[0].run.summary.params:,} parameters, test accuracy {statistics.mean(accuracies):.2%} "
        f"({spread}n = {len(accuracies)}) on {tested[0].found.data}"
    )


def page(
    folder: Path,
    tested: Sequence[Tested],
    experiment: Experiment,
    verdict: Verdict,
    files: Sequence[Path],
) -> Iterator[str]:
    """The lines of README.md."""
    first = tested[0]
    accuracies = [t.found.test_accuracy for t in tested]
    a = verdict.analysis
    yield f"# {folder.name}\n"
    yield f"{headline(tested)}."
    if first.found.data == SYNTHETIC:
        yield f"{SYNTHETIC_NOTE[0].upper()}{SYNTHETIC_NOTE[1:]}."
    yield (
        f"{a.macs / 1e6:.2f} million multiply-adds, receptive field {a.receptive_field} px; "
        f"weights of seed {first.seed} in [checkpoints]({RunFolder('').weights}).\n"
    )
    yield "![The network](network.svg)\n"
    if kept := [*rules(verdict, experiment, statistics.mean(accuracies))]:
        yield "## Rules\n\n| rule | asked | this network |\n|---|---|---|"
        yield from (f"| {rule} | {asked} | {got} |" for rule, asked, got in kept)
        yield ""
    yield "## Accuracy\n"
    yield from accuracy_tables(tested)
    yield f"\nBy class the mean over the seeds; below, seed {first.seed}.\n"
    yield from (f"![{name.replace('_', ' ')}]({RunFolder('').figure(name)})" for name in PICTURES)
    yield from recipe(folder, first, files)


def recipe(folder: Path, first: Tested, files: Sequence[Path]) -> Iterator[str]:
    """How it was trained, and the commands that evaluate it and train it once more."""
    summary = first.run.summary
    split = summary.split or {}
    yield "\n## Recipe\n"
    yield (
        f"{counted(summary.epochs_done or 0, 'epoch')} on {split.get('train', 0):,} images, "
        f"on {summary.device} in {summary.precision or 'unknown precision'}, "
        f"threads: {summary.threads or 'unknown'}; "
        f"torch {summary.versions.get('torch', 'unknown')}, commit {summary.git_commit or 'unknown'}. "
        "The whole of it: [experiment/winner.yaml](experiment/winner.yaml).\n"
    )
    yield "```sh"
    words = [str(folder), *plugin_options([str(folder / file.name) for file in files])]
    data = "" if first.found.data == SYNTHETIC else " --data FOLDER"
    yield f"python -m cifar_arch.evaluate {' '.join(map(quote, words))}{data}"
    yield again(folder, first, files)
    yield "```\n"


def accuracy_tables(tested: Sequence[Tested]) -> Iterator[str]:
    """The accuracies by seed, and by class."""
    yield "The test set was read once a seed, after the last epoch.\n"
    yield "| seed | test | validation | seconds |\n|---|---|---|---|"
    for t in tested:
        s = t.run.summary
        validation = "-" if s.val_accuracy is None else f"{s.val_accuracy:.2%}"
        yield f"| {t.seed} | {t.found.test_accuracy:.2%} | {validation} | {s.seconds or 0:,.0f} |"
    yield "\n| class | recall | precision |\n|---|---|---|"
    for place, known in enumerate(tested[0].found.classes):
        each = [t.found.classes[place] for t in tested]
        recall, precision = (
            statistics.mean(getattr(c, name) for c in each) for name in ("recall", "precision")
        )
        yield f"| {known.name} | {recall:.1%} | {precision:.1%} |"


def rules(verdict: Verdict, experiment: Experiment, accuracy: float) -> Iterator[tuple[str, str, str]]:
    """(rule, what is asked, what the network has) for each rule that is on, the test accuracy last."""
    limits = experiment.limits
    yield from requirements(verdict.analysis, limits, experiment.augment.active(), verdict.latency_ms)
    if limits.target_accuracy is not None:
        missed = ", not reached" * (accuracy < limits.target_accuracy)
        said = ", not counted" if experiment.data.synthetic else missed
        yield "test accuracy", f"at least {percent(limits.target_accuracy)}", f"{accuracy:.2%}{said}"


if __name__ == "__main__":
    main()
