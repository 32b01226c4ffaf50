import csv
import errno
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import easy_dataset, summary_of, tiny_config
from msgspec.structs import replace

from cifar_arch import artifacts, experiment, training
from cifar_arch.experiment import Experiment, Pruned, Rejected
from cifar_arch.record import Cause, Epoch, Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError
from cifar_arch.training import TrainingDiverged

TOTALS = {"architecture", "params", "macs", "receptive_field", "receptive_field_with_pooling"}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("width", "width: unknown key, did you mean width within model? choose from augment, "),
        ("params_below", "params_below: unknown key, did you mean params_below within limits? choose "),
        ("training.epochs", "training.epochs: unknown key, did you mean epochs within training? choose "),
        ("epohcs", "epohcs: unknown key; choose from augment, "),
        ("cluster", "cluster: unknown key; .* file of that group begins with the line # @package _global_"),
    ],
)
def test_a_key_that_stands_within_a_part_is_told_where(key: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"^{says.replace('?', '[?]')}"):
        Experiment.from_dict({**tiny_config(), key: 1})


def test_a_completed_run_leaves_every_file(finished_run: Path) -> None:
    plots = {"augmented", "curves", "confusion_matrix", "misclassified"}
    assert files(finished_run) == {
        "architecture.json",
        "experiment.json",
        "metrics.csv",
        "summary.json",
        "checkpoints/last.pt",
        "checkpoints/weights.safetensors",
        *(f"plots/{name}.png" for name in plots),
    }
    summary = summary_of(finished_run)
    assert summary["status"] == "completed"
    assert summary["reason"] is None
    assert summary.keys() >= TOTALS
    assert summary["split"] == {"train": 200, "validation": 5800, "test": 1000}
    assert summary["device"] == "cpu"
    assert summary["seconds"] > 0
    assert summary["config"]["model.width"] == 4
    assert 0 <= summary["test_accuracy"] <= 1
    assert summary["reaches_target"] is None  # synthetic images never count
    assert "never counts" in summary["note"]


def test_every_file_can_be_read_by_whom_the_umask_lets(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    usual = (tmp_path / "any").stat().st_mode
    assert {path.stat().st_mode for path in finished_run.rglob("*") if path.is_file()} == {usual}


def test_metrics_have_a_row_for_each_epoch(finished_run: Path) -> None:
    with (finished_run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds",
        "images_per_second",
    ]  # fmt: skip
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[-1]["val_accuracy"]) == summary_of(finished_run)["val_accuracy"]


def test_the_architecture_file_gives_the_network_again(finished_run: Path) -> None:
    saved = RunFolder(finished_run).read_json(finished_run / "architecture.json")
    model = Experiment.from_dict({"model": saved["spec"]}).model
    summary = summary_of(finished_run)
    assert model.key() == summary["architecture"]
    assert (saved["params"], saved["ok"], saved["violations"]) == (summary["params"], True, [])


def ends_by(error: BaseException) -> Any:
    def on_epoch(history: list[Epoch]) -> None:
        raise error

    return on_epoch


UNMAPPED = "libtorch_cpu.so: failed to map segment from shared object"


@pytest.mark.parametrize(
    ("error", "status", "reason", "cause"),
    [
        (Pruned("below the median"), "pruned", "below the median", None),
        (KeyboardInterrupt(), "failed", "interrupted", Cause.INTERRUPTED),
        (RuntimeError("out of memory"), "failed", "out of memory", None),
        (MemoryError(), "failed", "MemoryError", None),
        (OSError(errno.ENOSPC, "full"), "failed", f"[Errno {errno.ENOSPC}] full", Cause.DISK_FULL),
        (OSError(errno.EDQUOT, "quota"), "failed", f"[Errno {errno.EDQUOT}] quota", Cause.DISK_FULL),
        (OSError(errno.EFBIG, "limit"), "failed", f"[Errno {errno.EFBIG}] limit", Cause.DISK_FULL),
        (OSError(errno.EACCES, "locked"), "failed", f"[Errno {errno.EACCES}] locked", None),
        (RuntimeError("CUDA error: lost"), "failed", "CUDA error: lost", Cause.GPU_BROKEN),
        (RuntimeError("CUDA error: no kernel image"), "failed", "CUDA error: no kernel image", None),
        (ImportError(UNMAPPED), "failed", UNMAPPED, Cause.NO_MEMORY),
        (ImportError("no module"), "failed", "no module", None),
        (RuntimeError("CUDA out of memory"), "failed", "CUDA out of memory", None),
    ],
)
def test_a_run_that_ends_early_says_why_and_keeps_what_was_trained(
    tmp_path: Path, error: BaseException, status: str, reason: str, cause: str | None
) -> None:
    with pytest.raises(type(error)):
        experiment.run_config(tiny_config(), tmp_path, ends_by(error))
    summary = summary_of(tmp_path)
    assert (summary["status"], summary["reason"], summary["epochs_done"]) == (status, reason, 1)
    assert summary["cause"] == cause
    assert summary["val_accuracy"] is not None
    assert summary["test_accuracy"] is None
    assert files(tmp_path) >= {"metrics.csv", "checkpoints/last.pt"}
    assert "checkpoints/weights.safetensors" not in files(tmp_path)


@pytest.mark.usefixtures("no_figures")
def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path, finished_run: Path) -> None:
    with pytest.raises(RuntimeError):
        experiment.run_config(tiny_config(), tmp_path, ends_by(RuntimeError()))
    experiment.run_config(tiny_config(), tmp_path)
    first, second = summary_of(finished_run), summary_of(tmp_path)
    changing = {"seconds", "images_per_second"}
    assert {k: v for k, v in first.items() if k not in changing} == {
        k: v for k, v in second.items() if k not in changing
    }
    weights = "checkpoints/weights.safetensors"
    assert (tmp_path / weights).read_bytes() == (finished_run / weights).read_bytes()


@pytest.mark.usefixtures("no_figures")
def test_another_seed_starts_with_other_weights_and_ends_elsewhere(
    tmp_path: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[dict[str, torch.Tensor]] = []

    def train(network: torch.nn.Module, *arguments: Any, **options: Any) -> training.Trained:
        begun.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        if len(begun) == 1:  # `finished_run` is how it goes on
            raise KeyboardInterrupt
        return trained(network, *arguments, **options)

    trained = training.train
    monkeypatch.setattr(training, "train", train)
    with pytest.raises(KeyboardInterrupt):
        experiment.run_config(tiny_config(), tmp_path / "0")
    ended = experiment.run_config(tiny_config(seed=1), tmp_path / "1")
    assert ended.val_loss != summary_of(finished_run)["val_loss"]
    convolutions = [name for name, tensor in begun[0].items() if tensor.dim() == 4]
    assert convolutions
    assert not any(begun[0][name].equal(begun[1][name]) for name in convolutions)


@pytest.mark.usefixtures("no_figures")
def test_a_run_on_real_images_is_held_against_its_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "load_once", lambda _: easy_dataset())

    def run(target: float | None) -> Summary:
        changes = {"limits": {"target_accuracy": target}, "training": {"epochs": 1}}
        config = tiny_config(data={"name": "cifar10"}, **changes)
        return experiment.run_config(config, tmp_path / str(target))

    accuracy = run(0.001).test_accuracy
    assert accuracy is not None
    assert 0.001 < accuracy < 1
    for target, reached in ((0.001, True), (accuracy, True), (1.0, False), (None, None)):
        summary = run(target)
        assert (summary.test_accuracy, summary.reaches_target) == (accuracy, reached)


@pytest.mark.extra
@pytest.mark.usefixtures("no_figures")
def test_tensorboard_gets_every_epoch(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    summary = experiment.run_config(tiny_config(training={"tensorboard": True}), tmp_path)
    folder = RunFolder(tmp_path)
    # As without validation images.
    artifacts.write_tensorboard(folder, replace(folder.read_metrics()[-1], epoch=3, val_loss=None))
    found = events.EventAccumulator(str(folder.tensorboard)).Reload().Scalars("val_loss")
    assert [event.step for event in found] == [1, 2]
    assert found[-1].value == pytest.approx(summary.val_loss)


def test_tensorboard_that_is_not_installed_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    experiment._require_extras(Experiment.from_dict(tiny_config()))  # which asks for none
    with pytest.raises(
        ConfigError, match=r"^training\.tensorboard: .* type uv sync --inexact --extra tensorboard"
    ):
        experiment.run_config(tiny_config(training={"tensorboard": True}), tmp_path)
    assert not RunFolder(tmp_path).metrics.exists()


def test_an_architecture_outside_its_limits_is_rejected_with_every_violation(tmp_path: Path) -> None:
    limits = {"params_below": 100, "separable_at_least": 3, "augment": ["grayscale"]}
    with pytest.raises(Rejected) as raised:
        experiment.run_config(tiny_config(limits=limits), tmp_path)
    assert len(str(raised.value).splitlines()) == 3
    summary = summary_of(tmp_path)
    assert (summary["status"], summary["reason"]) == ("rejected", str(raised.value))
    assert summary.keys() >= TOTALS
    assert files(tmp_path) == {"architecture.json", "experiment.json", "summary.json"}
    saved = RunFolder(tmp_path).read_json(tmp_path / "architecture.json")
    assert [v["rule"] for v in saved["violations"]] == ["params", "separable", "augment"]


@pytest.mark.usefixtures("no_figures")
def test_weights_that_are_no_numbers_have_no_test_accuracy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without validation images nobody has looked at them before."""
    config = tiny_config(data={"validation": 0}, training={"epochs": 1, "batch_size": 3000})
    monkeypatch.setattr(training, "loss_and_accuracy", lambda *_: (float("nan"), 0.1))
    with pytest.raises(TrainingDiverged, match=r"^the test loss is nan: lower training\.lr"):
        experiment.run_config(config, tmp_path)
    assert (summary_of(tmp_path)["status"], summary_of(tmp_path)["test_accuracy"]) == ("failed", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"width": 0}}, r"model\.width: .* got 0"),
        ({"training": {"batch_size": 500}}, r"training\.batch_size: at most the 200 .*, got 500"),
        ({"data": {"validation": 7000}}, r"data\.validation: .* got 7000"),
    ],
)
def test_a_mistake_in_the_config_is_named_and_recorded(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        experiment.run_config(tiny_config(**change), tmp_path)
    summary = summary_of(tmp_path)
    assert (summary["status"], summary["reason"]) == ("failed", str(raised.value))
    assert RunFolder(tmp_path).read_summary() is not None  # `report` shows it


def test_the_test_set_is_read_only_when_asked_for_and_objectives_may_be_null(tmp_path: Path) -> None:
    config = tiny_config(read_test=False, limits={"target_accuracy": 0.01}, training={"epochs": 1})
    summary = experiment.run_config({**config, "objectives": None}, tmp_path)
    assert summary.status == Status.COMPLETED
    assert (summary.test_accuracy, summary.reaches_target) == (None, None)
    assert summary.note == "the synthetic data set never counts towards the target"
    assert (tmp_path / "plots" / "confusion_matrix.png").is_file()  # of the validation set


@pytest.mark.slow
@pytest.mark.parametrize("read_test", [True, False])
def test_a_run_without_validation_images_completes(read_test: bool, tmp_path: Path) -> None:
    recipe = {"epochs": 1, "batch_size": 500}
    config = tiny_config(data={"validation": 0}, training=recipe, read_test=read_test)
    summary = experiment.run_config(config, tmp_path)
    assert (summary.status, summary.val_accuracy) == (Status.COMPLETED, None)
    assert (summary.test_accuracy is not None) is read_test


def test_a_run_whose_checkpoint_is_damaged_names_it(tmp_path: Path, finished_run: Path) -> None:
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    checkpoint = RunFolder(tmp_path).checkpoint
    RunFolder(tmp_path).summary.unlink()  # as if it had been killed
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(ConfigError, match=r"last\.pt' cannot be read"):
        experiment.run_config(tiny_config(), tmp_path)
