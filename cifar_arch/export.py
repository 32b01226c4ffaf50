"""python -m cifar_arch.export RUN: the trained network as ONNX, checked against torch on test images.

The file takes float32 pixels of 0 to 255, (N, 3, 32, 32), normalises them, and gives logits, (N, 10).
With --int8 a second file has 8-bit weights and activations; both are timed and tested on all test images.
"""

import argparse
import contextlib
import importlib.util
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cifar_arch.data import SYNTHETIC, SYNTHETIC_NOTE, Dataset
from cifar_arch.latency import TIMED, one_image_ms, session
from cifar_arch.outputs import require_place, typed_path
from cifar_arch.plugins import add_plugin_option, own_blocks
from cifar_arch.runfolder import atomic
from cifar_arch.saved import SavedRun
from cifar_arch.schema import ConfigError, install
from cifar_arch.terminal import exit_on_errors, table

NEEDED = ("onnx", "onnxscript", "onnxruntime")
CHECKED = 256  # images on which both are compared
TOLERANCE = 1e-4  # largest difference of a logit
CALIBRATED = 1000  # training images that show the ranges of maps


def main() -> None:
    """Exits with 2 for a run that cannot be exported, 1 where the file differs from torch."""
    parser = argparse.ArgumentParser(prog="python -m cifar_arch.export", description=__doc__)
    parser.add_argument("run", type=typed_path, help="a run folder: outputs/runs/<date>/<time>")
    parser.add_argument(
        "--data", metavar="FOLDER", help="folder that holds cifar-10-batches-py (default: the run's)"
    )
    parser.add_argument(
        "--to", type=typed_path, help="folder or .onnx file to write to (default: network.onnx in the run)"
    )
    parser.add_argument("--int8", action="store_true", help="write a quantised file too, network.int8.onnx")
    add_plugin_option(parser)
    arguments = parser.parse_args()
    with exit_on_errors(), own_blocks(arguments.plugin):
        path, difference = export(arguments.run, arguments.to, arguments.data)
        size = path.stat().st_size / 1024
        print(
            f"{path}: {size:.0f} KiB, pixels (N, 3, 32, 32) of 0 to 255 -> logits (N, 10)\n"
            f"largest difference from torch on {CHECKED} test images: {difference:.1e}"
        )
        if arguments.int8 and difference <= TOLERANCE:
            dataset = SavedRun(arguments.run).dataset(arguments.data)
            print(compared(path, quantised(path, dataset), dataset))
    if not difference <= TOLERANCE:  # also where it is no number
        print(f"the difference is over {TOLERANCE:g}: do not deploy this file", file=sys.stderr)
        sys.exit(1)


def export(path: Path, to: Path | None = None, root: str | None = None) -> tuple[Path, float]:
    """Writes the ONNX file; its path, and the largest difference of a logit from torch's.

    Raises ConfigError where a package is missing or the folder holds no finished run.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"export: {', '.join(missing)} is not installed; type {install('onnx')}")
    run = SavedRun(path)
    target = to or run.folder.onnx
    if target.is_dir() or not target.suffix:
        target /= run.folder.onnx.name
    if target.suffix != run.folder.onnx.suffix:  # it might be a file of another kind, such as the weights
        raise ConfigError(f"--to: expected a folder or a file that ends in .onnx, got {str(to)!r}; name one")
    require_place(target.parent)
    network = run.network()
    dataset = run.dataset(root)
    images = _pixels(dataset.test.images[:CHECKED])
    with atomic(target) as temporary:
        _write(network, temporary, dataset.classes)
        difference = largest_difference(network, temporary, images)
    return target, difference


def _write(network: Any, path: Path, classes: tuple[str, ...]) -> None:
    import onnx
    import torch

    example = torch.zeros(2, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:  # the exporter notes the paths of this machine's source there
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.helper.set_model_props(model, {"classes": json.dumps(classes), "input": "RGB pixels of 0 to 255"})
    onnx.save(model, path)


def quantised(path: Path, dataset: Dataset) -> Path:
    """Writes the network of an ONNX file with weights and maps of 8 bits beside it.

    By onnxruntime's static quantisation, a scale for each filter; the ranges of maps are those that
    training images give.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    chosen = np.linspace(0, len(dataset.train.images) - 1, CALIBRATED).astype(int)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        batches = iter(np.array_split(_pixels(dataset.train.images[chosen]), CALIBRATED // 100))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"pixels": batch}

    target = path.with_suffix(".int8.onnx")
    with atomic(target) as temporary, tempfile.TemporaryDirectory() as place, _without_advice():
        prepared = Path(place) / "prepared.onnx"  # with batch norms folded into the convolutions
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        kinds = {"weight_type": QuantType.QInt8, "activation_type": QuantType.QUInt8}
        quantize_static(prepared, temporary, Reader(), per_channel=True, **kinds)
    return target


def compared(path: Path, smaller: Path, dataset: Dataset) -> str:
    """A line for each of two files: its size, its accuracy on all test images, milliseconds an image."""
    rows = [["file", "KiB", "test accuracy", "ms for one image"]]
    for file in (path, smaller):
        accuracy, latency = accuracy_and_latency(file, dataset)
        rows.append([file.name, f"{file.stat().st_size / 1024:.0f}", f"{accuracy:.2%}", f"{latency:.3f}"])
    note = f"\n{SYNTHETIC_NOTE}" if dataset.name == SYNTHETIC else ""
    return f"\n{table(rows)}\none thread of this machine's CPU, onnxruntime, median of {TIMED}{note}"


def accuracy_and_latency(path: Path, dataset: Dataset) -> tuple[float, float]:
    """Of an ONNX file: the accuracy on the test images, and the milliseconds for one image on one thread."""
    ready = session(path.read_bytes(), threads=1)
    images, labels = _pixels(dataset.test.images), dataset.test.labels
    batches = np.array_split(images, max(1, len(images) // 500))
    logits = np.concatenate([ready.run(["logits"], {"pixels": batch})[0] for batch in batches])
    return float((logits.argmax(1) == labels).mean()), one_image_ms(ready, images)


def _pixels(images: np.ndarray) -> np.ndarray:
    """(N, 32, 32, 3) uint8 -> (N, 3, 32, 32) float32."""
    return images.transpose(0, 3, 1, 2).astype(np.float32)


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Without what onnxruntime logs of how it would rather be called."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def largest_difference(network: Any, path: Path, images: np.ndarray) -> float:
    """Largest difference of a logit between onnxruntime and torch, on batches of several sizes."""
    import torch

    ready = session(path.read_bytes())
    largest = 0.0
    for batch in (images[:1], images[1:8], images[8:]):
        (found,) = ready.run(["logits"], {"pixels": batch})
        with torch.inference_mode():
            wanted = network(torch.from_numpy(batch)).numpy()
        largest = float(np.maximum(largest, np.abs(found - wanted).max()))
    return largest


if __name__ == "__main__":
    main()
