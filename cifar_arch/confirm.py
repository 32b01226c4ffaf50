"""python -m cifar_arch.confirm STUDY --top K --seeds N: the best networks of a study on the full schedule.

Each is trained on all training images with several seeds, and reads the test set once per seed. The same
command continues where it was interrupted; in another shell it shares the work.
"""

import argparse
import contextlib
import shlex
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from cifar_arch.config import Experiment
from cifar_arch.data import SYNTHETIC, SYNTHETIC_NOTE
from cifar_arch.device import limit_spinning
from cifar_arch.outputs import Outputs
from cifar_arch.plugins import add_plugin_option, own_blocks
from cifar_arch.schema import ConfigError
from cifar_arch.search.objectives import Prefer
from cifar_arch.shown_commands import data_override, plugin_options, run_command
from cifar_arch.terminal import counted, duration, end_on_signals, exit_on_errors, percent, table

if TYPE_CHECKING:
    from cifar_arch.search.confirm_choice import Choice, Wanted
    from cifar_arch.search.trial import TrialRecord


class Confirmed(NamedTuple):
    """A network with the test accuracies of its seeds."""

    number: int  # of its trial in the study
    params: int
    receptive_field: int
    validation: float  # accuracy in the study
    test: list[float]
    seconds: float

    @property
    def mean(self) -> float:
        return statistics.mean(self.test)


def main() -> None:
    """Exits with 2 for a mistake in what was typed, 1 where a training failed, 130 when interrupted."""
    arguments = _parser().parse_args()
    limit_spinning()
    end_on_signals()
    with exit_on_errors("interrupted; the same command goes on"), own_blocks(arguments.plugin):
        _confirm(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cifar_arch.confirm", description=__doc__)
    parser.add_argument("study", help="the name that the sweep printed")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--top", type=_count, default=3, metavar="K", help="how many networks (default: 3)")
    which.add_argument(
        "--trial",
        type=_number,
        nargs="+",
        action="extend",
        default=[],
        metavar="N",
        help="these trials instead of the best",
    )
    parser.add_argument("--seeds", type=_count, default=3, metavar="N", help="seeds for each (default: 3)")
    parser.add_argument(
        "--prefer",
        choices=get_args(Prefer),
        default="accuracy",
        help="smallest: the fewest parameters among those that reach the target on the validation images",
    )
    parser.add_argument(
        "--target", type=_accuracy, metavar="ACCURACY", help="such as 0.85 (default: that of the study)"
    )
    parser.add_argument(
        "--epochs", type=_count, help="default: those of the default recipe, or of the study if that has more"
    )
    parser.add_argument(
        "--outputs", type=Path, default=Path("outputs"), metavar="DIR", help="the sweep's (default: outputs)"
    )
    parser.add_argument("--storage", help="default: studies.db in the folder of --outputs")
    parser.add_argument(
        "--workers", type=_count, default=1, metavar="N", help="processes that share the work (default: 1)"
    )
    add_plugin_option(parser)
    parser.add_argument("--mark", help=argparse.SUPPRESS)  # of one of them; --worker is short for --workers
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer at least 1, got {text!r}")
    return int(text)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected the number of a trial, got {text!r}")
    return int(text)


def _accuracy(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected an accuracy above 0 and at most 1, got {text!r}")


def _confirm(arguments: argparse.Namespace) -> None:
    from cifar_arch.search.confirm_choice import Wanted, chosen
    from cifar_arch.search.confirmation import Confirmation, write_winner
    from cifar_arch.search.storage import sqlite_url

    if arguments.trial and arguments.prefer != "accuracy":
        raise ConfigError("--trial: names the trials itself, got --prefer smallest as well; type one of them")
    outputs = Outputs(arguments.outputs)
    wanted = Wanted(
        study=arguments.study,
        outputs=outputs,
        storage=arguments.storage or sqlite_url(outputs.studies),
        top=arguments.top,
        trials=arguments.trial,
        prefer=arguments.prefer,
        target=arguments.target,
        epochs=arguments.epochs,
        plugins=arguments.plugin,
    )
    choices, lines = chosen(wanted)
    confirmation = Confirmation(choices, wanted, arguments.seeds)
    if arguments.mark:
        confirmation.work(arguments.mark)
        return
    print("\n".join([*lines, ""]), end="")
    first = Experiment.from_dict(choices[0].config(arguments.epochs, 0))
    data, target = first.data.name, first.limits.target_accuracy
    print(f"study {arguments.study}: {_planned(choices, wanted, arguments.seeds, data)}", flush=True)
    shared = confirmation.work() if arguments.workers == 1 else confirmation.supervise(arguments.workers)
    results = list(confirmation.results(shared))
    found = [_confirmed(choice, trials) for choice, trials in results]
    print(f"\n{results_table(found, first.reachable_target)}\n\n{verdict(found, target, data)}")
    winner = write_winner(choices[0], arguments.epochs)
    folders = [confirmation.folder_of(trial) for trial in results[0][1]]
    chosen_as = "the first trial named" if arguments.trial else "the first of the study's ranking"
    print(f"\n{chosen_as} is the winner, so that the test images choose nothing; again:")
    again = run_command(winner, "winner", data_override(first.data), arguments.plugin)
    print(next_steps(again, folders, arguments.study, arguments.plugin))


def _planned(choices: "list[Choice]", wanted: "Wanted", seeds: int, data: str) -> str:
    """What is going to be trained, and how long it takes by what the trials took."""
    each_choice = [(c, Experiment.from_dict(c.config(wanted.epochs, 0))) for c in choices]
    epochs = [e.training.epochs for _, e in each_choice]
    times = [
        e.training.epochs * e.data.epoch_work * c.image_seconds for c, e in each_choice if c.image_seconds
    ]
    count = len(choices) * seeds
    time = f", about {duration(count * statistics.mean(times))} of work" if times else ""
    each = counted(max(epochs), "epoch", min(epochs))  # the study may sweep them
    return (
        f"networks: {len(choices)}, seeds for each: {seeds}, so {counted(count, 'training')} of "
        f"{each} on all training images of {data}{time}"
    )


def _confirmed(choice: "Choice", trials: "list[TrialRecord]") -> Confirmed:
    return Confirmed(
        number=choice.number,
        params=choice.params,
        receptive_field=choice.receptive_field,
        validation=choice.value,
        test=[trial.values[0] for trial in trials],
        seconds=sum(trial.seconds or 0.0 for trial in trials),
    )


def next_steps(winner: str, folders: list[str], study: str, plugins: list[str]) -> str:
    """What to type after a confirmation.

    `winner` is the command that trains it, `plugins` are the Python files that it takes.
    """
    card = [*folders, *plugin_options(plugins), "--to", f"results/{study}"]
    return (
        f"  {winner}\n"
        "a page on it with its weights, to publish:\n"
        f"  python -m cifar_arch.card {shlex.join(card)}"
    )


def results_table(found: list[Confirmed], target: float | None) -> str:
    """Mean, std and n of the test accuracy for each network."""
    rows = [["trial", "test mean", "std", "n", "params", "field", "validation in the study", "seconds"]]
    if target is not None:
        rows[0].append(f"target {percent(target)}")
    for c in found:
        std = f"{statistics.stdev(c.test):.2%}" if len(c.test) > 1 else "-"
        sizes = [f"{c.params:,}", f"{c.receptive_field} px", f"{c.validation:.2%}", f"{c.seconds:.0f}"]
        rows.append([str(c.number), f"{c.mean:.2%}", std, str(len(c.test)), *sizes])
        if target is not None:
            rows[-1].append("reached" if c.mean >= target else f"{100 * (target - c.mean):.2f} points below")
    return table(rows)


def verdict(found: list[Confirmed], target: float | None, data: str) -> str:
    """Whether the target is reached on average, and the distance where it is not."""
    if data == SYNTHETIC:
        return SYNTHETIC_NOTE
    if target is None:
        return "no target is set"
    reached = [c.number for c in found if c.mean >= target]
    if reached:
        return f"reach the target of {percent(target)} on average: trial {', trial '.join(map(str, reached))}"
    best = max(found, key=lambda c: c.mean)
    return (
        f"none reaches the target of {percent(target)}: "
        f"trial {best.number} comes closest, {100 * (target - best.mean):.2f} points below"
    )


if __name__ == "__main__":
    main()
