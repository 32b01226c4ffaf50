"""A finished run folder as the commands that read one see it."""

import json
import re
import shutil
from typing import Any

import pytest
import torch
from conftest import Cli, tiny_config
from safetensors.torch import load_file, save_file

import cifar_arch
from cifar_arch.runfolder import RunFolder
from cifar_arch.saved import SavedRun
from cifar_arch.schema import ConfigError


def test_the_network_has_the_numbers_of_the_file(run: RunFolder) -> None:
    network, saved = SavedRun(run.path).network().state_dict(), load_file(run.weights)
    assert network.keys() == saved.keys()
    for name, tensor in saved.items():
        assert network[name].dtype == tensor.dtype, name
        assert torch.equal(network[name], tensor), name
    assert not torch.equal(saved["network.c1_1.norm1.weight"], torch.ones(4))


def test_load_network_asks_for_the_import_of_an_own_block(run: RunFolder) -> None:
    saved = json.loads(run.architecture.read_text(encoding="utf-8"))
    saved["spec"]["c2"] = {"kind": "ghost"}
    run.architecture.write_text(json.dumps(saved), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"kind 'ghost'; .* of your own needs its file, import it first$"):
        cifar_arch.load_network(run.path)


def test_load_network_takes_pixels_of_any_type(run: RunFolder) -> None:
    network = cifar_arch.load_network(run.path)
    pixels = SavedRun(run.path).dataset().test.images[:4].transpose(0, 3, 1, 2)
    with torch.inference_mode():
        logits = network(torch.from_numpy(pixels))
        torch.testing.assert_close(network(torch.from_numpy(pixels).float()), logits)
    assert logits.shape == (4, 10)
    assert not network.training


def test_the_folder_of_the_data_is_that_of_the_run_or_of_this_machine(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIFAR_ARCH_DATA", "here")
    assert SavedRun(run.path).data_config().root == "here"
    assert SavedRun(run.path).data_config("there").root == "there"
    record = run.read_json(run.summary)
    assert "data.root" not in record["config"]  # as in a published folder
    record["config"]["data.root"] = "its own"
    run.write_json(run.summary, record)
    assert SavedRun(run.path).data_config().root == "its own"


@pytest.mark.parametrize("typed", [("evaluate",), ("card", "--to", "card")])
def test_generated_images_have_no_folder(typed: tuple[str, ...], run: RunFolder, cli: Cli) -> None:
    run.write_json(run.config, tiny_config())  # which `card` reads
    done = cli(*typed, str(run.path), "--data", "/nonexistent")
    assert (done.status, done.err) == (
        2,
        "--data: has no effect on a run on shapes, whose images are generated, got '/nonexistent'; "
        "leave it out\n",
    )


def damaged(run: RunFolder, damage: str) -> None:
    """Does to the folder what `damage` says: the name of a file is one that goes missing."""
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
            run.summary.write_text("{", encoding="utf-8")
        case "damaged spec" | "an own block":
            saved = json.loads(run.architecture.read_bytes())
            wrong: dict[str, Any] = (
                {"width": "wide"} if damage == "damaged spec" else {"c1": {"kind": "ghost"}}
            )
            saved["spec"].update(wrong)
            run.architecture.write_text(json.dumps(saved), encoding="utf-8")
        case "another activation":
            saved = json.loads(run.architecture.read_bytes())
            saved["spec"]["activation"] = "gelu"
            run.write_json(run.architecture, saved)
        case "a flipped bit" | "a run of the command line":
            if damage != "a flipped bit":
                run.write_json(run.config, {})  # which can be resumed
            whole = run.weights.read_bytes()
            run.weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        case "a run that failed" | "a rejected run":
            status = damage.split()[-1] if damage.endswith("failed") else "rejected"
            run.write_json(run.summary, {**run.read_json(run.summary), "status": status})
            if status == "rejected":
                run.weights.unlink()
        case "no data set" | "another data set":
            data = None if damage == "no data set" else "cifar10"
            run.write_json(run.summary, {**run.read_json(run.summary), "data": data})
        case name:
            next(run.path.rglob(name)).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no folder", "is no folder; name the folder of a run, such as one under outputs/runs"),
        ("architecture.json", "holds no finished run (architecture.json is missing)"),
        ("summary.json", "holds no finished run (summary.json is missing)"),
        ("weights.safetensors", "holds no finished run (checkpoints/weights.safetensors is missing)"),
        ("truncated weights", "are damaged or of another architecture"),
        ("empty weights", "are damaged or of another architecture"),
        ("other weights", "are damaged or of another architecture"),
        ("damaged summary", "summary.json' is damaged"),
        ("damaged spec", "model.width: "),
        ("an own block", "model.c1.kind: unknown kind 'ghost'; choose from plain, "),
        (
            "a flipped bit",
            "(they are not those that the run wrote); put them back, or train the network again",
        ),
        (
            "a run of the command line",
            "(they are not those that the run wrote); type python -m cifar_arch.run ",
        ),
        ("another activation", "architecture.json' is of another network than the run's summary.json"),
        ("a run that failed", "holds no finished run (its summary.json says failed)"),
        ("a rejected run", "holds no finished run (its summary.json says rejected)"),
        ("no data set", "does not say which data set the run had (data is None, data.name is shapes)"),
        ("another data set", "which data set the run had (data is cifar10, data.name is shapes)"),
    ],
)
def test_any_other_folder_is_refused_in_one_sentence(
    run: RunFolder, damage: str, message: str, cli: Cli
) -> None:
    damaged(run, damage)
    done = cli("evaluate", str(run.path))
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert message in done.err
    if "data set" not in damage:
        with pytest.raises(ConfigError, match=re.escape(message)):
            cifar_arch.load_network(run.path)


def test_weights_of_a_version_without_digest_are_read(run: RunFolder) -> None:
    run.write_json(run.summary, {**run.read_json(run.summary), "weights_sha256": None})
    summary = run.read_summary()
    assert summary
    network = cifar_arch.load_network(run.path)
    assert sum(parameter.numel() for parameter in network.parameters()) == summary.params
