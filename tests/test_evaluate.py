import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Cli, cases, predictions, summary_of
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from PIL import Image

from cifar_arch import evaluate
from cifar_arch.runfolder import RunFolder
from cifar_arch.saved import SavedRun


def test_the_saved_weights_alone_give_the_recorded_accuracy_exactly(run: RunFolder) -> None:
    for path in (run.checkpoint, run.metrics, *run.plots.iterdir()):
        path.unlink()
    found = evaluate.evaluate(SavedRun(run.path))
    assert found.test_accuracy == found.recorded == summary_of(run.path)["test_accuracy"]
    assert replace(found, recorded=None).difference == 0
    assert replace(found, recorded=0.0).difference == found.test_accuracy


def test_the_command_prints_accuracy_classes_and_confusion(run: RunFolder, cli: Cli) -> None:
    first, note, _, heading, *classes = cli("evaluate", str(run.path)).out.splitlines()
    accuracy = summary_of(run.path)["test_accuracy"]
    assert first == (f"test accuracy {accuracy:.2%} (on record: {accuracy:.2%}) on 1,000 images of shapes")
    assert note == "the synthetic data set never counts towards the target"
    assert heading.split()[:3] == ["class", "recall", "precision"]
    assert len(classes) == 10
    confusion = [[int(cell) for cell in line.split()[3:]] for line in classes]
    assert [sum(row) for row in confusion] == [100] * 10
    assert sum(row[i] for i, row in enumerate(confusion)) == round(1000 * accuracy)
    assert classes[0].split()[1] == f"{confusion[0][0]}.0%"


def test_json_has_the_same_numbers_for_programs(run: RunFolder, cli: Cli) -> None:
    done = cli("evaluate", str(run.path), "--json")
    found = json.loads(done.out)
    accuracy = summary_of(run.path)["test_accuracy"]
    dataset, probabilities = predictions(run.path)
    predicted = probabilities.argmax(1)
    assert (found["test_accuracy"], found["recorded"]) == (accuracy, accuracy)
    assert (found["images"], found["data"]) == (1000, "shapes")
    assert found["note"] == "the synthetic data set never counts towards the target"
    assert [sum(row) for row in found["confusion"]] == [100] * 10
    for index, entry in enumerate(found["classes"]):
        right = found["confusion"][index][index]
        assert entry["name"] == dataset.classes[index]
        assert entry["recall"] == right / 100
        assert entry["precision"] == right / max(1, (predicted == index).sum())
    for option in (["--json"], ["--data", "x"]):
        done = cli("evaluate", str(run.path), *option, "--images", "x")
        said = f"{option[0]} is for the test set alone, got --images as well; type one of them\n"
        assert (done.status, done.err) == (2, said)


def test_own_pictures_are_classified(run: RunFolder, tmp_path: Path, cli: Cli) -> None:
    dataset, probabilities = predictions(run.path)
    own = tmp_path / "own"
    own.mkdir()
    for index in (0, 1):
        Image.fromarray(dataset.test.images[index]).save(own / f"{index}.png")
    doubled = dataset.test.images[2].repeat(2, 0).repeat(2, 1)
    wide = np.pad(doubled, ((0, 0), (30, 30), (0, 0)))  # only its middle square counts
    Image.fromarray(wide).save(own / "2.PNG")
    (own / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    (own / "notes.txt").touch()
    hidden = own / ".0.png"  # as is the .DS_Store that Finder leaves in each folder
    hidden.write_bytes((own / "0.png").read_bytes())
    lines = cli("evaluate", str(run.path), "--images", str(own)).out.splitlines()
    for index, line in enumerate(lines[:3]):
        best = probabilities[index].argmax()
        start = rf"{index}\.(png|PNG) +{dataset.classes[best]} {probabilities[index][best]:.0%}, "
        assert re.match(start, line), line
    assert lines[3:] == [f"{name:10}  cannot be read as a picture" for name in ("broken.jpg", "notes.txt")]
    alone = cli("evaluate", str(run.path), "--images", str(hidden)).out
    assert alone.split() == [".0.png", *lines[0].split()[1:]]


@pytest.mark.slow
def test_the_accuracy_is_held_against_the_record(run: RunFolder, cli: Cli) -> None:
    summary = summary_of(run.path)
    for change, status in ((0.0, 0), (0.001, 0), (0.005, 1), (0.21, 1)):
        run.write_json(run.summary, {**summary, "test_accuracy": summary["test_accuracy"] + change})
        done = cli("evaluate", str(run.path))
        assert done.status == status
        assert done.out.startswith(f"test accuracy {summary['test_accuracy']:.2%} (on record: ")
    assert done.err == (
        "the accuracy is -21.00 points from the one on record: the weights or the pictures are not those "
        "of the run\n"
    )


def blocks() -> np.ndarray:
    """A picture of 32x32 in blocks of 8, in colours that no two of which are alike."""
    return np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)


COLOURS = blocks()
GREY = COLOURS[..., 0]
DEEP = GREY.astype(np.uint16) * 257
CLEAR = np.where(GREY > 127, 255, 0).astype(np.uint8)
AS_GREY = GREY[..., None].repeat(3, 2)
SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6  # to be turned by a quarter, clockwise


def shown(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def turned(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(np.rot90(pixels)))


def on_white(pixels: np.ndarray) -> np.ndarray:
    return np.where(CLEAR[..., None] > 0, pixels, 255)


IN_COLOUR, IN_GREY = Image.fromarray(COLOURS), Image.fromarray(GREY)
PALETTE = IN_COLOUR.quantize(8)
# name: picture, options of saving, what is seen, largest difference from it
PICTURES: dict[str, tuple[Image.Image, dict[str, Any], np.ndarray, int]] = {
    **{f"colour.{kind}": (IN_COLOUR, {}, COLOURS, 0) for kind in ("png", "tif", "bmp", "ppm", "jp2", "tga")},
    "colour.webp": (IN_COLOUR, {"lossless": True}, COLOURS, 0),
    "grey.png": (IN_GREY, {}, AS_GREY, 0),
    **{f"16bit.{kind}": (Image.fromarray(DEEP), {}, AS_GREY, 0) for kind in ("png", "tif", "jp2", "pgm")},
    "16bit-lzw.tif": (Image.fromarray(DEEP), {"compression": "tiff_lzw"}, AS_GREY, 0),
    "16bit-white-is-zero.tif": (Image.fromarray(65535 - DEEP), {"tiffinfo": {262: 0}}, AS_GREY, 0),
    "16bit-clear.png": (
        Image.fromarray(DEEP),
        {"transparency": int(DEEP[0, 0])},
        np.where(AS_GREY[0, 0] == AS_GREY, 255, AS_GREY),
        0,
    ),
    "float.tif": (Image.fromarray((GREY / 255).astype(np.float32)), {}, AS_GREY, 0),
    "bits.png": (IN_GREY.convert("1"), {}, shown(IN_GREY.convert("1")), 0),
    "palette.png": (PALETTE, {}, shown(PALETTE), 0),
    "palette.gif": (PALETTE, {}, shown(PALETTE), 0),
    "palette-clear.png": (
        PALETTE,
        {"transparency": 3},
        np.where(np.asarray(PALETTE)[..., None] == 3, 255, shown(PALETTE)),
        0,
    ),
    "alpha.png": (Image.fromarray(np.dstack([COLOURS, CLEAR])), {}, on_white(COLOURS), 0),
    "alpha.tif": (Image.fromarray(np.dstack([COLOURS, CLEAR])), {}, on_white(COLOURS), 0),
    "grey-alpha.png": (Image.merge("LA", (IN_GREY, Image.fromarray(CLEAR))), {}, on_white(AS_GREY), 0),
    "cmyk.tif": (IN_COLOUR.convert("CMYK"), {}, COLOURS, 0),
    "cmyk.jpg": (IN_COLOUR.convert("CMYK"), {"quality": 100, "subsampling": 0}, COLOURS, 3),
    "luminance.tif": (IN_COLOUR.convert("YCbCr"), {"compression": "tiff_lzw"}, COLOURS, 4),
    "turned.jpg": (turned(COLOURS), {"exif": SIDEWAYS, "quality": 100, "subsampling": 0}, COLOURS, 3),
    "turned.png": (turned(COLOURS), {"exif": SIDEWAYS}, COLOURS, 0),
    "turned.tif": (turned(COLOURS), {"exif": SIDEWAYS}, COLOURS, 0),
    "turned-16bit.png": (turned(DEEP), {"exif": SIDEWAYS}, AS_GREY, 0),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_every_kind_are_seen_as_they_are(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)  # Pillow warns of larger ones
    image, options, seen, most = PICTURES[name]
    image.save(tmp_path / name, **options)
    found = evaluate.read_picture(tmp_path / name).astype(int)
    assert np.abs(found - seen).max() <= most


UNREAD: dict[str, tuple[Image.Image, str]] = {
    "float-to-255.tif": (
        Image.fromarray(GREY.astype(np.float32)),
        "cannot be read as a picture: its numbers are not all from 0 to 1",
    ),
    "nan.tif": (
        Image.fromarray(np.full((9, 9), np.nan, np.float32)),
        "cannot be read as a picture: its numbers are not all from 0 to 1",
    ),
    "32bit.tif": (
        Image.fromarray(GREY.astype(np.int32)),
        "cannot be read as a picture: it is not known which number is white in TIFF of mode I",
    ),
    "program.eps": (IN_COLOUR, "cannot be read as a picture: it is a program, in PostScript"),
}


def test_what_is_not_read_is_named_with_its_reason(run: RunFolder, tmp_path: Path, cli: Cli) -> None:
    own = tmp_path / "own"
    (own / "folder").mkdir(parents=True)
    for name, (image, _) in UNREAD.items():
        image.save(own / name)
    (own / "\x1b[31mred.png").touch()
    IN_COLOUR.save(own / "picture.tiff")
    lines = cli("evaluate", str(run.path), "--images", str(own)).out.splitlines()
    says = dict(re.split(" {2,}", line, maxsplit=1) for line in lines)
    assert re.match(r"\w+ \d+%, \w+ \d+%, \w+ \d+%$", says.pop("picture.tiff"))
    assert says == {
        **{name: reason for name, (_, reason) in UNREAD.items()},
        "folder": "cannot be read as a picture: it is no file",
        "?[31mred.png": "cannot be read as a picture",
    }


def written(kind: str, mode: str) -> bytes:
    """A small picture as a file of that kind holds it."""
    file = io.BytesIO()
    IN_COLOUR.resize((5, 7)).convert(mode).save(file, kind)
    return file.getvalue()


WHOLE = [written(kind, mode) for kind, mode in (("PNG", "P"), ("JPEG", "RGB"), ("TIFF", "L"), ("GIF", "P"))]
WHOLE += [written("PNG", mode) for mode in ("RGBA", "I;16", "1")]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A picture cut off, or with a few of its bytes changed."""
    content = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(0, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(1, len(content)) | st.just(len(content)))])


@cases(300)
@given(st.binary(max_size=100) | damaged())
def test_any_file_is_a_picture_or_says_why_it_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "picture").write_bytes(content)
    said = ""
    try:
        found = evaluate.read_picture(tmp_path / "picture")
        assert found.shape == (32, 32, 3)
        assert found.dtype == np.dtype(np.uint8)
    except evaluate.Unread as reason:
        said = str(reason)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("none", "--images: expected a picture or a folder of pictures, got '"),
        ("empty", "can be read; name a .png, .jpg, .tif or another that Pillow reads, or a folder of them\n"),
        ("broken", ", or a folder of them (a.png cannot be read as a picture)\n"),
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
