""".hydra/ of a run folder -> its plain config again, whoever made the folder; and the command that did."""

import io
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from omegaconf import DictConfig, OmegaConf

from cifar_arch.compose import COMPOSITION_ERRORS, hydra_message, plain
from cifar_arch.config import Experiment
from cifar_arch.identity import recorded_config
from cifar_arch.outputs import experiment_name
from cifar_arch.overrides import CONF, config_groups, default_groups
from cifar_arch.plugins import plugin_paths
from cifar_arch.provenance import flatten, masked, nested
from cifar_arch.record import ADDED, decides_search
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError, first_line
from cifar_arch.shown_commands import relative_to, run_command

T = TypeVar("T")

DEEPEST = 50  # nesting of a config
LOADER = getattr(yaml, "CLoader", yaml.Loader)  # libyaml's, ten times as fast, where it was built in
OURS = {"data.root": "${oc.env:CIFAR_ARCH_DATA,data}"}  # what conf/data asks of the environment


def saved_config(folder: RunFolder) -> dict[str, Any]:
    """The config that the run was started with.

    Of this machine's environment only CIFAR_ARCH_DATA is read, so that a folder from elsewhere brings no
    secret of this machine into its record: whatever else the file asks for has the value that it had in
    the run, or *** where the run does not use it. Raises ConfigError where neither will do, and for a
    file that is no config.
    """
    try:
        content = folder.config.read_bytes()
        _require_small_depth(content)
        loaded = OmegaConf.load(io.StringIO(content.decode()))
        if not isinstance(loaded, DictConfig):
            raise ConfigError("keys with values are expected, got a list")
        known = recorded_config(folder) or {}
        for key in _outer_interpolations(loaded):
            if key in known or key.partition(".")[0] not in Experiment.__struct_fields__:
                OmegaConf.update(loaded, key, known.get(key, "***"))
        for key, value in ADDED.items():
            if OmegaConf.select(loaded, key) is None:
                OmegaConf.update(loaded, key, value)
        for key, text in _outer_interpolations(loaded).items():
            raise ConfigError(
                f"{key} is {text}, an interpolation, which is not resolved here; write its value there"
            )
        return plain(loaded)
    except FileNotFoundError:
        raise ConfigError(
            f"run: {str(folder.path)!r} has no {folder.config.relative_to(folder.path)}, as a card has none; "
            "name a folder in which python -m cifar_arch.run trained"
        ) from None
    except Exception as error:  # PyYAML and OmegaConf have many kinds for what is not theirs
        text = hydra_message(error) if isinstance(error, COMPOSITION_ERRORS) else str(error)
        reason = text.partition("\n")[0] or type(error).__name__
        raise ConfigError(f"run: {str(folder.config)!r} is not the config of a run ({reason})") from error


def _require_small_depth(content: bytes) -> None:
    """Raises ConfigError for what would take libyaml's whole stack, or all of the memory."""
    depth = 0
    for event in yaml.parse(content, Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST or isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"it has aliases, or is nested deeper than {DEEPEST}, as no config is")


def began_with(folder: RunFolder) -> dict[str, Any] | None:
    """The flattened config of a folder that has it in .hydra/ alone; None of any other."""
    if recorded_config(folder) is not None or not folder.config.is_file():
        return None
    return dict(flatten(saved_config(folder)))


def saved_composition(folder: RunFolder) -> DictConfig:
    """The saved config, and in its node `hydra` the options that Hydra chose, as `experiment_text` takes it.

    Raises ConfigError for a folder that Hydra did not make.
    """
    config = saved_config(folder)
    try:
        choices = _read(folder.hydra, dict[str, Any])["hydra"]["runtime"]["choices"]
    except (OSError, ConfigError, msgspec.MsgspecError, yaml.YAMLError, LookupError, TypeError) as error:
        raise ConfigError(
            f"run: {str(folder.hydra)!r} is not what Hydra wrote ({first_line(error)})"
        ) from error
    return OmegaConf.create({**config, "hydra": {"runtime": {"choices": choices}}})


def experiment_text(
    config: DictConfig,
    hydra: DictConfig,
    folder: Path,
    name: str,
    plugins: Sequence[str] = (),
    *,
    pin_seed: bool = True,
) -> str:
    """The text of a file experiment/NAME.yaml: `config` again, with `--config-dir FOLDER +experiment=NAME`.

    `hydra` is the node `hydra` that was composed with it, `plugins` are the Python files in its first line.

    Its groups are chosen again, so that no field of another choice is left over, and every value is
    written out, so that it does not change when the defaults do. `pin_seed`: no for a configuration
    that was chosen by its mean over several.
    """
    defaults: list[Any] = [{f"override /{group}": choice} for group, choice in _chosen(hydra)]
    values = _without_execution(plain(config))
    heading = f"# @package _global_\n# {run_command(folder, name, plugins=plugins)}\n"
    if not pin_seed:
        del values["seed"]
        heading += "# Chosen by its mean over several seeds, so that none is pinned: type seed=1.\n"
    return heading + OmegaConf.to_yaml(OmegaConf.create({"defaults": [*defaults, "_self_"], **values}))


def _chosen(hydra: DictConfig) -> list[tuple[str, str]]:
    """(group, option) of the groups that `+experiment=` can choose again: by default, or ours and placed.

    What another one sets, such as `+cluster=slurm`, says how a sweep runs, or is a value like any other.
    """
    choices = {str(group): choice for group, choice in hydra.runtime.choices.items()}
    known = [g for g in choices if g in default_groups() or ("@" in g and _unplaced(g) in config_groups())]
    return [(group, choices[group]) for group in known if choices[group] is not None]


def _unplaced(group: str) -> str:
    """The folder of a group's options: block of block@model.c1."""
    return group.partition("@")[0]


def copy_own_options(hydra: DictConfig, folder: Path) -> None:
    """Copies the options of a user's own that were chosen to `folder`, so that it is enough as --config-dir.

    With their groups as a whole, for an option may build upon others of its group.
    """
    places = [Path(source.path) for source in hydra.runtime.config_sources if source["schema"] == "file"]
    for group, choice in _chosen(hydra):
        name = _unplaced(group)
        found = (place for place in places if (place / name / f"{choice}.yaml").is_file())
        if (first := next(found, CONF)) != CONF and first.resolve() != folder.resolve():
            shutil.copytree(first / name, folder / name, dirs_exist_ok=True)


def write_own_options(config: DictConfig, folder: Path) -> None:
    """Writes the options of a user's own that were chosen to `folder`, each with the values that it has now.

    The files that they were composed from may say something else since, or hold what is nobody's business.
    """
    chosen = _chosen(config.hydra)
    for group, choice in chosen:
        name, _, placed = group.partition("@")
        package, file = placed or name, folder / name / f"{choice}.yaml"
        if file.exists() or (CONF / name / f"{choice}.yaml").is_file():
            continue
        values: Any = OmegaConf.to_container(OmegaConf.select(config, package))
        within = {other: c for other, c in chosen if other.partition("@")[2].startswith(f"{package}.")}
        defaults = [{f"/{other.replace(f'@{package}.', '@')}": c} for other, c in within.items()]
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = {"defaults": [*defaults, "_self_"], **_without_execution(values, f"{package}.")}
        file.write_text(OmegaConf.to_yaml(OmegaConf.create(kept)), encoding="utf-8")


def _without_execution(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = flatten(config, mask=False)
    return nested({key: value for key, value in flat if decides_search(prefix + key)})


def command(folder: RunFolder, typed_in: Path) -> str | None:
    """What to type in the folder `typed_in` to train the same once more, into another folder.

    A trial of a sweep is named by the file that the sweep leaves for it. None where Hydra left no word.
    """
    try:
        typed = _read(folder.overrides, list[str])
        hydra = _read(folder.hydra, dict[str, Any])["hydra"]
        runtime, primary = hydra["runtime"], hydra["job"]["config_name"]
        sources = [Path(s["path"]) for s in runtime["config_sources"] if s["schema"] == "file"]
        files = _read(folder.config, dict[str, Any]).get("plugins", [])
    except (OSError, ConfigError, msgspec.MsgspecError, yaml.YAMLError, LookupError, TypeError):
        return None
    if trial := next((text for text in typed if text.startswith("trial.number=")), None):
        sweep, name = folder.path.resolve().parent, experiment_name(trial.partition("=")[2])
        images = [masked(text) for text in typed if text.startswith("data.root=")]
        files = plugin_paths(files, {**runtime, "cwd": typed_in})
        return run_command(relative_to(sweep, typed_in), name, images, files)
    own = [place for place in sources if place != CONF]
    named = ["--config-name", primary] if primary not in ("config", None) else []
    typed = [masked(text) for text in typed if not text.startswith("hydra.run.dir=")]
    words = [word for place in own for word in ("--config-dir", relative_to(place, typed_in))]
    return shlex.join(["python", "-m", "cifar_arch.run", *words, *named, *typed])


def _read(file: Path, kind: type[T]) -> T:
    content = file.read_bytes()
    _require_small_depth(content)
    return msgspec.yaml.decode(content, type=kind)


def _outer_interpolations(config: DictConfig) -> dict[str, str]:
    """By key, the values with an interpolation of anything but another key, such as the environment."""
    values: Any = OmegaConf.to_container(config)
    texts = {key: str(value) for key, value in flatten(values, mask=False)}
    return {
        key: text
        for key, text in texts.items()
        if "${" in re.sub(r"\$\{[\w.]+\}", "", text) and OURS.get(key) != text
    }
