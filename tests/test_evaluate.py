import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli, summary_of
from PIL import Image

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


def test_the_command_prints_accuracy_classes_and_confusion(run: RunFolder, cli: Cli) -> None:
    first, _, heading, *classes = cli("evaluate", str(run.path)).out.splitlines()
    accuracy = summary_of(run.path)["test_accuracy"]
    assert first == (f"test accuracy {accuracy:.2%} (on record: {accuracy:.2%}) on 1,000 images of shapes")
    assert heading.split()[:3] == ["class", "recall", "precision"]
    assert len(classes) == 10
    confusion = [[int(cell) for cell in line.split()[3:]] for line in classes]
    assert [sum(row) for row in confusion] == [100] * 10
    assert sum(row[i] for i, row in enumerate(confusion)) == round(1000 * accuracy)
    assert classes[0].split()[1] == f"{confusion[0][0]}.0%"


def test_own_pictures_are_classified(run: RunFolder, tmp_path: Path, cli: Cli) -> None:
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
    lines = cli("evaluate", str(run.path), "--images", str(own)).out.splitlines()
    for index, line in enumerate(lines[:3]):
        best = probabilities[index].argmax()
        start = rf"{index}\.(png|PNG) +{pictures.classes[best]} {probabilities[index][best]:.0%}, "
        assert re.match(start, line), line
    assert lines[3:] == [f"{name:10}  cannot be read as a picture" for name in ("broken.jpg", "notes.txt")]


def test_transparent_pictures_are_laid_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (50, 40), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    picture = evaluate.read_picture(tmp_path / "clear.png")
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
    run: RunFolder, tmp_path: Path, folder: str, message: str, cli: Cli
) -> None:
    if folder != "none":
        (tmp_path / folder).mkdir()
    if folder == "broken":
        (tmp_path / folder / "a.png").write_text("no picture", encoding="utf-8")
    done = cli("evaluate", str(run.path), "--images", str(tmp_path / folder))
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert message in done.err
