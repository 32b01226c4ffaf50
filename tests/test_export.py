import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import CHECKOUT, Cli, predictions, summary_of
from msgspec.structs import replace

from cifar_arch import export, shapes
from cifar_arch.data import Split
from cifar_arch.runfolder import RunFolder
from cifar_arch.saved import SavedRun
from cifar_arch.schema import ConfigError, install

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.extra


@pytest.fixture(scope="module")
def exported(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    return export.export(finished_run, tmp_path_factory.mktemp("onnx") / "network.onnx")


@pytest.mark.slow
def test_the_file_predicts_as_torch_does_on_any_batch(
    exported: tuple[Path, float], finished_run: Path
) -> None:
    path, difference = exported
    assert 0 <= difference < export.TOLERANCE
    dataset, probabilities = predictions(finished_run)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[1:] == [3, 32, 32]
    for count in (1, 3, 100):
        pixels = dataset.test.images[:count].transpose(0, 3, 1, 2).astype(np.float32)
        (logits,) = session.run(["logits"], {"pixels": pixels})
        share = np.exp(logits - logits.max(1, keepdims=True))
        assert share / share.sum(1, keepdims=True) == pytest.approx(probabilities[:count], abs=1e-4)


@pytest.mark.slow
def test_the_classes_are_in_the_metadata(exported: tuple[Path, float], finished_run: Path) -> None:
    model = onnx.load(exported[0])
    onnx.checker.check_model(model)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(properties["classes"]) == list(shapes.CLASSES)
    assert properties["input"] == "RGB pixels of 0 to 255"
    assert str(CHECKOUT) not in str(model)  # nothing of the machine that made it


@pytest.mark.slow
def test_the_command_prints_the_largest_difference(finished_run: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("export", str(finished_run), "--to", str(tmp_path / "n.onnx"))
    assert done.status == 0
    assert "largest difference from torch on 256 test images: " in done.out
    assert [path.name for path in tmp_path.iterdir()] == ["n.onnx"]


@pytest.mark.slow
def test_ranges_are_those_of_training_images_alone(
    exported: tuple[Path, float], finished_run: Path, tmp_path: Path
) -> None:
    dataset = SavedRun(finished_run).dataset()
    nothing = Split(dataset.test.images[:0], dataset.test.labels[:0])
    file = tmp_path / "network.onnx"
    file.write_bytes(exported[0].read_bytes())
    whole, alone = (
        export.quantised(file, seen).read_bytes()
        for seen in (dataset, replace(dataset, validation=nothing, test=nothing))
    )
    assert whole == alone


@pytest.mark.slow
def test_a_quantised_file_is_smaller_and_nearly_as_accurate(
    finished_run: Path, tmp_path: Path, cli: Cli
) -> None:
    done = cli("export", str(finished_run), "--to", str(tmp_path), "--int8")
    assert done.status == 0, done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.int8.onnx", "network.onnx"]
    float_line, int8_line = done.out.splitlines()[-4:-2]
    assert done.out.endswith("\nthe synthetic data set never counts towards the target\n")
    accuracies = [float(line.split()[2].rstrip("%")) for line in (float_line, int8_line)]
    assert abs(accuracies[0] - accuracies[1]) < 3
    model = onnx.load(tmp_path / "network.int8.onnx")
    filters = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4 and tensor.dims[0] > 1]
    kinds = {tensor.data_type for tensor in filters}
    assert kinds == {onnx.TensorProto.INT8}
    dataset = SavedRun(finished_run).dataset()
    accuracy, latency = export.accuracy_and_latency(tmp_path / "network.onnx", dataset)
    assert accuracy == summary_of(finished_run)["test_accuracy"]
    assert latency > 0


@pytest.mark.parametrize("difference", [1.1e-4, float("nan")])
def test_a_difference_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, difference: float, cli: Cli
) -> None:
    (tmp_path / "network.onnx").touch()
    monkeypatch.setattr(export, "export", lambda *_: (tmp_path / "network.onnx", difference))
    done = cli("export", str(tmp_path))
    assert (done.status, done.err) == (1, "the difference is over 0.0001: do not deploy this file\n")


def test_what_differs_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check compares what the file says with what torch says: another network is found out."""
    import torch

    class Session:
        def __init__(self, *_: object, **__: object) -> None: ...

        def run(self, _: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [inputs["pixels"].mean((2, 3)) + (0.5 if len(inputs["pixels"]) > 7 else 0)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    (tmp_path / "file").touch()
    images = np.random.default_rng(0).random((20, 3, 32, 32), np.float32)

    def network(x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))

    assert export.largest_difference(network, tmp_path / "file", images) == pytest.approx(0.5, abs=1e-4)


def test_a_missing_package_says_what_to_type(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.setattr(export, "NEEDED", ("json", "a_package_that_nobody_has"))
    done = cli("export", str(finished_run))
    assert done.status == 2
    assert done.err == f"export: a_package_that_nobody_has is not installed; type {install('onnx')}\n"


def test_an_unfinished_run_is_refused(tmp_path: Path, cli: Cli) -> None:
    done = cli("export", str(tmp_path))
    assert done.status == 2
    assert "holds no finished run" in done.err
    assert not RunFolder(tmp_path).onnx.exists()


def test_a_name_without_an_ending_is_a_folder(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_write", lambda _, path, __: path.touch())
    monkeypatch.setattr(export, "largest_difference", lambda *_: 0.0)
    path, _ = export.export(finished_run, tmp_path / "new")
    assert path == tmp_path / "new" / "network.onnx"
    assert path.is_file()
    with pytest.raises(ConfigError, match=r"^--to: '.*network\.onnx' is no folder; name another place$"):
        export.export(finished_run, path / "below")


@pytest.mark.parametrize("to", ["summary.json", "checkpoints/weights.safetensors", "new.bin"])
def test_no_file_of_another_kind_is_written_over(
    finished_run: Path, tmp_path: Path, cli: Cli, to: str
) -> None:
    shutil.copytree(finished_run, tmp_path / "run")
    file = tmp_path / "run" / to
    before = file.read_bytes() if file.exists() else None
    done = cli("export", str(tmp_path / "run"), "--to", str(file))
    said = f"--to: expected a folder or a file that ends in .onnx, got {str(file)!r}; name one\n"
    assert (done.status, done.out, done.err) == (2, "", said)
    assert (file.read_bytes() if file.exists() else None) == before
