"""python -m cifar_arch.evaluate RUN [--data FOLDER]: test accuracy from the saved weights alone."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cifar_arch.data import DataConfig, Pictures, load
from cifar_arch.plots import confusion_counts
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError, checked
from cifar_arch.spec import Architecture


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cifar_arch.evaluate", description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder: outputs/runs/<date>/<time>")
    parser.add_argument("--data", help="folder that holds cifar-10-batches-py (default: the run's)")
    arguments = parser.parse_args()
    try:
        pictures, probabilities, recorded = evaluate(arguments.run, arguments.data)
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(text(pictures, probabilities, recorded))


def evaluate(path: Path, root: str | None = None) -> tuple[Pictures, np.ndarray, float | None]:
    """The run's data, its class probabilities (N, 10) on the test set, and the accuracy on record.

    Reads the architecture as data and the weights from safetensors: no pickle. Raises ConfigError
    where the folder holds no finished run.
    """
    folder = RunFolder(path)
    for file in (folder.architecture, folder.summary, folder.weights):
        if not file.is_file():
            raise ConfigError(
                f"run: {str(path)!r} holds no finished run ({file.relative_to(path)} is missing); "
                "name a folder under outputs/runs whose summary.json says completed"
            )
    summary = folder.read_json(folder.summary)
    config = {k.removeprefix("data."): v for k, v in summary["config"].items() if k.startswith("data.")}
    pictures = load(checked(DataConfig, {**config, **({"root": root} if root else {})}, "data"))
    network = load_network(folder)
    from cifar_arch.training import predict

    return pictures, predict(network, pictures.test.images), summary.get("test_accuracy")


def load_network(folder: RunFolder) -> Any:
    """The trained network of a run folder, (N, 3, 32, 32) pixels of 0 to 255 -> (N, 10) logits."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from cifar_arch.network import Normalised, build

    plan = Architecture.from_dict(folder.read_json(folder.architecture)["spec"]).plan()
    network = Normalised(build(plan), (0, 0, 0), (1, 1, 1))
    try:
        network.load_state_dict(load_file(folder.weights))
    except (SafetensorError, RuntimeError) as error:
        raise ConfigError(
            f"run: the weights {str(folder.weights)!r} are damaged or of another architecture "
            f"({str(error).splitlines()[0]}); train the network again"
        ) from error
    # As in training: another layout in memory rounds differently, and the accuracy would be another.
    return network.eval().to(memory_format=torch.channels_last)


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
