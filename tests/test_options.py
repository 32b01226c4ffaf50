"""The options of a sweep, and the keys that it cannot sweep."""

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


def test_every_key_that_says_how_something_runs_is_refused_and_no_other() -> None:
    for key in EXECUTION:
        with pytest.raises(ConfigError, match=f"^{key}: cannot be swept"):
            refuse_unswept(Space({key: CategoricalDistribution(["a", "b"])}))
    for key in ("seed", "limits", "downsample", "model.width", "data.validation"):
        refuse_unswept(Space({key: IntDistribution(1, 2)}))
