"""The networks in results/: each folder holds what its card says."""

import csv
import importlib
import json
import re
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from conftest import CHECKOUT, CIFAR10, Cli

from cifar_arch import card, cifar10
from cifar_arch.card import SEEDS
from cifar_arch.compose import compose
from cifar_arch.evaluate import ROUNDING, ClassScore, Evaluation
from cifar_arch.experiment import Experiment
from cifar_arch.feasibility import judge
from cifar_arch.record import Summary
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


def seeds_of(folder: Path, text: str) -> list[card.Tested]:
    """What the published records say of each seed; of the classes, what the page says of all."""
    scores = re.findall(r"^\| (\w+) \| ([\d.]+)% \| ([\d.]+)% \|$", text, re.M)
    assert [name for name, *_ in scores] == [*cifar10.CLASSES]
    classes = [
        ClassScore(name=name, recall=float(recall) / 100, precision=float(precision) / 100)
        for name, recall, precision in scores
    ]
    summary = msgspec.to_builtins(RunFolder(folder).read_summary())
    with (folder / SEEDS).open(newline="", encoding="utf-8") as file:
        rows = [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]
    seeds: Any = [
        SimpleNamespace(summary=msgspec.convert(summary | row, Summary, strict=False)) for row in rows
    ]
    return [
        card.Tested(
            seed,
            Evaluation(
                test_accuracy=seed.summary.test_accuracy,
                recorded=None,
                images=10_000,
                data="cifar10",
                note=None,
                classes=classes,
                confusion=[],
            ),
        )
        for seed in seeds
    ]


@published
def test_a_winner_is_at_its_target_and_its_page_what_its_records_say(folder: Path) -> None:
    experiment = Experiment.from_dict(compose(["+experiment=winner"], str(folder)))
    verdict = judge(experiment.model, experiment.limits, experiment.augment.active())
    assert not verdict.violations
    text = (folder / "README.md").read_text(encoding="utf-8")
    seeds = seeds_of(folder, text)
    assert verdict.analysis.params == seeds[0].run.summary.params
    assert verdict.analysis.params < PARAMS_BELOW[folder.name]
    assert len(seeds) >= 3
    assert statistics.mean(seed.found.test_accuracy for seed in seeds) >= TARGET[folder.name]
    page = "\n".join(card.page(folder.relative_to(CHECKOUT), seeds, experiment, verdict, []))
    if folder.name == "smallest-86":
        assert page == text
    else:  # which have a remark as well
        lines = text.splitlines()
        assert set(page.splitlines()) <= {*lines}


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
