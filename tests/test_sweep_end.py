"""What a sweep leaves to go on from: the ranking by seeds, the target, a config for every trial."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import Cli, type_command
from omegaconf import OmegaConf
from sweeping import sweep, trained_trials

from cifar_arch.compose import compose
from cifar_arch.experiment import Experiment

NONE = ("limits=none", "epochs=1")


@pytest.mark.slow
def test_swept_seeds_are_ranked_by_their_mean_and_none_is_pinned(tmp_path: Path) -> None:
    there = "hydra.job.chdir=true"  # of a trial, whose paths stay those of the folder where it was typed
    done = sweep("width=4,6,8", "seed=0,1", *NONE, "study=seeds", there, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"folders in {tmp_path}/outputs/sweeps/seeds\n" in done.stdout
    assert [*tmp_path.rglob("studies.db")] == [tmp_path / "outputs/studies.db"]
    heading = "rank  trials  accuracy    std  n  params  field  seconds  overrides"
    assert heading in done.stdout
    assert re.search(r"^ +1 +\d,\d +\d\d\.\d\d%  0\.00%  2 .* width=\d$", done.stdout, re.M)
    best = (tmp_path / "outputs/sweeps/seeds/experiment/best.yaml").read_text(encoding="utf-8")
    assert "seed" not in OmegaConf.create(best)
    assert "# Chosen by its mean over several seeds, so that none is pinned: type seed=1.\n" in best
    for trial in trained_trials(tmp_path):
        again = compose([f"+experiment=trial-{trial.number}"], str(tmp_path / "outputs/sweeps/seeds"))
        assert again["seed"] == trial.point["seed"]
        assert again["model"]["width"] == trial.point["model.width"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "said"),
    [
        ((), ""),
        (("n_trials=2",), ""),
        (("n_trials=9",), ", and nothing new was found of the 9 that were asked for"),
    ],
    ids=str,
)
def test_a_space_that_is_used_up_says_so(number: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = sweep("width=4,6", *NONE, *number, "study=small", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"study small is done: 2 trained{said}\n" in done.stdout


@pytest.mark.slow
def test_any_trial_of_a_front_runs_again_as_the_last_page_says(tmp_path: Path) -> None:
    objectives = ("objectives=[accuracy,params]", "sampler=nsgaii", "n_trials=6", "pruner=none")
    done = sweep("width=range(4,20)", "c3=plain,dilated", *NONE, *objectives, "study=front", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    typed = re.search(r"^  python -m cifar_arch\.run (.* \+experiment=trial-\d+)$", done.stdout, re.M)
    assert typed
    checked = type_command("check", *shlex.split(typed[1]), "limits=none", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    number = int(typed[1].rpartition("-")[2])
    (trial,) = [t for t in trained_trials(tmp_path) if t.number == number]
    assert f"{trial.params:,} parameters" in checked.stdout
    confirmed = re.search(r"^  python -m cifar_arch\.confirm (front --trial \d+)$", done.stdout, re.M)
    assert confirmed
    assert confirmed[1].endswith(f" {number}")
    other_way = [text.replace("accuracy,params", "params,accuracy") for text in objectives]
    done = sweep("width=4,5", *NONE, *other_way, "study=small", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "confirm" not in done.stdout  # it would refuse a study that looked for parameters first


@pytest.mark.slow
def test_a_missed_target_is_said_and_a_given_one_ranks_what_is_trained(tmp_path: Path) -> None:
    typed = ("width=4,6,8", "limits=none", "epochs=2", "study=small", "prefer=smallest")
    missed = sweep(*typed, "target=0.99", cwd=tmp_path)
    assert missed.returncode == 0, missed.stderr
    assert re.search(
        r"^none reaches 99% on the validation images: the best is [\d.]+ points below, "
        r"and accuracy ranks them instead; target=0\.\d+ sets another$",
        missed.stdout,
        re.M,
    )
    done = sweep(*typed, "target=0.1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 trained before\n" in done.stdout  # another target is no other study
    assert re.search(r"^ +1 .* width=4$", done.stdout, re.M)
    assert "none reaches" not in done.stdout
    assert "\n  python -m cifar_arch.confirm small --prefer smallest --target 0.1\n" in done.stdout


REFUSED = {
    "limits=none prefer=smallest": "prefer: smallest takes the fewest parameters among those that reach a "
    "target, got no target; type one, target=0.85\n",
    "prefer=smallest objectives=[params,macs]": "prefer: smallest needs accuracy among the objectives, got "
    "objectives=[params,macs]; add it, or type prefer=accuracy\n",
    "target=85": "target: expected a number above 0 and at most 1 or null, got 85; type 0.85\n",
}


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "sentence"), REFUSED.items())
def test_refused_before_anything_is_trained(typed: str, sentence: str, tmp_path: Path) -> None:
    done = sweep("width=4,6", *typed.split(), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, sentence)
    assert not (tmp_path / "outputs" / "sweeps").exists()


def test_a_single_run_is_held_against_a_typed_target(cli: Cli) -> None:
    assert Experiment.from_dict(compose(["target=0.5"])).limits.target_accuracy == 0.5
    assert Experiment.from_dict(compose()).limits.target_accuracy == 0.85
    assert Experiment.from_dict(compose(["limits=none", "target=0.5"])).limits.target_accuracy == 0.5
    refused = cli("check", "target=2")
    assert (refused.status, refused.err) == (
        2,
        "target: expected a number above 0 and at most 1 or null, got 2\n",
    )
