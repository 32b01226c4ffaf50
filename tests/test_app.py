"""`python -m cifar_arch.run` as a user types it."""

import csv
import re
import signal
import sys
from pathlib import Path
from typing import IO

import pytest
from conftest import (
    CIFAR10,
    TINY,
    Cli,
    begin,
    command,
    ended,
    environment,
    on_a_terminal,
    run_folders,
    summary_of,
    type_command,
)

from cifar_arch import experiment
from cifar_arch.record import Status, Summary


def one_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.resume=nowhere", r"training\.resume: 'nowhere' is no run folder"),
        (
            "training.resume=a training.resume=b",
            r"training\.resume: expected the folder of one run, got a, b;",
        ),
        ("training.resume=", r"training\.resume: expected the folder of one run, got nothing;"),
        ("hydra.run.dir=", r"hydra\.run\.dir: expected a folder, got nothing; name one, or"),
        ("hydra.run.dir=${nope}", r"hydra\.run\.dir: Interpolation key 'nope' not found"),
    ],
)
def test_a_mistake_in_the_name_of_a_folder_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, override: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("run", *override.split())
    assert (done.status, done.out) == (2, "")
    assert re.match(message, one_line(done.err))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    done = type_command("run", *TINY, "hydra.run.dir=/proc/x", cwd=tmp_path)
    assert done.returncode == 1
    assert one_line(done.stderr) == "cannot read or write /proc/x: No such file or directory"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepared", "message"),
    [
        ((), r"data\.root: no CIFAR-10 in 'pictures' and it could not be downloaded .* data=shapes"),
        (("cifar-10-batches-py",), r"data\.root: 'pictures/.*data_batch_1' is missing; remove '"),
    ],
)
def test_missing_data_is_one_sentence(tmp_path: Path, prepared: tuple[str, ...], message: str) -> None:
    for name in prepared:
        (tmp_path / "pictures" / name).mkdir(parents=True)
    done = type_command("run", "data.root=pictures", cwd=tmp_path)
    assert done.returncode == 2
    assert re.match(message, one_line(done.stderr))
    (folder,) = run_folders(tmp_path)
    assert summary_of(folder)["status"] == "failed"
    assert "Traceback" in (folder / "run.log").read_text(encoding="utf-8")


REJECTED = ("data=shapes", "width=64", "c3=plain", "c4=plain", "augment=none")


def test_an_architecture_outside_its_limits_is_rejected_in_sentences_without_torch(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from cifar_arch.app import main
        try:
            main()
        except SystemExit as exit:
            print(exit.code, "torch" in sys.modules)
    """
    done = ended([sys.executable, "-c", code, *REJECTED], tmp_path)
    assert done.stdout == "1 False\n"
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("outside its limits: ") for line in lines)
    for rule, line in zip(("parameters", "separable", "dilated", "augmentation"), lines, strict=True):
        assert rule in line
    (folder,) = run_folders(tmp_path)
    assert summary_of(folder)["status"] == "rejected"
    assert (folder / "architecture.json").is_file()


@pytest.mark.parametrize(
    ("reached", "told"),
    [
        (True, "test accuracy 85.25% (reaches the target of 85.5%)"),
        (False, "test accuracy 85.25% (misses the target of 85.5%)"),
        (None, "test accuracy 85.25% (is not held against the target of 85.5%)"),
    ],
)
def test_the_end_says_whether_the_target_was_reached(
    reached: bool | None, told: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    summary = Summary(
        status=Status.COMPLETED, test_accuracy=0.8525, target_accuracy=0.855, reaches_target=reached
    )
    monkeypatch.setattr(experiment, "run_config", lambda *_, **__: summary)
    assert f", {told}\n" in cli("run").out


@pytest.mark.slow
def test_a_run_completes_with_plain_lines_off_a_terminal(tmp_path: Path) -> None:
    both = [begin(command("run", *TINY), tmp_path) for _ in range(2)]
    for process in both:  # started in the same second, into one outputs folder
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        begins = (
            r"[\d,]+ parameters, receptive field \d+ px\n"
            r"2 epochs on 200 images of shapes, on cpu in (bf16|float32), threads: \d+\n"
        )
        assert re.match(begins, out)
        first, second = [line for line in out.splitlines() if line.startswith("epoch ")]
        number = r"loss \d\.\d+  train [\d. ]{5}%  val [\d. ]{5}%"
        assert re.match(rf"epoch 1/2  {number} +[\d,]+ images/s  \d\d:\d\d left$", first)
        assert len(first) < 80
        assert re.match(r"epoch 2/2 .* images/s$", second)
        assert "\r" not in out
        assert "never counts towards the target" in out
    first_run, second_run = run_folders(tmp_path)
    assert summary_of(first_run)["status"] == summary_of(second_run)["status"] == "completed"
    assert (first_run / ".hydra" / "config.yaml").is_file()
    assert "epoch 2/2" in (first_run / "run.log").read_text(encoding="utf-8")
    again = type_command("run", f"training.resume={first_run}", cwd=tmp_path)
    assert again.returncode == 0
    assert again.stdout.startswith(f"{first_run.relative_to(tmp_path)} is complete, nothing is left to train")
    refused = type_command("run", f"training.resume={first_run}", "width=24", cwd=tmp_path)
    assert refused.returncode == 2
    assert re.search(r"own config, got width=24 as well", one_line(refused.stderr))


@pytest.mark.slow
def test_a_diverged_run_is_one_sentence_with_the_traceback_in_its_log(tmp_path: Path) -> None:
    done = type_command("run", *TINY, "training=sgd", "training.lr=1000", cwd=tmp_path)
    assert done.returncode == 1
    message = r"TrainingDiverged: the \w+ loss is \w+ in epoch \d: lower .*run\.log"
    assert re.match(message, done.stderr.splitlines()[0])
    assert "Traceback" not in done.stdout + done.stderr
    (folder,) = run_folders(tmp_path)
    assert summary_of(folder)["status"] == "failed"
    log = (folder / "run.log").read_text(encoding="utf-8")
    assert "Traceback" in log
    assert "TrainingDiverged" in log


# Epochs that last long enough to be met in their middle.
LONG = (*TINY, "data.validation=4000", "epochs=3")
# With a process that helps to augment.
HELPED = (*LONG, "augment.backend=albumentations", "training.threads=2")


def results(folder: Path) -> tuple[list[dict[str, str]], bytes, float]:
    """All that a run computes: metrics without the clock's, weights, test accuracy."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    clock = {"seconds", "images_per_second"}
    metrics = [{name: value for name, value in row.items() if name not in clock} for row in rows]
    weights = (folder / "checkpoints" / "weights.safetensors").read_bytes()
    return metrics, weights, summary_of(folder)["test_accuracy"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("uninterrupted")
    assert type_command("run", *HELPED, cwd=cwd).returncode == 0
    (folder,) = run_folders(cwd)
    return folder


def wait_for(text: str, stream: IO[str]) -> None:
    for line in stream:
        if text in line:
            return
    raise AssertionError(f"the run ended before it printed {text!r}")


@pytest.mark.slow
@pytest.mark.parametrize(("signal_", "status"), [("SIGINT", 130), ("SIGTERM", 130), ("SIGKILL", -9)])
def test_a_stopped_run_is_resumed_to_the_very_same_end(
    tmp_path: Path, uninterrupted: Path, signal_: str, status: int
) -> None:
    process = begin(command("run", *HELPED), tmp_path)
    assert process.stdout is not None
    wait_for("epoch 1/3", process.stdout)
    process.send_signal(getattr(signal, signal_))
    _, err = process.communicate()
    assert process.returncode == status
    (folder,) = run_folders(tmp_path)
    shown = str(folder.relative_to(tmp_path))
    if signal_ == "SIGKILL":
        assert not (folder / "summary.json").exists()
    else:
        hint = f"type python -m cifar_arch.run training.resume={shown} to go on"
        assert err.splitlines() == ["interrupted", hint]
        summary = summary_of(folder)
        assert (summary["status"], summary["reason"]) == ("failed", "interrupted")
        assert summary["epochs_done"] < 3
    resumed = type_command("run", f"training.resume={shown}", cwd=tmp_path)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert "epoch 1/3" not in resumed.stdout
    assert results(folder) == results(uninterrupted)
    assert run_folders(tmp_path) == [folder]


@pytest.mark.slow
def test_a_terminal_shows_a_bar_that_leaves_the_lines_alone(tmp_path: Path) -> None:
    written = on_a_terminal(command("run", *LONG), tmp_path, environment(), columns=120)
    bar = r"\d+% .{6} epoch [1-3]/3  loss \d\.\d+  accuracy [\d.]+%  \d\d:\d\d left  [\d.k]+ images/s"
    frames = re.split(r"[\r\n]", written)
    assert sum(bool(re.search(bar, frame)) for frame in frames) > 3
    lines = [frame for frame in frames if frame.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    assert not any("%|" in line or "left  " in line for line in lines)


@pytest.mark.slow
@pytest.mark.cifar10
def test_one_epoch_on_cifar10_beats_chance_clearly(tmp_path: Path) -> None:
    done = type_command(
        "run", f"data.root={CIFAR10}", "limits=none", "width=6", "epochs=1", "training.ema=0", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = run_folders(tmp_path)
    summary = summary_of(folder)
    assert summary["test_accuracy"] > 0.25
    assert summary["split"] == {"train": 45_000, "validation": 5_000, "test": 10_000}
    evaluated = type_command("evaluate", str(folder), cwd=tmp_path)
    assert evaluated.stdout.startswith(f"test accuracy {summary['test_accuracy']:.2%} (on record: ")
