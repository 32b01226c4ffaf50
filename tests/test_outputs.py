"""The names in the outputs folder, which commands, dashboards and reports rely on."""

from pathlib import Path

from hydra import compose as hydra_compose

from cifar_arch.compose import composing
from cifar_arch.outputs import Outputs, StudyFolder
from cifar_arch.search.storage import sqlite_url


def test_every_folder_has_its_place_below_outputs() -> None:
    outputs = Outputs("outputs")
    sweep = outputs.sweep("wide")
    names = {
        outputs.studies: "outputs/studies.db",
        outputs.artifacts: "outputs/artifacts",
        outputs.confirmation("wide").path: "outputs/confirm/wide",
        sweep.path: "outputs/sweeps/wide",
        sweep.trial(3): "outputs/sweeps/wide/3",
        sweep.rejected: "outputs/sweeps/wide/rejected.csv",
        sweep.experiment("best"): "outputs/sweeps/wide/experiment/best.yaml",
        StudyFolder("outputs/sweeps/wide").outputs.path: "outputs",
    }
    assert {str(path): name for path, name in names.items()} == {name: name for name in names.values()}


def test_the_config_has_the_same_names() -> None:
    with composing():
        config = hydra_compose("config", ["study=wide", "trial.number=3"], return_hydra_config=True)
    sweep = Outputs(config.outputs).sweep("wide")
    assert Path(config.hydra.sweep.dir, config.hydra.sweep.subdir) == sweep.trial(3)
    assert config.storage == sqlite_url(sweep.outputs.studies)
