"""The networks in results/: each folder holds what its card says."""

import csv
import importlib
import json
import re
import statistics
from pathlib import Path

import pytest
from conftest import CHECKOUT, CIFAR10, Cli

from cifar_arch.card import SEEDS
from cifar_arch.evaluate import ROUNDING
from cifar_arch.runfolder import RunFolder

NETWORKS = sorted(file.parent for file in (CHECKOUT / "results").glob(f"*/{SEEDS}"))
PARAMS_BELOW = {
    "smallest-85": 18_000,
    "smallest-86": 25_000,
    "fewest-macs-85": 200_000,
    "eva6": 200_000,
    "eva6-hard": 100_000,
}
TARGET = {"smallest-85": 0.85, "smallest-86": 0.86, "fewest-macs-85": 0.85, "eva6": 0.915, "eva6-hard": 0.9}

MACHINE = r"[\s\"'=]/(home|root|tmp|work)/"  # where a path of some machine starts

published = pytest.mark.parametrize("folder", NETWORKS, ids=lambda folder: folder.name)


def test_every_published_network_is_held_to_its_limits() -> None:
    assert {folder.name for folder in NETWORKS} == PARAMS_BELOW.keys() == TARGET.keys()


@published
def test_a_winner_is_inside_its_limits_and_at_its_target(folder: Path, cli: Cli) -> None:
    done = cli("check", "--config-dir", str(folder), "+experiment=winner", "--json")
    assert (done.status, done.err) == (0, "")
    summary = RunFolder(folder).read_summary()
    assert summary is not None
    params = json.loads(done.out)["params"]
    assert params == summary.params
    assert params < PARAMS_BELOW[folder.name]
    with (folder / SEEDS).open(newline="", encoding="utf-8") as file:
        accuracies = [float(row["test_accuracy"]) for row in csv.DictReader(file)]
    assert len(accuracies) >= 3
    assert statistics.mean(accuracies) >= TARGET[folder.name]
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{summary.params:,} parameters, test accuracy {statistics.mean(accuracies):.2%}" in page


@published
def test_a_winner_is_small_and_names_no_machine(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            assert file.stat().st_size < 1_000_000
            if file.suffix in {".md", ".csv", ".json", ".yaml", ".svg"}:
                assert not re.search(MACHINE, file.read_text(encoding="utf-8")), file


@pytest.mark.slow
@pytest.mark.cifar10
@published
def test_the_weights_give_the_accuracy_on_record(folder: Path, cli: Cli) -> None:
    done = cli("evaluate", str(folder), "--data", str(CIFAR10), "--json")
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["test_accuracy"] == pytest.approx(found["recorded"], abs=ROUNDING)


@pytest.mark.slow
@pytest.mark.extra
def test_the_findings_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra report")
    monkeypatch.syspath_prepend(CHECKOUT)
    findings = importlib.import_module("benchmarks.findings")
    found = [*findings.page(findings.networks())]
    page = (CHECKOUT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert page == "\n".join([*found, ""]), "type python -m benchmarks.findings"


@published
def test_readme_quotes_what_is_on_record(folder: Path) -> None:
    with (folder / SEEDS).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    accuracies = [float(row["test_accuracy"]) for row in rows]
    seconds = [float(row["seconds"]) for row in rows]
    summary = RunFolder(folder).read_summary()
    assert summary is not None
    mean, std = 100 * statistics.mean(accuracies), 100 * statistics.stdev(accuracies)
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(rf"^\| \[{folder.name}\]\(results/{folder.name}\)[^|]* \| (.*) \|$", readme, re.M)
    assert shown.split(" | ") == [
        f"{summary.params:,}",
        rows[0]["epochs_done"],
        f"**{mean:.2f} % ({std:.2f})**",
        f"{min(seconds):,.0f} to {max(seconds):,.0f}",
    ]


def test_what_is_drawn_of_the_default_is_what_readme_says() -> None:
    with (CHECKOUT / "results" / "known.csv").open(newline="", encoding="utf-8") as file:
        ours = [row for row in csv.DictReader(file) if row["source"] == "README"]
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert ours
    for row in ours:
        line = (
            rf"\| {int(row['params']):,} \| {row['epochs']} \| \*\*{100 * float(row['test_accuracy']):.2f} % "
        )
        assert re.search(line, readme), row
