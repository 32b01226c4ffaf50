"""python -m cifar_arch.results OUTPUTS --study NAME --to FILE: a study as a table of trained networks.

`load_table()` reads the published one: every network of `+search=table`, trained on CIFAR-10.
"""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from cifar_arch.outputs import CONFIRMATIONS, require_place, typed_path
from cifar_arch.record import ADDED, Status, decides_result
from cifar_arch.report.curves import load_curves
from cifar_arch.report.filter import closest
from cifar_arch.report.runs import load_runs
from cifar_arch.runfolder import atomic
from cifar_arch.schema import ConfigError, install
from cifar_arch.spec import STAGES, TRANSITIONS
from cifar_arch.terminal import counted, exit_on_errors

TABLE = Path(__file__).parent.parent / "results" / "cifar10-table" / "table.parquet"  # of the repository
SIZES = ("params", "macs", "receptive_field", "width")
MEASURED = ("val_accuracy", "val_loss", "train_accuracy", "test_accuracy", "seconds", "images_per_second")
MACHINE = ("device", "precision", "threads", "git_commit")
ORDER = ["architecture", "seed", "epochs"]


def load_table(path: str | Path | None = None) -> pd.DataFrame:
    """The published table, a row for each network, seed and number of epochs; or another one at `path`.

    `architecture` is equal for equal layers; c1 to t3 name the variants, model.* every field of them;
    `val_accuracy_1` and so on are the validation accuracies after each epoch, from 0 to 1, and
    `val_accuracy` that of the last. Raises ConfigError where it is not there or pyarrow is not installed.
    """
    place = Path(path or TABLE)
    if not place.is_file():
        raise ConfigError(f"results: no table at {str(place)!r}; take one from the repository")
    with _parquet():
        return pd.read_parquet(place)


def table_of(outputs: str | Path, study: str) -> pd.DataFrame:
    """The completed runs of a study below `outputs`, a row each, in the form of `load_table`.

    Raises ConfigError where there is none.
    """
    runs = load_runs(outputs)
    runs = runs[(runs["status"] == Status.COMPLETED) & (runs["source"] != CONFIRMATIONS)]
    known = runs[runs["study"].notna()]
    runs = known[known["study"] == study]
    if runs.empty:
        names = sorted({str(name) for name in known["study"]})
        raise ConfigError(
            f"--study: no completed run of {study!r} in {str(outputs)!r}; {closest(study, names)}"
        )
    curves = load_curves(runs).pivot(index="folder", columns="epoch", values="val_accuracy")
    curves.columns = [f"val_accuracy_{epoch}" for epoch in curves.columns]
    config = [name for name in runs if "." in name and decides_result(name)]
    first = ("architecture", "seed", *STAGES, *TRANSITIONS, *SIZES, *MEASURED, "epochs", *MACHINE)
    whole = runs[[*first, *config]].join(curves, on=runs["folder"])
    order = [*first, *curves.columns, *config]
    return whole[order].sort_values(ORDER, ignore_index=True)


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """All rows of the old one, and those of the new one whose network, seed and recipe it does not have."""
    # An earlier version kept more columns.
    old = old[[name for name in old if "." not in name or decides_result(name)]]
    # A setting that one of them lacks came later, with the value that runs had before, or is of no run in it.
    old, new = (_with_later(table, beside) for table, beside in ((old, new), (new, old)))
    same = [*ORDER, *(name for name in new if "." in name and name in old)]
    known = set(_plain_rows(old[same]))
    added = [row not in known for row in _plain_rows(new[same])]
    return pd.concat([old, new[added]], ignore_index=True).sort_values(ORDER, ignore_index=True)


def _ours(path: Path) -> pd.DataFrame:
    """The table to add to. Raises ConfigError where the file holds another one."""
    table = load_table(path)
    if not {*ORDER, *STAGES, *TRANSITIONS} <= set(table):
        raise ConfigError(f"--to: {str(path)!r} holds another table; name another file")
    return table


def _with_later(table: pd.DataFrame, beside: pd.DataFrame) -> pd.DataFrame:
    """The table with the settings that came later, of those that the other one has."""
    later = {key: value for key, value in ADDED.items() if key in beside and key not in table}
    return table.assign(**later)


def _plain_rows(table: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """The rows as text, for two tables have a column in different types: 3, 3.0 and a list as an array."""
    columns = []
    for name in table:
        values = (v.tolist() if isinstance(v, np.ndarray) else v for v in table[name].astype(object))
        numbers = (int(v) if isinstance(v, float) and v.is_integer() else v for v in values)
        columns.append(["" if v is None or v is pd.NA or v != v else str(v) for v in numbers])
    return zip(*columns, strict=True)


def main() -> None:
    """Exits with 2 where there is no such study."""
    parser = argparse.ArgumentParser(prog="python -m cifar_arch.results", description=__doc__)
    parser.add_argument("outputs", type=typed_path, help="the folder of all runs and sweeps")
    parser.add_argument("--study", required=True, help="the name of the study")
    parser.add_argument("--to", type=typed_path, required=True, help="a .parquet file; its old rows are kept")
    arguments = parser.parse_args()
    with exit_on_errors():
        if arguments.to.suffix != ".parquet":
            raise ConfigError(f"--to: expected a file that ends in .parquet, got {str(arguments.to)!r}")
        require_place(arguments.to.parent)
        table = table_of(arguments.outputs, arguments.study)
        if arguments.to.is_dir():
            raise ConfigError(f"--to: {str(arguments.to)!r} is a folder; name a file")
        if arguments.to.exists():
            table = merged(_ours(arguments.to), table)
        arguments.to.parent.mkdir(parents=True, exist_ok=True)
        with _parquet(), atomic(arguments.to) as temporary:
            table.to_parquet(temporary, index=False)
        networks = table["architecture"].nunique()
        print(f"{arguments.to}: {counted(networks, 'network')}, {counted(len(table), 'training')}")


@contextlib.contextmanager
def _parquet() -> Iterator[None]:
    """Within it a missing pyarrow, or a file that it cannot read, is a ConfigError."""
    try:
        yield
    except ValueError as error:  # pyarrow's ArrowInvalid
        raise ConfigError(f"results: no Parquet file ({error}); name another") from error
    except ImportError as error:
        raise ConfigError(
            f"results: needs pyarrow, which is not installed; type {install('report')}"
        ) from error


if __name__ == "__main__":
    main()
