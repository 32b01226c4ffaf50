"""What `confirm` trains, says and refuses; the training itself is a stub."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Cli
from finished_studies import Stub, Trials, finished_study
from omegaconf import DictConfig, OmegaConf
from sweeping import STORAGE

from cifar_arch import confirm
from cifar_arch.compose import compose
from cifar_arch.confirm import Confirmed
from cifar_arch.experiment import Experiment
from cifar_arch.record import Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.search import worker
from cifar_arch.search.storage import open_storage

TRIALS: Trials = (
    ("model.width=8", 0.86),
    ("model.width=24 block@model.c3=dilated", 0.90),
    ("model.width=12", 0.87),
    ("model.width=4", 0.80),
    ("model.width=20", None),
)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The finished study `s` of TRIALS in the current folder."""
    monkeypatch.chdir(tmp_path)
    finished_study(TRIALS, "training.epochs=10")
    return "s"


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub(lambda number: 0.83 + 0.01 * number)
    monkeypatch.setattr(worker, "run_config", stub)
    return stub


def test_the_best_are_trained_on_all_images_and_tested(study: str, training: Stub, cli: Cli) -> None:
    done = cli("confirm", study, "--top", "2", "--seeds", "2")
    assert done.status == 0
    assert training.trained == [(1, 0), (1, 1), (2, 0), (2, 1)]
    for _, seed, config in training.calls:
        made = Experiment.from_dict(config)
        assert (made.data.validation, made.read_test) == (0, True)
        assert (made.training.epochs, made.seed) == (15, seed)
    # On all images an epoch takes 15 s, not 14; of its validation images a trial computes a third.
    assert done.out.startswith(
        "study s: networks: 2, seeds for each: 2, so 4 trainings of 15 epochs on all training images of "
        "cifar10, about 15 minutes of work\n"
    )
    rows = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "1 84.50% 0.71% 2 24,000 50 px 90.00% 120 0.50 points below" in rows
    assert "2 85.50% 0.71% 2 12,000 50 px 87.00% 120 reached" in rows
    assert "reach the target of 85% on average: trial 2" in done.out
    # The test images choose nothing: trial 1 was first on the validation images.
    winner = compose(["+experiment=winner"], "outputs/sweeps/s")
    assert (winner["model"]["width"], winner["model"]["c3"]["kind"], winner["model"]["c3"]["residual"]) == (
        24,
        "dilated",
        False,
    )
    assert (winner["data"]["validation"], winner["training"]["epochs"], winner["read_test"]) == (0, 15, True)


def test_from_another_folder_the_card_names_folders_that_are_found_there(
    study: str, training: Stub, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for outputs in ("outputs", str(tmp_path / "outputs")):
        done = cli("confirm", study, "--top", "1", "--seeds", "1", "--outputs", outputs)
        assert f"  python -m cifar_arch.card {outputs}/confirm/s/0 --to results/s\n" in done.out
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(training.trained) == 1


def test_a_study_that_swept_epochs_says_of_how_many(study: str, training: Stub, cli: Cli) -> None:
    config = RunFolder("outputs/sweeps/s/2").config
    longer = OmegaConf.load(config)
    OmegaConf.update(longer, "training.epochs", 20)
    OmegaConf.save(longer, config)
    done = cli("confirm", study, "--top", "2", "--seeds", "1")
    assert [config["training"]["epochs"] for _, _, config in training.calls] == [15, 20]
    assert "so 2 trainings of 15 to 20 epochs on all training images" in done.out


def test_smallest_prefers_the_fewest_parameters_at_the_target(study: str, training: Stub, cli: Cli) -> None:
    assert cli("confirm", study, "--top", "9", "--seeds", "1", "--prefer", "smallest").status == 0
    assert training.trained == [(0, 0), (2, 0), (1, 0), (3, 0)]
    assert compose(["+experiment=winner"], "outputs/sweeps/s")["model"]["width"] == 8


@pytest.mark.parametrize(
    ("typed_epochs", "epochs"), [((), 15), (("--epochs", "40"), 40), (("--epochs", "3"), 3)]
)
def test_the_schedule_is_15_epochs_unless_typed(
    study: str, training: Stub, cli: Cli, typed_epochs: tuple[str, ...], epochs: int
) -> None:
    assert cli("confirm", study, "--top", "1", "--seeds", "1", *typed_epochs).status == 0
    assert training.calls[0][2]["training"]["epochs"] == epochs


@pytest.mark.slow
def test_the_same_command_goes_on(
    study: str, training: Stub, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    whole = Stub(training.accuracy)

    def interrupted(*arguments: Any, **options: Any) -> Summary:
        if len(whole.calls) == 2:
            raise KeyboardInterrupt
        return whole(*arguments, **options)

    monkeypatch.setattr(worker, "run_config", interrupted)
    arguments = (study, "--top", "2", "--seeds", "2")
    stopped = cli("confirm", *arguments)
    assert (stopped.status, stopped.err) == (130, "interrupted; the same command goes on\n")
    monkeypatch.setattr(worker, "run_config", training)
    done = cli("confirm", *arguments)
    assert done.status == 0
    assert training.trained == [(2, 0), (2, 1)]
    assert "2 trained before\n" in done.out
    again = cli("confirm", *arguments)
    assert (again.status, len(training.calls)) == (0, 2)
    # Another schedule is another training, and has a table of its own.
    longer = cli("confirm", *arguments, "--epochs", "20")
    assert (longer.status, len(training.calls)) == (0, 6)
    assert {config["training"]["epochs"] for _, _, config in training.calls[2:]} == {20}


REMADE: dict[str, list[str]] = {
    "width": ["width=10"],
    "block": ["c1=plain_residual", "width=24", "c3=dilated"],
    "weight decay": ["width=24", "c3=dilated", "training.weight_decay=0.1"],
    "augmentation": ["width=24", "c3=dilated", "augment.grayscale.p=0.5"],
}


@pytest.mark.slow
def test_a_study_made_again_under_its_name_is_not_confirmed_by_the_old_one(
    study: str, training: Stub, cli: Cli
) -> None:
    assert cli("confirm", study, "--top", "1", "--seeds", "1").status == 0
    for count, texts in enumerate(REMADE.values(), 2):
        config = compose(["epochs=10", *texts])
        OmegaConf.save(OmegaConf.create(config), "outputs/sweeps/s/1/.hydra/config.yaml")
        assert cli("confirm", study, "--top", "1", "--seeds", "1").status == 0
        assert len(training.calls) == count, texts
        assert Experiment.from_dict(training.calls[-1][2]).model == Experiment.from_dict(config).model


def test_a_network_outside_its_limits_is_refused(study: str, training: Stub, cli: Cli) -> None:
    config = compose(["epochs=10", "width=24", "c4=plain"])
    OmegaConf.save(OmegaConf.create(config), "outputs/sweeps/s/1/.hydra/config.yaml")
    done = cli("confirm", study, "--top", "1")
    assert (done.status, training.calls) == (2, [])
    assert done.err.startswith("study: trial 1 no longer meets the limits (")
    assert done.err.endswith("); name others with --trial\n")


def test_a_trial_is_not_joined_with_the_folder_of_another(study: str, training: Stub, cli: Cli) -> None:
    loaded = optuna.load_study(study_name=study, storage=open_storage(STORAGE))
    attrs = {"folder": "outputs/sweeps/s/2", "key": "0123456789abcdef", "params": 1, "receptive_field": 1}
    complete = optuna.trial.TrialState.COMPLETE
    loaded.add_trial(optuna.trial.create_trial(state=complete, value=0.99, user_attrs=attrs))
    done = cli("confirm", study)
    assert (done.status, training.calls) == (2, [])
    assert "study: 'outputs/sweeps/s/2' holds another network or recipe than trial 5 had; " in done.err


@pytest.mark.slow
def test_a_failed_training_is_a_sentence(study: str, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    def failing(*_: Any, **__: Any) -> Summary:
        raise RuntimeError("out of memory\nmore")

    monkeypatch.setattr(worker, "run_config", failing)
    stub = Stub(lambda _: 0.8)
    for _ in range(2):  # what failed is tried again
        done = cli("confirm", study)
        said = "the sweep was stopped: a training failed (out of memory); the same command goes on\n"
        assert (done.status, done.err) == (1, said)
    monkeypatch.setattr(worker, "run_config", stub)
    assert cli("confirm", study).status == 0
    assert len(stub.calls) == 9


REFUSED = [
    (("t",), "study: no study 't' in sqlite:///outputs/studies.db; there are s"),
    (("ss",), "; did you mean 's'?"),
    (("s", "--storage", "sqlite:///other.db"), "storage: there is no file 'other.db'; name the one of"),
    (("s", "--top", "0"), "expected an integer at least 1, got '0'"),
    (("s", "--seeds", "many"), "expected an integer at least 1, got 'many'"),
    (("s", "--worker", "0"), "argument --workers: expected an integer at least 1, got '0'"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[" ".join(a) for a, _ in REFUSED])
def test_a_study_or_number_that_is_none_is_refused(
    study: str, arguments: tuple[str, ...], message: str, cli: Cli
) -> None:
    done = cli("confirm", *arguments)
    assert done.status == 2
    assert message in done.err
    assert not Path("other.db").exists()


def test_studies_that_cannot_be_confirmed(study: str, cli: Cli) -> None:
    storage = open_storage(STORAGE)
    optuna.create_study(study_name="empty", storage=storage).set_metric_names(["accuracy"])
    optuna.create_study(study_name="sizes", storage=storage).set_metric_names(["params"])
    for name, message in (
        ("empty", "study: 'empty' has no completed trial yet"),
        ("sizes", "study: 'sizes' looked for params first; confirm needs accuracy there"),
    ):
        done = cli("confirm", name)
        assert done.status == 2
        assert message in done.err
    RunFolder("outputs/sweeps/s/0").config.unlink()
    done = cli("confirm", study)
    assert done.status == 2
    assert "the folder of trial 0, 'outputs/sweeps/s/0', has no saved config" in done.err


def test_the_winner_keeps_every_key_of_its_trial(study: str, training: Stub, cli: Cli) -> None:
    assert cli("confirm", study, "--top", "1", "--seeds", "1").status == 0
    before = OmegaConf.load("outputs/sweeps/s/1/.hydra/config.yaml")
    assert isinstance(before, DictConfig)
    winner = compose(["+experiment=winner"], "outputs/sweeps/s")
    for part in ("model", "augment", "limits"):
        assert winner[part] == OmegaConf.to_container(before[part], resolve=True)


def test_a_longer_schedule_of_the_study_is_kept_and_its_threads_are_not(
    study: str, training: Stub, cli: Cli
) -> None:
    file = "outputs/sweeps/s/1/.hydra/config.yaml"
    whole = OmegaConf.load(file)
    whole.training.update(epochs=40, threads=999)
    OmegaConf.save(whole, file)
    assert cli("confirm", study, "--top", "1", "--seeds", "1").status == 0
    made = training.calls[0][2]["training"]
    assert made["epochs"] == 40
    assert made["threads"] != 999


VERDICTS = [
    (
        [0.84, 0.80],
        0.85,
        "cifar10",
        "none reaches the target of 85%: trial 0 comes closest, 1.00 points below",
    ),
    ([0.86, 0.80], 0.85, "cifar10", "reach the target of 85% on average: trial 0"),
    ([0.86], None, "cifar10", "no target is set"),
    ([0.99], 0.85, "shapes", "the synthetic data set never counts towards the target"),
]


@pytest.mark.parametrize(("means", "target", "data", "said"), VERDICTS)
def test_the_verdict_names_who_reaches_the_target_or_comes_closest(
    means: list[float], target: float | None, data: str, said: str
) -> None:
    found = [Confirmed(n, 1000, 50, 0.5, [mean], 60) for n, mean in enumerate(means)]
    assert confirm.verdict(found, target, data) == said


def test_one_seed_has_no_std() -> None:
    text = confirm.results_table([Confirmed(3, 1000, 50, 0.5, [0.8], 60)], None)
    assert text.splitlines()[1].split() == ["3", "80.00%", "-", "1", "1,000", "50", "px", "50.00%", "60"]


def test_a_mean_at_the_target_reaches_it() -> None:
    found = [Confirmed(3, 1000, 50, 0.5, [0.85], 60)]
    assert confirm.results_table(found, 0.85).splitlines()[-1].endswith("reached")
    assert confirm.verdict(found, 0.85, "cifar10").endswith("on average: trial 3")
