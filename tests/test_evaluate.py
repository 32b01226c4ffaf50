import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import summary_of
from PIL import Image
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


def test_own_pictures_are_classified(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, probabilities, _ = evaluate.evaluate(run.path)
    own = tmp_path / "own"
    own.mkdir()
    for index in (0, 1):
        Image.fromarray(pictures.test.images[index]).save(own / f"{index}.png")
    doubled = pictures.test.images[2].repeat(2, 0).repeat(2, 1)
    wide = np.pad(doubled, ((0, 0), (30, 30), (0, 0)))  # only its middle square counts
    Image.fromarray(wide).save(own / "2.PNG")
    (own / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    (own / "notes.txt").touch()
    monkeypatch.setattr(sys, "argv", ["evaluate", str(run.path), "--images", str(own)])
    evaluate.main()
    lines = capsys.readouterr().out.splitlines()
    for index, line in enumerate(lines[:3]):
        best = probabilities[index].argmax()
        start = rf"{index}\.(png|PNG) +{pictures.classes[best]} {probabilities[index][best]:.0%}, "
        assert re.match(start, line), line
    assert lines[3:] == ["broken.jpg  cannot be read as a picture"]


def test_transparent_pictures_are_laid_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (50, 40), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    picture = evaluate._picture(tmp_path / "clear.png")
    assert picture is not None
    assert picture.shape == (32, 32, 3)
    assert (picture == 255).all()


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("none", "--images: expected a folder with pictures, got '"),
        ("empty", "can be read; put .png, .jpg, "),
        ("broken", "can be read; put .png, .jpg, "),
    ],
)
def test_a_folder_without_pictures_is_refused(
    run: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: str,
    message: str,
) -> None:
    if folder != "none":
        (tmp_path / folder).mkdir()
    if folder == "broken":
        (tmp_path / folder / "a.png").write_text("no picture")
    monkeypatch.setattr(sys, "argv", ["evaluate", str(run.path), "--images", str(tmp_path / folder)])
    with pytest.raises(SystemExit) as raised:
        evaluate.main()
    assert raised.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
