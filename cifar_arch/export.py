"""python -m cifar_arch.export RUN: the trained network as ONNX, checked against torch on real images.

The file takes float32 pixels of 0 to 255, (N, 3, 32, 32), and gives logits, (N, 10); it normalises itself.
"""

import argparse
import importlib.util
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cifar_arch.plugins import add_plugin_option, load_plugins
from cifar_arch.runfolder import atomic
from cifar_arch.saved import SavedRun
from cifar_arch.schema import ConfigError
from cifar_arch.terminal import sentences

NEEDED = ("onnx", "onnxscript", "onnxruntime")
CHECKED = 256  # images on which both are compared
TOLERANCE = 1e-4  # largest difference of a logit


def main() -> None:
    """Exits with 2 for a run that cannot be exported, 1 where the file differs from torch."""
    parser = argparse.ArgumentParser(prog="python -m cifar_arch.export", description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder: outputs/runs/<date>/<time>")
    parser.add_argument("--data", help="folder that holds cifar-10-batches-py (default: the run's)")
    parser.add_argument(
        "--to", type=Path, help="file or folder to write to (default: network.onnx in the run folder)"
    )
    add_plugin_option(parser)
    arguments = parser.parse_args()
    with sentences():
        load_plugins(arguments.plugin)
        path, difference = export(arguments.run, arguments.to, arguments.data)
        size = path.stat().st_size / 1024
        print(
            f"{path}: {size:.0f} KiB, pixels (N, 3, 32, 32) of 0 to 255 -> logits (N, 10)\n"
            f"largest difference from torch on {CHECKED} real images: {difference:.1e}"
        )
    if not difference <= TOLERANCE:
        print(f"the difference is over {TOLERANCE:g}: do not deploy this file", file=sys.stderr)
        sys.exit(1)


def export(path: Path, to: Path | None = None, root: str | None = None) -> tuple[Path, float]:
    """Writes the ONNX file; its path, and the largest difference of a logit from torch's.

    Raises ConfigError where a package is missing or the folder holds no finished run.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"export: {', '.join(missing)} is not installed; type uv sync --extra onnx")
    run = SavedRun(path)
    network = run.network()
    pictures = run.pictures(root)
    target = to or run.folder.onnx
    if target.is_dir():
        target /= run.folder.onnx.name
    images = pictures.test.images[:CHECKED].transpose(0, 3, 1, 2).astype(np.float32)
    with atomic(target) as temporary:
        _write(network, temporary, pictures.classes)
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


def largest_difference(network: Any, path: Path, images: np.ndarray) -> float:
    """Largest difference of a logit between onnxruntime and torch, on batches of several sizes."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    largest = 0.0
    for batch in (images[:1], images[1:8], images[8:]):
        (found,) = session.run(["logits"], {"pixels": batch})
        with torch.inference_mode():
            wanted = network(torch.from_numpy(batch)).numpy()
        largest = float(np.maximum(largest, np.abs(found - wanted).max()))
    return largest


if __name__ == "__main__":
    main()
