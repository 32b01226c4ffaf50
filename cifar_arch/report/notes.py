"""What a reader must know to interpret the accuracies of a report, a sentence each."""

from collections.abc import Iterator, Sequence

import pandas as pd

from cifar_arch.data import SYNTHETIC, SYNTHETIC_NOTE
from cifar_arch.record import Status
from cifar_arch.report.effects import EQUAL_PARAMS, comparable
from cifar_arch.report.reading import RUNNING
from cifar_arch.search.objectives import FRONT
from cifar_arch.terminal import counted


def notes(runs: pd.DataFrame, repeats: pd.DataFrame, unequal: Sequence[str]) -> Iterator[str]:
    """In the order in which they are read. `repeats`: means over seeds; `unequal`: of `effects.compared`."""
    counts = runs["status"].value_counts()
    yield f"{counted(len(runs), 'run')}: " + ", ".join(f"{n:,} {status}" for status, n in counts.items())
    if synthetic := int((runs["data"] == SYNTHETIC).sum()):
        yield f"{synthetic:,} of them on synthetic images: {SYNTHETIC_NOTE}"
        if (comparable(runs)["data"] != SYNTHETIC).any():
            yield f"effects and groups leave these out; --where \"data == '{SYNTHETIC}'\" shows them alone"
    yield _images(runs)
    yield from _front(runs)
    yield from _target(runs)
    pruned = int((runs["status"] == Status.PRUNED).sum())
    if pruned and len(comparable(runs)) > 1:
        yield (
            f"effects, means and groups leave out {counted(pruned, 'pruned run')}, the poor ones: effects "
            "are too small, means too high; to compare designs type pruner=none"
        )
    if running := int((runs["status"] == RUNNING).sum()):  # as far as anybody can tell
        yield (
            f"{counted(running, 'run')} without an end on record: still running, or killed; the same sweep "
            "goes on with its trials, training.resume=FOLDER with a single run"
        )
    if len(repeats):
        yield "the ranking and the best run are of single seeds; the means over seeds tell designs apart"
    if unequal:
        more = [f"{len(unequal) - 3:,} more"] if len(unequal) > 3 else []
        yield (
            f"not compared, because with width=auto their parameters differ by more than {EQUAL_PARAMS:.0%}: "
            + "; ".join([*unequal[:3], *more])
        )


def _images(runs: pd.DataFrame) -> str:
    """Of which images the accuracies are."""
    without = ", or of the test images where a run has no others"
    read = int(runs["test_accuracy"].notna().sum())
    return (
        "accuracy is that of the validation images"
        + without * bool((runs["accuracy_of"] == "test").any())
        + (
            f"; the test images were read in {counted(read, 'run')}"
            if read
            else ", the test images were not read"
        )
    )


def _front(runs: pd.DataFrame) -> Iterator[str]:
    """What the marks of the front mean."""
    if (compared := runs[runs["front"].notna()]).empty:
        return
    means = ", in the mean over seeds" * bool(compared["seed"].nunique() > 1)
    sought = " or ".join(compared["objectives"].str.replace('"', "").unique())
    yield f"{FRONT}{means}; objectives={sought}"


def _target(runs: pd.DataFrame) -> Iterator[str]:
    """How many tested runs reach their target, or how far the best is from it."""
    held = runs[runs["reaches_target"].notna()]
    if reached := int(held["reaches_target"].sum()):
        yield f"{reached:,} of {counted(len(held), 'tested run')} reached the target"
    elif len(held):
        best = held.loc[held["test_accuracy"].idxmax()]
        missing = 100 * (best["target_accuracy"] - best["test_accuracy"])
        yield f"no tested run reaches its target; the best, {best['folder']}, is {missing:.2f} points below"
