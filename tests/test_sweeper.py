"""`python -m cifar_arch.run -m` as a user types it."""

import re
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import TINY, Cli, command, environment, summary_of, type_command
from omegaconf import OmegaConf
from optuna.trial import TrialState
from stub_sweep import curve
from sweeping import sweep, trained_trials, trials, wait_until

from cifar_arch import experiment
from cifar_arch.runfolder import RunFolder
from cifar_arch.search.trial import Role

pytestmark = pytest.mark.slow

# What is typed after -m: how the sentence starts.
WRONG = {
    "width=4,6 c3=plain,plane": "c3: unknown option 'plane'; choose from blueprint, ",
    "width=4,6 n_trials=0": "n_trials: expected an integer at least 1 or null, got 0",
    "width=4,6 n_trials=many": "n_trials: expected an integer at least 1 or null, got 'many'",
    "training.lr=interval(0.1,0.2)": "n_trials: a space with an interval is infinite, got null; give a",
    "training.lr=interval(0.1,0.2) n_trials=3 sampler=grid": "sampler: grid needs a finite",
    "width=4,6 sampler=best": "sampler: unknown option 'best'; choose from cmaes, gp, ",
    "width=4,6 pruner=best": "pruner: unknown option 'best'; choose from halving, ",
    "width=4,6 study=../x": "study: expected a name of at most 100 letters",
    "width=4,6 objectives=[]": "objectives: expected some of accuracy, params, macs, latency, each",
    "width=4,6 objectives=[speed]": "objectives[0]: expected one of accuracy, latency, macs",
    "width=4,6 objectives=[params,params]": "objectives: expected some of accuracy, params, macs, latency",
    "width=4,6 prefer=largest": "prefer: expected one of accuracy, smallest, got 'largest'",
    "width=4,6 storage=nowhere": "storage: expected sqlite:///FILE.db or postgresql+psycopg://",
    "width=4,6 storage=sqlite:////proc/x/studies.db": "storage: 'sqlite:////proc/x/studies.db' cannot be",
    "width=4,6 storage=sqlite:///:memory:": "storage: expected sqlite:///FILE.db or ",
    "width=4,6 hydra.sweeper.max_failure_rate=2": "hydra.sweeper.max_failure_rate: expected a number",
    "width=4,6 hydra.sweeper.max_rejections=0": "hydra.sweeper.max_rejections: expected an integer",
    "width=4,6 workers=0": "workers: expected an integer at least 1",
    "width=4,6 hydra.sweeper.largest_first=-1": "hydra.sweeper.largest_first: expected an integer",
    "width=4,6 hydra.sweeper.trials=3": "hydra.sweeper.trials: unknown key",
    "width=4,6 hydra.sweeper.n_trials=3": "hydra.sweeper.n_trials: unknown key, did you mean 'n_trials'?",
    "width=4,6 hydra.sweeper.pruner.n_warmup_steps=-1": "hydra.sweeper.pruner: ",
    "width=4,6 pruner=hyperband hydra.sweeper.pruner.max_resource=0": "hydra.sweeper.pruner: cannot work ",
    "width=4,6 hydra.sweeper.sampler.n_startup_trials=-1": "hydra.sweeper.sampler: cannot work with these ",
    "width=4,6 ++hydra.job_logging.version=-6": "hydra: no trial can be started with this config (Un",
    "width=4,6 sampler=nsgaii hydra.sweeper.sampler.population_size=1": "hydra.sweeper.sampler: ",
    "+search=nothing": "search: unknown option 'nothing'; choose from blocks, quickstart, recipe",
}


@pytest.mark.parametrize(("typed", "start"), WRONG.items(), ids=WRONG)
def test_a_mistake_is_one_sentence(
    typed: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment, "run_config", lambda *_, **__: pytest.fail("it trained"))
    done = cli("run", "-m", *typed.split())
    assert done.err.startswith(start)
    assert done.err.count("\n") == 1
    assert done.status == 2


def test_a_sampler_that_lacks_its_package_names_it(tmp_path: Path) -> None:
    typed = ("width=range(4,16)", "limits=none", "epochs=1", "n_trials=3", "sampler=cmaes", "study=lacking")
    done = sweep(*typed, cwd=tmp_path)
    sentence = "hydra.sweeper.sampler: needs the package 'cmaes', which is not installed; "
    assert done.stderr == f"{sentence}type uv pip install cmaes, or choose another sampler\n"
    assert done.returncode == 2
    assert not (tmp_path / "epochs.log").exists()  # before anything is trained


def test_a_real_sweep_trains_each_width_once_and_its_best_runs_again(tmp_path: Path) -> None:
    tiny = [text for text in TINY if not text.startswith("width")]
    typed = ("-m", "width=4,6,8", *tiny, "c3=plain,dilated", "study=real", "training.lr=0.02")
    done = type_command("run", *typed, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = trained_trials(tmp_path)
    points = {(t.point["model.width"], t.point["block@model.c3"]) for t in found}
    assert len(points) == len(found) == 6
    for trial in found:
        folder = RunFolder(tmp_path / str(trial.folder))
        summary = summary_of(folder.path)
        assert summary["status"] == "completed"
        assert summary["test_accuracy"] is None  # the search never reads the test set
        assert trial.values == (summary["val_accuracy"],)
        assert list(trial.curve) == [1, 2]
        job = OmegaConf.load(folder.hydra).hydra.job  # of a config that asks for ${hydra.job.num}
        assert (job.num, job.id) == (trial.number, str(trial.number))
        for name in ("params", "macs", "receptive_field", "seconds", "epochs_done", "device"):
            assert getattr(trial, name) == summary[name]
    rows = re.findall(r"^ +(\d) +(\d) +([\d.]+)% .*width=", done.stdout, re.M)
    assert len(rows) == 6
    best = max(found, key=lambda t: (t.values[0], -(t.params or 0)))
    assert rows[0][1] == str(best.number)
    command = re.search(r"python -m cifar_arch\.run (--config-dir \S+ \+experiment=best)$", done.stdout, re.M)
    assert command
    again = type_command("run", *command[1].split(), "read_test=false", "training.device=cpu", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    (rerun,) = (tmp_path / "outputs" / "runs").glob("*/*")
    trial_again = summary_of(tmp_path / str(best.folder))
    assert summary_of(rerun)["val_accuracy"] == best.values[0]
    assert summary_of(rerun)["architecture"] == trial_again["architecture"]
    recorded = f"python -m cifar_arch.run --config-dir outputs/sweeps/real +experiment=trial-{best.number}"
    how = f"training.threads={trial_again['threads']} training.precision={trial_again['precision']}"
    assert trial_again["command"] == f"{recorded} {how}"


def kill_after(epoch: int, typed: list[str], cwd: Path) -> None:
    """Starts a sweep and kills it once any of its trials has done so many epochs."""
    process = subprocess.Popen(typed, cwd=cwd, env=environment(), stdout=subprocess.DEVNULL)

    def done() -> bool:
        assert process.poll() is None
        folders = (cwd / "outputs/sweeps/same").glob("[0-9]*")
        return any(len(RunFolder(folder).read_metrics()) >= epoch for folder in folders)

    wait_until(done)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    typed = ("-m", "width=4,6", *(t for t in TINY if "width" not in t and "epochs" not in t), "epochs=5")
    (tmp_path / "killed").mkdir()
    (tmp_path / "whole").mkdir()
    whole = type_command("run", *typed, "study=same", cwd=tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    for epoch in (2, 4):
        kill_after(epoch, command("run", *typed, "study=same"), tmp_path / "killed")
    done = type_command("run", *typed, "study=same", cwd=tmp_path / "killed")
    assert (done.returncode, done.stderr) == (0, "")
    results = [
        {t.point["model.width"]: (t.values, t.curve) for t in trained_trials(tmp_path / name)}
        for name in ("whole", "killed")
    ]
    assert results[0] == results[1]
    assert len(results[0]) == 2


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsgaii", "random", "grid"])
def test_samplers_by_name(sampler: str, tmp_path: Path) -> None:
    typed = ("width=range(4,16)", "c3=plain,dilated", "limits=none", "epochs=1", "n_trials=12")
    done = sweep(*typed, f"sampler={sampler}", "study=named", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = trained_trials(tmp_path)
    assert len(found) == 12
    if sampler == "grid":  # the first points in order, of which two have each width
        assert [t.point["model.width"] for t in sorted(found, key=lambda t: t.number)] == [
            n // 2 for n in range(8, 20)
        ]


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii"])
def test_several_objectives_end_in_a_front(sampler: str, tmp_path: Path) -> None:
    typed = ("width=range(4,20)", "limits=none", "epochs=1", "objectives=[accuracy,params]", "n_trials=9")
    done = sweep(*typed, f"sampler={sampler}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    sentence = "pruning goes by accuracy as the only objective: here every trial is trained to its end\n"
    assert done.stdout.count(sentence) == 1
    found = trained_trials(tmp_path)
    assert len(found) == 9
    assert all(t.state == TrialState.COMPLETE for t in found)
    front = {
        t.number
        for t in found
        if not any(o.values[0] >= t.values[0] and o.values[1] <= t.values[1] and o is not t for o in found)
    }
    marked = {int(n) for n in re.findall(r"^ +\d+ +(\d+) +\* ", done.stdout, re.M)}
    assert marked == front
    quiet = sweep(*typed, f"sampler={sampler}", "pruner=none", "study=other", cwd=tmp_path)
    assert sentence not in quiet.stdout


def test_products_of_groups_and_ranges_with_limits(tmp_path: Path) -> None:
    typed = "c3=plain,dilated c4=separable,plain t1=strided,dilated downsample=strided,dilated width=16,24"
    done = sweep(*typed.split(), "epochs=1", "study=design", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = trials(tmp_path)
    rejected = [t for t in found if t.role is Role.REJECTED]
    assert len(found) == 32
    assert sum(t.trained for t in found) + len(rejected) == 32
    assert len(rejected) >= 16  # c4=plain has no separable layer
    rows = (tmp_path / "outputs/sweeps/design/rejected.csv").read_text(encoding="utf-8").splitlines()
    assert len({row.split(",")[0] for row in rows[1:]}) == len(rejected)
    assert re.search(r"^ +1 .* c3=\w+ c4=separable t1=\w+ downsample=\w+ width=", done.stdout, re.M)
    for trial in rejected:
        assert not (tmp_path / "outputs/sweeps/design" / str(trial.number)).exists()


def test_a_named_space_searches(tmp_path: Path) -> None:
    done = sweep("+search=blocks", "n_trials=5", "epochs=2", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(
        r"study blocks-[0-9a-f]{6}: 25,600 points, folders in outputs/sweeps/blocks-", done.stdout
    )
    assert re.search(r"^none reaches 85% on .* images: the best is [\d.]+ points below$", done.stdout, re.M)
    found = trained_trials(tmp_path)
    # It begins with the five largest inside the limits, so that nothing is rejected.
    assert len(found) == len(trials(tmp_path)) == 5
    assert all((t.params or 0) < 200_000 and (t.receptive_field or 0) > 44 for t in found)
    assert all(t.values == (curve(t.params, 2)[-1],) for t in found if t.state == TrialState.COMPLETE)
