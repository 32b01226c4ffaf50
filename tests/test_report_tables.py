"""The leaderboard: its order and its columns."""

from pathlib import Path

import pandas as pd
import pytest
from generated_runs import load_small_sweep, write_run

from cifar_arch.report import load_runs
from cifar_arch.report.tables import grouped, markdown, ranking, shown_columns, text

END = ["epochs_done", "seconds", "status", "folder"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_small_sweep(tmp_path_factory.mktemp("tables"))


# sort: the column that it adds
ADDED = {"-accuracy": [], "accuracy": [], "params": [], "-images_per_second": ["images_per_second"]}


@pytest.mark.parametrize(("sort", "added"), ADDED.items())
def test_what_differs_is_shown_and_what_is_sorted_by(runs: pd.DataFrame, sort: str, added: list[str]) -> None:
    first = ["rank", "val_accuracy", "params", "receptive_field", "macs", *added]
    assert shown_columns(ranking(runs, sort), sort) == [*first, "c4", "t1", "model.width", *END]


ORDERED = pd.DataFrame(
    [
        ("pruned", "cifar10", "validation", 0.99),
        ("completed", "shapes", "validation", 0.98),
        ("completed", "cifar10", "test", 0.97),
        ("completed", "cifar10", "validation", 0.6),
        ("completed", "cifar10", "validation", 0.7),
        ("unreadable", None, None, None),
    ],
    columns=["status", "data", "accuracy_of", "accuracy"],
).assign(folder=list("012345"))


@pytest.mark.parametrize(("sort", "order"), [("-accuracy", "432105"), ("accuracy", "342105")])
def test_the_best_has_validation_accuracy_and_is_complete(sort: str, order: str) -> None:
    assert "".join(ranking(ORDERED, sort)["folder"]) == order


def test_a_group_is_of_runs_to_learn_from_and_one_of_those_without_the_setting() -> None:
    groups = grouped(ORDERED.assign(c4=["plain"] * 4 + [None] * 2), "c4")
    assert groups[["mean", "n"]].to_numpy().tolist() == [[0.7, 1], [0.6, 1]]


def test_on_a_terminal_numbers_stand_to_the_right() -> None:
    frame = pd.DataFrame({"c4": ["plain", "x"], "params": [1000, 5]})
    assert text(frame, ["c4", "params"]).splitlines()[1:] == ["plain       1,000", "x               5"]


def test_a_foreign_config_may_have_a_key_named_rank(tmp_path: Path) -> None:
    write_run(tmp_path / "a", rank=7)
    assert ranking(load_runs(tmp_path))["rank"].tolist() == [1]


def test_markdown_shows_text_as_it_stands(tmp_path: Path) -> None:
    frame = pd.DataFrame({"folder": ["<script>alert(1)</script>|a\r\nb", "*_q_ `a_b`"], "params": [1, 2]})
    assert markdown(frame, ["folder", "params"]).splitlines()[2:] == [
        "| &lt;script&gt;alert(1)&lt;/script&gt;\\|a b | 1 |",
        "| \\*\\_q\\_ \\`a_b\\` | 2 |",
    ]
