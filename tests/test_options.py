"""The options of a sweep, and the keys that it cannot sweep."""

from pathlib import Path

import pytest
from conftest import Cli
from optuna.distributions import CategoricalDistribution, IntDistribution

from cifar_arch.record import EXECUTION
from cifar_arch.schema import ConfigError
from cifar_arch.search.options import refuse_unswept
from cifar_arch.search.space import Space

UNSWEPT = {
    "study=a,b": "study: cannot be swept, because it changes nothing in what a trial computes, got a, b; ",
    "n_trials=1,2": "n_trials: cannot be swept, ",
    "n_trials=range(1,3)": "n_trials: cannot be swept, because it changes nothing in what a trial computes, "
    "got a range; choose one value for all trials",
    "storage=sqlite:///a.db,sqlite:///b.db": "storage: cannot be swept, ",
    "read_test=true,false": "read_test: cannot be swept, ",
    "prefer=accuracy,smallest": "prefer: cannot be swept, ",
    "target=0.5,0.6": "target: cannot be swept, ",
    "objectives=[accuracy],[params]": "objectives: cannot be swept, ",
    "sampler=tpe,random": "sampler: cannot be swept, ",
    "pruner=median,none": "pruner: cannot be swept, ",
    "hydra.sweeper.n_jobs=1,2": "hydra.sweeper.n_jobs: cannot be swept, ",
    "hydra/launcher=basic,joblib": "hydra/launcher: cannot be swept, ",
    "trial.number=1,2": "trial.number: cannot be swept, ",
    "training.device=cpu,cuda": "training.device: cannot be swept, ",
    "data.root=a,b": "data.root: cannot be swept, ",
}


@pytest.mark.parametrize(("typed", "start"), UNSWEPT.items())
def test_keys_of_the_sweep_itself_are_refused(typed: str, start: str, cli: Cli) -> None:
    done = cli("check", "-m", typed, "width=16,24")
    assert done.status == 2
    assert done.err.startswith(start)
    assert done.err.count("\n") == 1


MISTAKES = {
    "study='12'": "study: '12' reads as a number, and not as a name; choose another one",
    "hydra.launcher=null": "hydra.launcher: expected the options of a launcher, got null; leave it out",
    "hydra.sweeper.sampler=null": "hydra.sweeper.sampler: expected the options of a sampler, got null",
    "data.validation=0": "data.validation: a search chooses by validation images, got 0; "
    "type data.validation=5000",
    "hydra.sweeper.params=3": "hydra.sweeper.params: expected keys with their values, got 3",
}


@pytest.mark.parametrize(("typed", "sentence"), MISTAKES.items())
def test_a_mistake_in_the_options_of_a_sweep_is_a_sentence(
    typed: str, sentence: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("run", "-m", typed, "width=3,4", "limits=none", "data=shapes")
    assert (done.status, done.err) == (2, f"{sentence}\n")


def test_every_key_that_says_how_something_runs_is_refused_and_no_other() -> None:
    for key in EXECUTION:
        with pytest.raises(ConfigError, match=f"^{key}: cannot be swept"):
            refuse_unswept(Space({key: CategoricalDistribution(["a", "b"])}))
    for key in ("seed", "limits", "downsample", "model.width", "data.validation"):
        refuse_unswept(Space({key: IntDistribution(1, 2)}))
