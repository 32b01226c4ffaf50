"""A folder that holds a run takes that run and no other; nothing in it changes otherwise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import contents, tiny_architecture, tiny_config
from msgspec import field
from msgspec.structs import replace
from omegaconf import OmegaConf

from cifar_arch import experiment, identity
from cifar_arch.blocks import BLOCKS, Unit
from cifar_arch.experiment import Experiment
from cifar_arch.record import Epoch, Status
from cifar_arch.runfolder import RunFolder
from cifar_arch.saved_config import experiment_text
from cifar_arch.schema import ConfigError

pytestmark = pytest.mark.usefixtures("no_figures")


def killed(folder: RunFolder) -> None:
    folder.summary.unlink()
    folder.weights.unlink()


def killed_in_its_first_epoch(folder: RunFolder) -> None:
    killed(folder)
    folder.metrics.unlink()
    folder.checkpoint.unlink()


STATES: dict[str, Callable[[RunFolder], object]] = {
    "finished": lambda folder: None,
    "finished, its checkpoint removed": lambda folder: folder.checkpoint.unlink(),
    "finished, of an earlier version": lambda folder: folder.experiment.unlink(),
    "killed": killed,
    "killed in its first epoch, or under way": killed_in_its_first_epoch,
}
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "seed and rate": ({"seed": 5, "training": {"lr": 0.01}}, "(training.lr=0.25, now 0.01; seed=0, now 5)"),
    "activation": ({"model": {"activation": "gelu"}}, "(model.activation=relu, now gelu)"),
    "data": ({"data": {"split_seed": 1}}, "(data.split_seed=0, now 1)"),
    "augmentation": ({"augment": {"grayscale": {"p": 0.5}}}, "(augment.grayscale.p=0.0, now 0.5)"),
    "epochs": ({"training": {"epochs": 3}}, "(training.epochs=2, now 3)"),
    "clip": ({"training": {"clip": 1}}, "(training.clip=null, now 1.0)"),
    "one that is rejected": ({"limits": {"params_below": 9}}, "(limits.params_below=null, now 9)"),
    "one with a mistake": ({"seed": -1}, "seed: expected an integer at least 0 and below 4294967296, got -1"),
}


@pytest.mark.parametrize("make", STATES.values(), ids=STATES)
@pytest.mark.parametrize(("changes", "message"), OTHERS.values(), ids=OTHERS)
def test_another_experiment_is_refused_before_anything_is_written(
    run: RunFolder, make: Callable[[RunFolder], object], changes: dict[str, Any], message: str
) -> None:
    make(run)
    before = contents(run.path)
    with pytest.raises(ConfigError) as raised:
        experiment.run_config(tiny_config(**changes), run.path)
    assert message in str(raised.value)
    if "(" in message:
        assert f"choose another folder (hydra.run.dir=FOLDER), or type training.resume={run.path} " in str(
            raised.value
        )
    assert contents(run.path) == before


@pytest.mark.parametrize("make", STATES.values(), ids=STATES)
def test_another_target_is_refused_where_one_is_on_record(
    run: RunFolder, make: Callable[[RunFolder], object]
) -> None:
    """It may be typed later in a sweep, whose trials then go on with it."""
    make(run)
    config = tiny_config(limits={"target_accuracy": 0.1}, data={"root": "elsewhere"})
    if run.summary.exists():
        with pytest.raises(ConfigError, match=r"\(limits\.target_accuracy=null, now 0\.1\)"):
            experiment.run_config(config, run.path)
    else:
        assert experiment.run_config(config, run.path).target_accuracy == 0.1


@pytest.mark.parametrize("make", list(STATES.values())[:4], ids=list(STATES)[:4])
def test_a_network_that_the_same_config_no_longer_makes_is_refused(
    run: RunFolder, make: Callable[[RunFolder], object]
) -> None:
    """As where the file of an own block was edited meanwhile: epochs of two networks were one run."""
    make(run)
    stored = run.read_json(run.architecture)
    key = stored["architecture"]
    run.write_json(run.architecture, {**stored, "architecture": "another"})
    before = contents(run.path)
    with pytest.raises(ConfigError, match=rf"\(architecture=another, now {key}\); choose another folder "):
        experiment.run_config(tiny_config(), run.path)
    assert contents(run.path) == before


EQUAL: dict[str, dict[str, Any]] = {
    "the same": {},
    "numbers written otherwise": {"model": tiny_architecture(multipliers=[1.0, 1, 2.0, 3])},
    "defaults written out": {"training": {"clip": None, "momentum": 0.9}, "limits": {}},
    "how and where it runs": {"data": {"workers": 1, "root": "elsewhere"}, "training": {"device": "auto"}},
    "a test set not asked for": {"read_test": False},
}


@pytest.mark.parametrize("changes", EQUAL.values(), ids=EQUAL)
@pytest.mark.parametrize("make", list(STATES.values())[:3], ids=list(STATES)[:3])
def test_a_complete_run_gives_its_record_again(
    run: RunFolder, make: Callable[[RunFolder], object], changes: dict[str, Any]
) -> None:
    make(run)
    before = contents(run.path)
    assert experiment.run_config(tiny_config(**changes), run.path) == run.read_summary()
    made = Experiment.from_dict(tiny_config(**changes))
    assert experiment.run(made, run.path) == run.read_summary()
    assert contents(run.path) == before


def stop(history: list[Epoch]) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_run_is_not_gone_on_with_under_another_label(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        experiment.run_config(tiny_config(), tmp_path, stop)
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=r"training\.lr=0\.25, now 0\.01"):
        experiment.run_config(tiny_config(training={"lr": 0.01}), tmp_path)
    assert contents(tmp_path) == before
    assert experiment.run_config(tiny_config(), tmp_path).status == Status.COMPLETED


@pytest.mark.slow
def test_the_test_set_can_be_read_later(tmp_path: Path, finished_run: Path) -> None:
    untested = experiment.run_config(tiny_config(read_test=False), tmp_path)
    rows = RunFolder(tmp_path).metrics.read_bytes()
    tested = experiment.run_config(tiny_config(), tmp_path)
    whole = RunFolder(finished_run).read_summary()
    assert whole is not None
    assert (untested.test_accuracy, tested.test_accuracy) == (None, whole.test_accuracy)
    assert RunFolder(tmp_path).metrics.read_bytes() == rows


def test_damaged_weights_are_written_again_from_the_checkpoint(run: RunFolder) -> None:
    whole = run.weights.read_bytes()
    run.weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    experiment.run_config(tiny_config(), run.path)
    assert run.weights.read_bytes() == whole


NOTHING_TRAINED: dict[str, dict[str, Any]] = {
    "rejected": {"limits": {"params_below": 9}},
    "a mistake in the config": {"seed": -1},
    "a mistake found later": {"training": {"batch_size": 500}},
}


@pytest.mark.parametrize("first", NOTHING_TRAINED.values(), ids=NOTHING_TRAINED)
def test_a_folder_in_which_nothing_was_trained_is_free(tmp_path: Path, first: dict[str, Any]) -> None:
    with pytest.raises((experiment.Rejected, ConfigError)):
        experiment.run_config(tiny_config(**first), tmp_path)
    free = tiny_config(limits={"params_below": 8})
    with pytest.raises(experiment.Rejected):
        experiment.run_config(free, tmp_path)
    summary = RunFolder(tmp_path).read_summary()
    assert summary is not None
    assert summary.config["limits.params_below"] == 8


def test_a_config_that_cannot_be_read_any_more_is_another(run: RunFolder) -> None:
    run.write_json(run.experiment, {"model": {"wings": 2}})
    with pytest.raises(ConfigError, match=r"holds another run \(whose config cannot be read: model"):
        experiment.run_config(tiny_config(), run.path)


def test_a_key_that_is_a_value_and_a_part_is_no_config(run: RunFolder) -> None:
    run.experiment.unlink()  # so that the summary's keys are what is on record
    summary = run.read_summary()
    assert summary is not None
    run.write_summary(replace(summary, config={"seed": 0, "seed.split": 1}))
    said = r"\(whose config cannot be read: seed\.split: expected a part of a config, got a value"
    with pytest.raises(ConfigError, match=said):
        experiment.run_config(tiny_config(), run.path)


def test_a_run_that_did_not_read_the_test_set_is_not_complete_for_one_that_does(run: RunFolder) -> None:
    summary = run.read_summary()
    assert summary is not None
    run.write_summary(replace(summary, test_accuracy=None, test_loss=None))
    for read_test, complete in ((True, False), (False, True)):
        asked = Experiment.from_dict(tiny_config(read_test=read_test))
        assert (identity.finished(run, asked) is not None) == complete
    run.write_summary(replace(summary, status=Status.FAILED))  # an attempt to read it, say
    assert identity.finished(run, asked) is None


def test_fields_of_an_own_block_are_compared_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that are empty, where the class has something, or that are called like a secret."""

    class Mixed(Unit, frozen=True, kw_only=True):
        rates: dict[str, int] = field(default_factory=lambda: {"a": 3})
        tokens: int = 1

    monkeypatch.setitem(BLOCKS, "mixed", Mixed)
    block = {"kind": "mixed", "rates": {}, "tokens": 2}
    folder, mixed = RunFolder(tmp_path), Experiment.from_dict({"model": tiny_architecture(c2=block)})
    folder.write_json(folder.experiment, mixed.to_dict())
    assert identity.changes(folder, mixed) == ""
    config = OmegaConf.create({"model": {"c2": block}, "seed": 0, "hydra": {"runtime": {"choices": {}}}})
    written = OmegaConf.create(experiment_text(config, config.hydra, tmp_path, "best"))
    assert OmegaConf.select(written, "model.c2") == block
