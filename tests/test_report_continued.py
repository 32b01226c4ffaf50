"""What a report says of a run that was killed, and once a later trial of the study went on from it."""

import json
import shutil
from pathlib import Path

import yaml
from generated_runs import config, edit_summary, write_run

from cifar_arch.experiment import Experiment
from cifar_arch.report import load_runs
from cifar_arch.runfolder import RunFolder


def test_a_trial_that_another_took_over_has_not_failed(tmp_path: Path) -> None:
    folders = []
    for number, width in enumerate([8, 12, 8, 12, 8]):
        path = tmp_path / "outputs" / "sweeps" / "s" / str(number)
        folder = write_run(path, study="s", trial__number=number, width=width)
        began = Experiment.from_dict(config(width=width)).to_dict()
        folder.experiment.write_text(json.dumps(began), encoding="utf-8")
        folders.append(folder)
    folders[0].summary.unlink()  # killed
    edit_summary(folders[1], status="failed", reason="out of memory")
    edit_summary(folders[2], status="failed", reason="interrupted", cause="interrupted")
    edit_summary(
        folders[3], status="failed", reason="interrupted", cause="interrupted"
    )  # the last of its kind
    rows = load_runs(tmp_path / "outputs").set_index("trial")
    assert rows["status"].tolist() == ["continued", "failed", "continued", "failed", "completed"]
    assert rows["reason"][[0, 2]].tolist() == ["trial 2 went on from it", "trial 4 went on from it"]
    assert rows["training.epochs"][0] == rows["training.epochs"][4]  # without a summary too


def test_a_trial_that_was_killed_before_it_began_was_taken_over_too(tmp_path: Path) -> None:
    for number, width in enumerate([8, 12, 8]):
        folder = write_run(
            tmp_path / "sweeps" / "s" / str(number), study="s", trial__number=number, width=width
        )
        began = Experiment.from_dict(config(width=width)).to_dict()
        folder.experiment.write_text(json.dumps(began), encoding="utf-8")
    killed = RunFolder(tmp_path / "sweeps" / "s" / "0")
    shutil.rmtree(killed.path)
    killed.config.parent.mkdir(parents=True)
    # As Hydra leaves it: with keys of the search, and with references.
    launched = {**config(width=8), "study": "s", "trial": {"number": 0, "id": None}}
    launched["data"]["root"] = "${oc.env:CIFAR_ARCH_DATA,data}"
    killed.config.write_text(yaml.safe_dump(launched), encoding="utf-8")
    assert load_runs(tmp_path)["status"].tolist() == ["continued", "completed", "completed"]


def test_a_run_that_was_killed_has_both_widths(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "runs" / "a", width="auto")
    folder.experiment.write_text(json.dumps({"model": {"width": "auto"}}), encoding="utf-8")
    folder.summary.unlink()
    (row,) = load_runs(tmp_path).to_dict("records")
    network = json.loads(folder.architecture.read_text(encoding="utf-8"))
    assert (row["width"], row["model.width"]) == (network["spec"]["width"], "auto")
    assert (row["c4"], row["model.c4.kind"]) == ("separable_residual", "separable")
    network["spec"]["width"] = "wide"
    folder.architecture.write_text(json.dumps(network), encoding="utf-8")
    (row,) = load_runs(tmp_path).to_dict("records")
    assert row["status"] == "unreadable"
    assert row["reason"].startswith("architecture.json is not ours (Expected `int | null`, got `str`")
