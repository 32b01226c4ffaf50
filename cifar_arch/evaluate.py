"""python -m cifar_arch.evaluate RUN [--data FOLDER]: test accuracy from the saved weights alone.

With --images it classifies your own picture, or a folder of them, instead.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Struct

from cifar_arch import cifar10, shapes
from cifar_arch.data import SYNTHETIC, SYNTHETIC_NOTE
from cifar_arch.layers import IMAGE_SIZE
from cifar_arch.outputs import typed_path
from cifar_arch.plugins import add_plugin_option, own_blocks
from cifar_arch.saved import SavedRun
from cifar_arch.schema import ConfigError
from cifar_arch.terminal import exit_on_errors, printable

if TYPE_CHECKING:
    from PIL import Image

ROUNDING = 0.002  # of the accuracy: what another device or another version of torch may change
TIFF_BITS, TIFF_MEANING, WHITE_IS_ZERO = 258, 262, 0  # two of its tags, and a value of the second


class ClassScore(Struct, frozen=True, kw_only=True):
    """Recall and precision of a class, from 0 to 1."""

    name: str
    recall: float
    precision: float


class Evaluation(Struct, frozen=True, kw_only=True):
    """What a network reaches on the test set: the content of `--json`."""

    test_accuracy: float  # from 0 to 1
    recorded: float | None  # the one in the run's summary
    images: int
    data: str
    note: str | None
    classes: list[ClassScore]
    confusion: list[list[int]]  # images by true class (row) and predicted one

    @property
    def difference(self) -> float:
        """From the accuracy on record; 0 where there is none."""
        return 0.0 if self.recorded is None else self.test_accuracy - self.recorded


class Unread(Exception):
    """Why a file is not taken for a picture."""

    def __init__(self, reason: str = ""):
        super().__init__(f"cannot be read as a picture: {reason}".removesuffix(": "))


def main() -> None:
    """Exits with 2 for what is no finished run or no picture, 1 for another accuracy than on record."""
    parser = argparse.ArgumentParser(prog="python -m cifar_arch.evaluate", description=__doc__)
    parser.add_argument("run", type=typed_path, help="a run folder: outputs/runs/<date>/<time>")
    parser.add_argument(
        "--data", metavar="FOLDER", help="folder that holds cifar-10-batches-py (default: the run's)"
    )
    parser.add_argument(
        "--images", type=typed_path, help="a picture or a folder of pictures to classify instead"
    )
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON for programs")
    add_plugin_option(parser)
    arguments = parser.parse_args()
    with exit_on_errors(), own_blocks(arguments.plugin):
        for option in ("data", "json"):
            if arguments.images and getattr(arguments, option):
                raise ConfigError(
                    f"--{option} is for the test set alone, got --images as well; type one of them"
                )
        run = SavedRun(arguments.run)
        if arguments.images:
            print(printable(classify(run, arguments.images)))
            return
        found = evaluate(run, arguments.data)
        print(json.dumps(msgspec.to_builtins(found), indent=2) if arguments.json else text(found))
        if abs(found.difference) > ROUNDING:
            print(
                f"the accuracy is {100 * found.difference:+.2f} points from the one on record: the weights "
                "or the pictures are not those of the run",
                file=sys.stderr,
            )
            sys.exit(1)


def evaluate(run: SavedRun, root: str | None = None) -> Evaluation:
    """What the saved weights of a run reach on its test set, whose files are below `root` if one is given."""
    from cifar_arch.plots import confusion_counts  # with matplotlib, which --help need not wait for
    from cifar_arch.training import predict

    network, dataset = run.network(), run.dataset(root)
    labels, predicted = dataset.test.labels, predict(network, dataset.test.images).argmax(1)
    counts = confusion_counts(labels, predicted, len(dataset.classes))
    right, true, found = (part.tolist() for part in (counts.diagonal(), counts.sum(1), counts.sum(0)))
    return Evaluation(
        test_accuracy=float((labels == predicted).mean()),
        recorded=run.summary.test_accuracy,
        images=len(labels),
        data=dataset.name,
        note=SYNTHETIC_NOTE if dataset.name == SYNTHETIC else None,
        classes=[
            ClassScore(name=name, recall=r / max(1, t), precision=r / max(1, f))
            for name, r, t, f in zip(dataset.classes, right, true, found, strict=True)
        ],
        confusion=counts.tolist(),
    )


def classify(run: SavedRun, images: Path) -> str:
    """A line for each file of `images`, a file or a folder: its three most likely classes, or why none.

    A picture of another form is cut to its middle square, then scaled to 32x32 pixels. Raises
    ConfigError where there is no picture that can be read.
    """
    if not images.exists():
        raise ConfigError(f"--images: expected a picture or a folder of pictures, got {str(images)!r}")
    says: dict[Path, str] = {}
    read: dict[Path, np.ndarray] = {}
    files = sorted(images.iterdir()) if images.is_dir() else [images]
    for file in files:
        if file.name.startswith(".") and file != images:  # as .DS_Store, which Macs leave in folders
            continue
        try:
            read[file] = read_picture(file)
        except Unread as reason:
            says[file] = str(reason)
    if not read:
        why = "; ".join(f"{_name(file)} {text}" for file, text in says.items())
        raise ConfigError(
            f"--images: nothing of {str(images)!r} can be read; name a .png, .jpg, .tif or another that "
            f"Pillow reads, or a folder of them{f' ({why})' if why else ''}"
        )
    from cifar_arch.training import predict

    classes = shapes.CLASSES if run.data_config().synthetic else cifar10.CLASSES
    found = predict(run.network(), np.stack(list(read.values())))
    for file, probabilities in zip(read, found, strict=True):
        best = np.argsort(-probabilities, kind="stable")[:3]
        says[file] = ", ".join(f"{classes[i]} {probabilities[i]:.0%}" for i in best)
    wide = max(len(_name(file)) for file in says)
    return "\n".join(f"{_name(file):{wide}}  {says[file]}" for file in sorted(says))


def _name(file: Path) -> str:
    """A file's name without what a terminal would obey or could not show."""
    return "".join(letter if letter.isprintable() else "?" for letter in file.name)


def read_picture(file: Path) -> np.ndarray:
    """The upright picture as (32, 32, 3) uint8, transparent parts white. Raises Unread for what is none."""
    from PIL import Image, ImageOps

    if not file.is_file():
        raise Unread("it is no file")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as opened:
            if opened.format == "EPS":
                raise Unread("it is a program, in PostScript")  # which Pillow would have run
            white = _white(opened)
            upright = ImageOps.exif_transpose(opened)
            if upright.mode == "La":
                upright = upright.convert("LA")  # from which alone Pillow goes further
            coloured = upright.convert("RGBA") if white is None else _grey(upright, *white)
            opaque = Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
            square = (IMAGE_SIZE, IMAGE_SIZE)
            return np.asarray(ImageOps.fit(opaque.convert("RGB"), square, Image.Resampling.BOX))
    except Unread:
        raise
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        raise Unread from error


def _white(opened: "Image.Image") -> tuple[float, float] | None:
    """The numbers that stand for black and for white; None where Pillow itself turns them into 0 to 255.

    Raises Unread where they are not known: Pillow would cut them off at 255.
    """
    deep = opened.mode.startswith("I;16")
    if opened.mode not in ("I", "F") and not deep:
        return None
    tags = getattr(opened, "tag_v2", {})
    if opened.mode == "F" and opened.format in ("TIFF", "PPM"):
        white = 1.0
    elif deep and opened.format == "TIFF":
        white = 2.0 ** tags[TIFF_BITS][0] - 1
    elif (deep and opened.format in ("PNG", "JPEG2000")) or (opened.mode == "I" and opened.format == "PPM"):
        white = 65535.0
    else:
        raise Unread(f"it is not known which number is white in {opened.format} of mode {opened.mode}")
    return (white, 0.0) if tags.get(TIFF_MEANING) == WHITE_IS_ZERO else (0.0, white)


def _grey(image: "Image.Image", black: float, white: float) -> "Image.Image":
    """A picture of one channel as RGBA. Raises Unread for numbers beyond black and white."""
    from PIL import Image

    numbers = np.asarray(image, np.float64)
    levels = (numbers - black) / (white - black)
    if not ((levels >= 0) & (levels <= 1)).all():
        raise Unread(f"its numbers are not all from {min(black, white):g} to {max(black, white):g}")
    grey = Image.fromarray((255 * levels).round().astype(np.uint8)).convert("RGBA")
    clear = image.info.get("transparency")
    if clear is not None:
        grey.putalpha(Image.fromarray(np.where(numbers == clear, 0, 255).astype(np.uint8)))
    return grey


def text(found: Evaluation) -> str:
    """For a terminal: accuracy, a line for each class, and the confusion matrix."""
    wide = max(len(each.name) for each in found.classes)
    record = "" if found.recorded is None else f" (on record: {found.recorded:.2%})"
    lines = [
        f"test accuracy {found.test_accuracy:.2%}{record} on {found.images:,} images of {found.data}",
        *([found.note] if found.note else []),
        "",
        f"{'class':{wide}}  recall  precision  confusion (row: true, column: predicted)",
    ]
    for each, counts in zip(found.classes, found.confusion, strict=True):
        row = " ".join(f"{count:4}" for count in counts)
        lines.append(f"{each.name:{wide}}  {each.recall:6.1%}  {each.precision:9.1%}  {row}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
