"""python -m cifar_arch.evaluate RUN [--data FOLDER]: test accuracy from the saved weights alone.

With --images FOLDER it classifies your own pictures instead.
"""

import argparse
from pathlib import Path

import numpy as np

from cifar_arch import shapes
from cifar_arch.data import CIFAR10_CLASSES, Pictures
from cifar_arch.layers import IMAGE_SIZE
from cifar_arch.plots import confusion_counts
from cifar_arch.saved import SavedRun
from cifar_arch.schema import ConfigError
from cifar_arch.terminal import sentences

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")


def main() -> None:
    """Exits with 2 for what is no finished run or no picture."""
    parser = argparse.ArgumentParser(prog="python -m cifar_arch.evaluate", description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder: outputs/runs/<date>/<time>")
    parser.add_argument("--data", help="folder that holds cifar-10-batches-py (default: the run's)")
    parser.add_argument("--images", type=Path, help="a folder of pictures to classify instead")
    arguments = parser.parse_args()
    with sentences():
        if arguments.images:
            print(classify(arguments.run, arguments.images))
        else:
            print(text(*evaluate(arguments.run, arguments.data)))


def evaluate(path: Path, root: str | None = None) -> tuple[Pictures, np.ndarray, float | None]:
    """The run's data, its class probabilities (N, 10) on the test set, and the accuracy on record.

    Raises ConfigError where the folder holds no finished run.
    """
    run = SavedRun(path)
    pictures = run.pictures(root)
    network = run.network()
    from cifar_arch.training import predict

    return pictures, predict(network, pictures.test.images), run.summary.test_accuracy


def classify(path: Path, images: Path) -> str:
    """A line for each picture in the folder `images`: its three most likely classes.

    A picture of another form is cut to its middle square, then scaled to 32x32 pixels. Raises
    ConfigError where the folder holds no picture that can be read.
    """
    run = SavedRun(path)
    if not images.is_dir():
        raise ConfigError(f"--images: expected a folder with pictures, got {str(images)!r}")
    files = sorted(f for f in images.iterdir() if f.suffix.lower() in SUFFIXES)
    read = {file: read_picture(file) for file in files}
    whole = {file: picture for file, picture in read.items() if picture is not None}
    if not whole:
        raise ConfigError(
            f"--images: no picture in {str(images)!r} can be read; put {', '.join(SUFFIXES)} files there"
        )
    from cifar_arch.training import predict

    classes = CIFAR10_CLASSES if run.data_config().name == "cifar10" else shapes.CLASSES
    found = dict(zip(whole, predict(run.network(), np.stack(list(whole.values()))), strict=True))
    wide = max(len(file.name) for file in files)
    lines = []
    for file in files:
        if file in found:
            best = np.argsort(-found[file], kind="stable")[:3]
            says = ", ".join(f"{classes[i]} {found[file][i]:.0%}" for i in best)
        else:
            says = "cannot be read as a picture"
        lines.append(f"{file.name:{wide}}  {says}")
    return "\n".join(lines)


def read_picture(file: Path) -> np.ndarray | None:
    """The picture as (32, 32, 3) uint8, transparent parts white; None for what is none."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGBA")
            opaque = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
            return np.asarray(ImageOps.fit(opaque, (IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def text(pictures: Pictures, probabilities: np.ndarray, recorded: float | None) -> str:
    """Accuracy, a line for each class, and the confusion matrix, for a terminal."""
    labels, predicted = pictures.test.labels, probabilities.argmax(1)
    counts = confusion_counts(labels, predicted, len(pictures.classes))
    accuracy = (labels == predicted).mean()
    wide = max(map(len, pictures.classes))
    record = "" if recorded is None else f" (on record: {recorded:.2%})"
    lines = [f"test accuracy {accuracy:.2%}{record} on {len(labels):,} images of {pictures.name}", ""]
    lines += [f"{'class':{wide}}  recall  precision  confusion (row: true, column: predicted)"]
    for index, name in enumerate(pictures.classes):
        recall = counts[index, index] / max(1, counts[index].sum())
        precision = counts[index, index] / max(1, counts[:, index].sum())
        row = " ".join(f"{count:4}" for count in counts[index])
        lines.append(f"{name:{wide}}  {recall:6.1%}  {precision:9.1%}  {row}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
