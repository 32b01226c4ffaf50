"""The table of trained networks: what it is made of, and how it is read."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Cli
from generated_runs import write_sweep

from cifar_arch.results import ORDER, load_table, merged, table_of
from cifar_arch.schema import ConfigError

pytest.importorskip("pyarrow", reason="needs --extra report")
pytestmark = pytest.mark.extra

SPACE: dict[str, list[Any]] = {"t1": ["strided", "dilated"], "width": [8, 12]}


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    write_sweep(tmp_path / "outputs", "s", SPACE, lambda point: point["width"] / 20, seeds=(0, 1))
    write_sweep(tmp_path / "outputs", "other", {"width": [16]}, lambda point: 0.5)
    return tmp_path / "outputs"


def test_a_study_becomes_a_table(outputs: Path) -> None:
    table = table_of(outputs, "s")
    assert len(table) == 2 * 2 * 2
    assert set(table["t1"]) == {"strided", "dilated"}
    assert (table["val_accuracy"] == table["width"] / 20).all()
    last = table[f"val_accuracy_{table['epochs'].iloc[0]}"]
    assert (last == table["val_accuracy"]).all()
    assert not [name for name in table if "root" in name or name.startswith("limits")]


def test_the_command_adds_to_a_table(outputs: Path, tmp_path: Path, cli: Cli) -> None:
    to = str(tmp_path / "t.parquet")
    for study, count in (("other", "1 training"), ("s", "9 trainings"), ("s", "9 trainings")):
        done = cli("results", str(outputs), "--study", study, "--to", to)
        assert (done.status, done.err) == (0, "")
        assert done.out.endswith(f", {count}\n")
    table = load_table(tmp_path / "t.parquet")
    assert len(table) == 9
    assert table.equals(merged(table, table_of(outputs, "s")))


def test_a_table_of_an_earlier_version_takes_the_same_networks_with_a_later_setting(outputs: Path) -> None:
    new = table_of(outputs, "s")
    old = new.drop(columns="training.whiten")
    with_patterns = new.assign(**{"training.whiten": True})
    assert len(merged(old, with_patterns)) == 2 * len(new)
    assert len(merged(old, new.assign(**{"training.whiten": False}))) == len(new)


def test_trainings_of_confirm_are_no_rows(outputs: Path) -> None:
    shutil.copytree(outputs / "sweeps" / "s", outputs / "confirm" / "s")
    assert len(table_of(outputs, "s")) == 8


def test_a_study_or_file_that_is_none_is_refused(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    for study, hint in {"none": "there are other, s", "ss": "did you mean 's'?"}.items():
        done = cli("results", "outputs", "--study", study, "--to", "t.parquet")
        said = f"--study: no completed run of {study!r} in 'outputs'; {hint}\n"
        assert (done.status, done.err) == (2, said)
    typed = cli("results", "outputs", "--study", "s", "--to", "t.csv")
    assert typed.err == "--to: expected a file that ends in .parquet, got 't.csv'\n"
    with pytest.raises(ConfigError, match=r"^results: no table at '.*nothing.parquet'; take one from"):
        load_table(tmp_path / "nothing.parquet")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^results: no Parquet file \(.+\); name another$"):
        load_table(tmp_path / "t.csv")
    table_of(outputs, "s").to_parquet(tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"^results: needs pyarrow, .* uv sync --inexact --extra report "):
        load_table(tmp_path / "t.parquet")


def test_no_other_file_is_added_to(outputs: Path, tmp_path: Path, cli: Cli) -> None:
    other, folder = tmp_path / "other.parquet", tmp_path / "folder.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(other)
    folder.mkdir()
    for to, what in ((other, "holds another table; name another file"), (folder, "is a folder; name a file")):
        done = cli("results", str(outputs), "--study", "s", "--to", str(to))
        assert (done.status, done.err) == (2, f"--to: {str(to)!r} {what}\n")
    done = cli("results", str(outputs), "--study", "s", "--to", str(other / "in.parquet"))
    assert (done.status, done.err) == (2, f"--to: {str(other)!r} is no folder; name another place\n")


def test_another_number_of_epochs_is_another_row(outputs: Path) -> None:
    table = table_of(outputs, "s")
    longer = table.assign(epochs=table["epochs"] + 1)
    assert len(merged(table, longer)) == 2 * len(table)
    assert len(merged(table, table)) == len(table)


def test_recipes_of_one_network_are_kept(outputs: Path) -> None:
    table = table_of(outputs, "s")
    other = table.assign(**{"training.lr": 9.0})
    recipes = pd.concat([table, other], ignore_index=True)
    assert len(merged(table, other)) == len(recipes)
    assert len(merged(table, table.drop(columns="training.lr"))) == len(table)
    again = merged(recipes, recipes)
    assert len(again) == len(recipes)
    assert again["training.lr"].tolist() == recipes.sort_values(ORDER)["training.lr"].tolist()
