"""The config in a run folder's .hydra/, whoever made the folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_config
from hydra import compose as hydra_compose

from cifar_arch.compose import compose, composing, plain
from cifar_arch.experiment import Experiment
from cifar_arch.overrides import CONF, expanded
from cifar_arch.provenance import flatten
from cifar_arch.record import decides_search, with_added
from cifar_arch.runfolder import RunFolder
from cifar_arch.saved_config import began_with, command, copy_own_options, experiment_text, saved_config
from cifar_arch.schema import ConfigError


def folder_with(path: Path, recorded: dict[str, Any] | None = None, **changes: Any) -> RunFolder:
    """A folder with a saved config, and perhaps one on record."""
    folder = RunFolder(path)
    folder.write_json(folder.config, tiny_config(**changes))  # JSON is YAML as well
    if recorded is not None:
        folder.write_json(folder.experiment, Experiment.from_dict(recorded).to_dict())
    return folder


def test_a_config_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert dict(flatten(saved_config(folder_with(tmp_path)))) == with_added(dict(flatten(tiny_config())))


def test_what_an_earlier_version_did_not_know_is_as_it_was_then(tmp_path: Path) -> None:
    config = tiny_config()
    del config["training"]["precision"], config["augment"]["backend"]
    folder = folder_with(tmp_path)
    folder.write_json(folder.config, config)
    found = saved_config(folder)
    assert found["training"]["precision"] == "float32"
    assert found["augment"]["backend"] == "albumentations"


LOOKED_UP: dict[str, tuple[dict[str, Any], str, Any]] = {
    "our own": ({"data": {"root": "${oc.env:CIFAR_ARCH_DATA,data}"}}, "data.root", "here"),
    "another key": ({"data": {"split_seed": "${seed}"}}, "data.split_seed", 0),
    "on record": ({"data": {"root": "${oc.env:SECRET}"}}, "data.root", "there"),
    "of no use to the run": ({"study": "${oc.env:SECRET}"}, "study", "***"),
    "through another key": ({"study": "${storage}", "storage": "${oc.env:SECRET}"}, "study", "***"),
    "with a default": ({"storage": "a${oc.env:NONE,${oc.env:SECRET}}"}, "storage", "***"),
    "in a list": ({"objectives": ["${oc.decode:${oc.env:SECRET}}"]}, "objectives", "***"),
}


@pytest.mark.parametrize(("changes", "key", "value"), LOOKED_UP.values(), ids=LOOKED_UP)
def test_nothing_of_this_machine_is_looked_up_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], key: str, value: Any
) -> None:
    monkeypatch.setenv("SECRET", "unheard of")
    monkeypatch.setenv("CIFAR_ARCH_DATA", "here")
    found = saved_config(folder_with(tmp_path, tiny_config(data={"root": "there"}), **changes))
    assert dict(flatten(found))[key] == value
    assert "unheard of" not in json.dumps(found)


ASKING = ["${oc.env:SECRET}", "${ oc.env:SECRET }", "${oc.env:NONE,1}", "\\${oc.env:SECRET}", "${now:%Y}"]


@pytest.mark.parametrize("text", ASKING)
def test_what_the_run_needs_and_is_not_on_record_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        saved_config(folder_with(tmp_path, data={"root": text}))
    assert f"data.root is {text}, an interpolation, which is not resolved here; write its value there" in str(
        raised.value
    )


def test_a_record_that_asks_is_refused_as_well(tmp_path: Path) -> None:
    recorded = tiny_config(data={"root": "${oc.env:SECRET}"})
    with pytest.raises(ConfigError, match="is not resolved here"):
        saved_config(folder_with(tmp_path, recorded, data={"root": "${oc.env:SECRET}"}))


NOT_OURS: dict[str, tuple[bytes, str]] = {
    "no UTF-8": (b"a: \xff", "'utf-8' codec can't decode|invalid start byte|unacceptable"),
    "a list": (b"[1, 2]", "keys with values are expected, got a list"),
    "a number": (b"7", "Invalid loaded object type: int"),
    "no YAML": (b"a: [", "while parsing"),
    "a missing value": (b"study: '???'", "Missing mandatory value: study"),
    "a key that is not there": (b"study: ${nowhere}", "Interpolation key 'nowhere' not found"),
    "an unfinished interpolation": (b"study: ${", "study: no viable alternative"),
    "nested too deep": (b"[" * 900, "nested deeper than 50"),
    "aliases": (b"a: &x [1]\nb: *x", "it has aliases"),
    "a Python object": (b"a: !!python/object/apply:os.system ['ls']", "could not determine a constructor"),
}


@pytest.mark.parametrize(("content", "reason"), NOT_OURS.values(), ids=NOT_OURS)
def test_a_file_that_is_no_config_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    folder = folder_with(tmp_path)
    folder.config.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"config\.yaml' is not the config of a run \((.*{reason}.*)\)$"):
        saved_config(folder)


def test_it_is_asked_for_where_nothing_else_is_on_record(tmp_path: Path) -> None:
    assert began_with(RunFolder(tmp_path / "none")) is None
    assert began_with(folder_with(tmp_path / "old")) == with_added(dict(flatten(tiny_config())))
    assert began_with(folder_with(tmp_path / "new", tiny_config())) is None


COMMANDS = {
    "as it was typed": ("out", ["width=8", "model.depth=[1,1,2,1]"], "width=8 'model.depth=[1,1,2,1]'"),
    "into another folder": ("out", ["hydra.run.dir=out", "seed=1"], "seed=1"),
    "without a secret": ("out", ["storage=mysql://me:secret@host"], "'storage=mysql://me:***@host'"),
    "a trial": ("s/7", ["width=8", "trial.number=7"], "--config-dir s +experiment=trial-7"),
    "of own blocks": (
        "s/7",
        ["plugins=[my.py]", "c4=mine", "trial.number=7"],
        "--config-dir s 'plugins=[my.py]' +experiment=trial-7",
    ),
}


@pytest.mark.parametrize(("place", "typed", "words"), COMMANDS.values(), ids=COMMANDS)
def test_the_command_that_trains_the_same_once_more(
    tmp_path: Path, place: str, typed: list[str], words: str
) -> None:
    plugins = [text[len("plugins=[") : -1] for text in typed if text.startswith("plugins=")]
    folder = folder_with(tmp_path / place, plugins=plugins)
    write_hydras_own(folder, typed, [str(CONF)])
    assert command(folder, tmp_path) == f"python -m cifar_arch.run {words}"


def test_the_command_names_the_own_configs_it_was_typed_with(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "out")
    write_hydras_own(folder, ["c4=mine"], [str(CONF), str(tmp_path / "my conf")])
    expected = "python -m cifar_arch.run --config-dir 'my conf' c4=mine"
    assert command(folder, tmp_path) == expected


def test_the_command_names_the_config_it_was_composed_from(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "out")
    write_hydras_own(folder, ["seed=7"], [str(CONF), str(tmp_path / "own")], primary="mine")
    assert command(folder, tmp_path) == (
        "python -m cifar_arch.run --config-dir own --config-name mine seed=7"
    )


DEEP = pytest.param("[" * 99_999, id="nested too deep")


@pytest.mark.parametrize("content", [None, "", "[", "- [1]", "a: 1", DEEP, b"\xff"])
@pytest.mark.parametrize("name", ["overrides.yaml", "hydra.yaml"])
def test_no_command_where_hydra_left_no_word(tmp_path: Path, name: str, content: str | bytes | None) -> None:
    folder = folder_with(tmp_path)
    write_hydras_own(folder, [], [])
    file = folder.config.with_name(name)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert command(folder, tmp_path) is None


def write_hydras_own(
    folder: RunFolder, typed: list[str], sources: list[str], primary: str = "config"
) -> None:
    """What Hydra writes beside the config."""
    found = [{"path": "hydra.conf", "schema": "pkg", "provider": "hydra"}]
    found += [{"path": path, "schema": "file", "provider": "main"} for path in sources]
    hydra = {"runtime": {"config_sources": found}, "job": {"config_name": primary}}
    folder.write_json(folder.hydra, {"hydra": hydra})
    file = folder.overrides
    file.write_text(json.dumps(typed), encoding="utf-8")


OWN = {
    "augmentation/strong.yaml": "grayscale: {p: 0.5}\n",
    "block/separable.yaml": "kind: plain\nlayers: 2\nresidual: false\n",  # of ours, another of that name
    "block/deep.yaml": "defaults: [thin]\nlayers: 3\n",
    "block/thin.yaml": "kind: plain\nresidual: false\n",
    "search/mine.yaml": "# @package _global_\nlimits: {params_below: 300000}\n",
}


def decided(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flatten(config) if decides_search(key)}


@pytest.mark.parametrize(
    "fixed", [["+augmentation@augment=strong"], ["c4=separable"], ["c3=deep"], ["+search=mine"]]
)
def test_options_of_ones_own_are_found_again(fixed: list[str], tmp_path: Path) -> None:
    for name, text in OWN.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(text, encoding="utf-8")
    path = tmp_path / "sweep" / "experiment" / "best.yaml"
    path.parent.mkdir(parents=True)
    with composing(str(tmp_path / "own")):
        composed = hydra_compose(
            "config", [*map(expanded, fixed), "model.width=12", "seed=3"], return_hydra_config=True
        )
        path.write_text(
            experiment_text(composed, composed.hydra, tmp_path / "sweep", "best"), encoding="utf-8"
        )
        for _ in range(2):  # as a sweep that goes on
            copy_own_options(composed.hydra, tmp_path / "sweep")
    again = compose(["+experiment=best"], str(tmp_path / "sweep"))
    assert decided(again) == decided(plain(composed))
