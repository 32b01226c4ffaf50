import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from conftest import summary_of
from safetensors.torch import load_file, save_file

from cifar_arch import evaluate
from cifar_arch.runfolder import RunFolder


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> RunFolder:
    """A copy of a finished run, without the checkpoint that training left."""
    shutil.copytree(finished_run, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    folder.checkpoint.unlink()
    return folder


def test_the_saved_weights_alone_give_the_recorded_accuracy_exactly(run: RunFolder) -> None:
    for path in (run.metrics, *run.plots.iterdir()):
        path.unlink()
    pictures, probabilities, recorded = evaluate.evaluate(run.path)
    right = probabilities.argmax(1) == pictures.test.labels
    assert float(right.mean()) == recorded == summary_of(run.path)["test_accuracy"]


def test_the_network_has_the_very_numbers_of_the_file(run: RunFolder) -> None:
    network, saved = evaluate.load_network(run).state_dict(), load_file(run.weights)
    assert network.keys() == saved.keys()
    for name, tensor in saved.items():
        assert network[name].dtype == tensor.dtype, name
        assert torch.equal(network[name], tensor), name
    assert not torch.equal(saved["network.c1_1.norm1.weight"], torch.ones(4))


def test_the_command_prints_accuracy_classes_and_confusion(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", str(run.path)])
    evaluate.main()
    first, _, heading, *classes = capsys.readouterr().out.splitlines()
    accuracy = summary_of(run.path)["test_accuracy"]
    assert first == (f"test accuracy {accuracy:.2%} (on record: {accuracy:.2%}) on 1,000 images of shapes")
    assert heading.split()[:3] == ["class", "recall", "precision"]
    assert len(classes) == 10
    confusion = [[int(cell) for cell in line.split()[3:]] for line in classes]
    assert [sum(row) for row in confusion] == [100] * 10
    assert sum(row[i] for i, row in enumerate(confusion)) == round(1000 * accuracy)
    assert classes[0].split()[1] == f"{confusion[0][0]}.0%"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no folder", "holds no finished run"),
        ("architecture.json", "holds no finished run (architecture.json is missing)"),
        ("summary.json", "holds no finished run (summary.json is missing)"),
        ("weights.safetensors", "holds no finished run (checkpoints/weights.safetensors is missing)"),
        ("truncated weights", "are damaged or of another architecture"),
        ("empty weights", "are damaged or of another architecture"),
        ("other weights", "are damaged or of another architecture"),
        ("damaged summary", "summary.json' is damaged"),
        ("damaged spec", "model.width: "),
    ],
)
def test_what_is_no_finished_run_is_refused_in_one_sentence(
    run: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: str,
    message: str,
) -> None:
    match damage:
        case "no folder":
            shutil.rmtree(run.path)
        case "truncated weights" | "empty weights":
            whole = run.weights.read_bytes()
            run.weights.write_bytes(whole[:-100] if damage == "truncated weights" else b"")
        case "other weights":
            weights = load_file(run.weights)
            weights.pop("mean")
            save_file(weights, run.weights)
        case "damaged summary":
            run.summary.write_text("{")
        case "damaged spec":
            saved = json.loads(run.architecture.read_text())
            saved["spec"]["width"] = "wide"
            run.architecture.write_text(json.dumps(saved))
        case name:
            next(run.path.rglob(name)).unlink()
    monkeypatch.setattr(sys, "argv", ["evaluate", str(run.path)])
    with pytest.raises(SystemExit) as raised:
        evaluate.main()
    assert raised.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
