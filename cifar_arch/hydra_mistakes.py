"""What Hydra says of a mistake, in several lines -> one sentence that says what to type. No Hydra."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from cifar_arch.schema import install
from cifar_arch.shown_commands import relative_to
from cifar_arch.spec import STAGES, TRANSITIONS


def known_mistake(text: str) -> str | None:
    """The sentence for one of the mistakes that are known; None for others."""
    for pattern, explain in _EXPLAINED:
        if match := re.search(pattern, text, re.DOTALL):
            return explain(*match.groups())
    return None


def joined(text: str) -> str:
    """The lines that say something, as one."""
    text = re.sub(r'\w+ raised while resolving interpolation: "?(.*?)"?$', r"\1", text, flags=re.MULTILINE)
    noise = ("See https://", "Alias expansion", "object_type=", "reference_type=", "full_key:", "'")
    lines = [line.strip() for line in text.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(noise))


def unknown_key(key: str, config: Mapping[str, Any], aliases: Iterable[str]) -> str:
    """The sentence about a key that a whole config lacks; it names those beside it."""
    parent, _, name = key.rpartition(".")
    while parent and not isinstance(_at(config, parent), Mapping):
        parent, _, name = parent.rpartition(".")
    beside = _at(config, parent) if parent else [*(n for n in config if n != "hydra"), *aliases]
    prefix = f"{parent}." if parent else ""
    names = [str(name) for name in beside if not str(name).startswith("_")]
    close = [name] if parent and name in config else []  # hydra.sweeper.n_trials, as the stock sweeper has it
    parts = {part: node for part, node in config.items() if isinstance(node, Mapping)}
    close += [f"{part}.{name}" for part, node in parts.items() if name in node and part != "downsample"]
    close += [prefix + n for n in difflib.get_close_matches(name, names, 1)]
    rest = key[len(prefix + name) :] if close and isinstance(_at(config, close[0]), Mapping) else ""
    if rest and _at(config, close[0] + rest) is None:  # c1.layer
        return f"{key}: {unknown_key(close[0] + rest, config, aliases).partition(': ')[2]}"
    hint = f", did you mean {close[0] + rest!r}?" if close else ";"
    return f"{key}: unknown key{hint} choose from {', '.join(prefix + n for n in sorted(names))}"


def _at(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = config.get(name) if isinstance(config, Mapping) else None
    return config


def unknown_option(key: str, group: str, option: str, names: str) -> str:
    """The sentence about an option that is in no folder, where `names` are."""
    if option.endswith(".yaml"):
        return _path_for_option(key, group, Path(option))
    if group == "hydra/launcher" and option in _EXTRAS:
        missing = f"needs a package that is not installed, got {option}; type {install(_EXTRAS[option])}"
        return f"{key}: {missing}, or choose from {names}"
    of_study = re.fullmatch(r"experiment/(best|winner|trial-\d+)", f"{group}/{option}")
    elsewhere = of_study and not re.search("best|winner|trial-|;", names)  # no such folder was named
    there = "; or name the folder of a study, --config-dir outputs/sweeps/STUDY" if elsewhere else ""
    return f"{key}: unknown option {option!r}; choose from {names}{there}"


def _path_for_option(key: str, group: str, path: Path) -> str:
    """The sentence about the path of a file where the name of an option is expected."""
    within = path.parent.name == group
    folder = str(path.parent.parent) if within else f"FOLDER that holds {group}/{path.name}"
    return (
        f"{key}: expected the name of an option, got the path {path}; "
        f"type {key}={path.stem} with --config-dir {folder}"
    )


def wrong_ending(folders: Iterable[Path]) -> str:
    """The sentence for a file that Hydra stumbles over wherever it lists one of these folders."""
    for file in (file for folder in folders for file in sorted(folder.glob("*.yml"))):
        return f"{shown(file)}: the name of a config ends in .yaml; name it {file.stem}.yaml"
    return "--config-dir: the name of a config ends in .yaml, got one in .yml; rename it"


def not_utf8(folders: Iterable[Path]) -> str:
    """The sentence for a file in another encoding, somewhere below these folders."""
    for file in (file for folder in folders for file in sorted(folder.rglob("*.yaml"))):
        try:
            file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            return f"{shown(file)}: expected UTF-8, got {error.object[error.start :][:1]!r}; save it as UTF-8"
    return "--config-dir: expected files in UTF-8, got one in another encoding; save it as UTF-8"


def shown(path: Path) -> str:
    """The path as one types it here."""
    return relative_to(path, Path.cwd())


def needs_quotes(override: str) -> str:
    """The sentence about a sweep within fields, where Hydra takes it as a text alone."""
    key, _, value = override.partition("=")
    name = key.lstrip("+")
    if name != "hydra.sweeper.params":
        return f"{name}: cannot hold a sweep within fields, got {value}; type single keys, {name}.KEY=VALUES"
    quoted = re.sub(r"\w+\(([^()]|\([^()]*\))*\)", r'"\g<0>"', value)
    return f"{name}: a sweep within fields needs quotes, got {value}; type {quote(f'{key}={quoted}')}"


def no_plugin(kind: str) -> str:
    """The sentence for a launcher or a sweeper that is switched off."""
    return f"hydra.{kind}: expected the options of a {kind}, got null; leave it out"


def _unread(override: str) -> str:
    if override.endswith(","):
        return f"{override!r}: ends in a comma; type values without spaces between them, width=8,10"
    if (apart := re.sub(r",(?=[\w@.]+=)", " ", override)) != override:
        return f"{override!r}: cannot be read; type {apart} with a space between two keys"
    key, equals, value = override.partition("=" if "=" in override else ":")
    tight = f"{key.strip()}={value.lstrip('= ')}"  # width = 8, width==8, or width:8
    plain = re.fullmatch(r"(?!\w+\()[^'\"\\$\[\]{}]+", value)
    if equals and tight != override and re.fullmatch(r"[\w@.]+=[\w@.,=-]+", tight):
        example = tight
    else:
        example = quote(f'{key}="{value}"') if equals and plain else "key=value"
    return f"{override!r}: cannot be read; type {example}, a value with ~, spaces or brackets in quotes"


def _several(override: str) -> str:
    key, _, values = override.partition("=")
    return (
        f"{key}: one value is expected, got {values}; choose one, "
        "or sweep over them with python -m cifar_arch.run -m"
    )


def _of_hydra(override: str) -> str:
    key, _, values = override.partition("=")
    return f"{key}: holds for a sweep as a whole, got {values}; choose one"


def _no_such_part(group: str, key: str) -> str:
    return (
        f"{key}: no {group} option can be chosen there in this model; "
        f"use {_PLACES[group]} of model=c1c2c3c4, or write a model of your own"
    )


def _no_group(key: str, group: str) -> str:
    place = key.partition("@")[2]
    kind = "downsample" if place.removeprefix("model.") in TRANSITIONS else "block"
    return f"{key}: unknown group {group!r}; type {kind}@{place}=OPTION"


def _not_yet(key: str, addition: str) -> str:
    return f"{key}: nothing is chosen by default; type {quote(addition)}"


def _there_already(key: str, override: str) -> str:
    return f"{key}: is there already; type {quote(override)} without the +"


def _chosen_already(key: str) -> str:
    return f"{key}: an option is chosen already; type {key}=OPTION without the +"


def _no_force(override: str) -> str:
    typed = override.lstrip("+")
    group = typed.partition("=")[0]
    by_default = group in _PARTS or "@" in group or "/" in group
    return (
        f"{group}: ++ is for single keys, got {override}; type {quote(typed if by_default else f'+{typed}')}"
    )


def _start_of_others(key: str) -> str:
    return f"{key}: other choices start from it, and nothing is chosen; type {key}=OPTION"


def _two_modes() -> str:
    return "--cfg and --info show what one command would run, got -m or another mode as well; leave that out"


def _no_earlier(file: str, choice: str, place: str) -> str:
    if not choice.startswith("/"):
        return f"{file}: a group in its defaults begins with /, got {choice}; write - override /{choice}"
    if place != choice.partition(":")[0].removeprefix("/"):
        if file.partition("/")[0] in _PARTS:  # which Hydra puts in their place
            return (
                f"{file}: sets fields of its own group alone, got - override {choice}; "
                "choose both in a file experiment/NAME.yaml"
            )
        return f"{file}: fills a package of its own; begin the file with the line # @package _global_"
    if place in ("sampler", "pruner"):
        return f"{file}: a {place} is chosen in full, got {choice}; write - override /hydra/sweeper{choice}"
    return f"{file}: nothing is chosen of {place} that it could override, got {choice}; write - {choice}"


def _no_list(file: str, kind: str) -> str:
    return f"{file}: defaults is a list, got {kind}; write defaults: [NAME, _self_]"


def _chosen_twice(group: str, option: str, file: str) -> str:
    if file == "command line":
        return _chosen_already(group)
    return f"{file}: an option of {group} is chosen before, got {option}; write - override /{group}: {option}"


def _no_folder(path: str) -> str:
    return f"hydra.searchpath: expected folders of configs, got {path}, which is none; name one that exists"


_EXTRAS = {"joblib": "joblib", "ray": "ray", "submitit_local": "slurm", "submitit_slurm": "slurm"}
_PARTS = ("model", "block", "downsample", "limits", "data", "augment", "training")
_PLACES = {"block": ", ".join(STAGES), "downsample": ", ".join(TRANSITIONS)}
_EXPLAINED: tuple[tuple[str, Callable[..., str]], ...] = (
    (r"Could not override '(block|downsample)@([^']+)'", _no_such_part),
    (r"Override \+*([^=]+)=.* but config group '([^']+)' does not exist", _no_group),
    (r"Could not override '([^']+)'\. No match.*default list use (\S+)", _not_yet),
    (r"An item is already at '([^']+)'.\s+Either remove \+ prefix: '(.+?)'\n", _there_already),
    (r"^Only one of --run, --multirun", _two_modes),
    (r"^provider=hydra\.searchpath.*, path=(.*) is not available", _no_folder),
    (r"^(\S+) appears more than once in the final defaults list", _chosen_already),
    (r"force-add of config groups is not supported: '(.+?)'(?=\s*Alias |$)", _no_force),
    (r"Error resolving interpolation '\$\{(\w+)\}', possible interpolation keys", _start_of_others),
    (r"Ambiguous value for argument '([^']+)'", _several),
    (r"Sweep parameters '([^']+)' requires", _several),
    (r"Sweeping over Hydra's configuration is not supported : '([^']+)'", _of_hydra),
    (r"Override alias '([^']+)' requires a value", _unread),
    (r"Error when parsing index: \d+, string: (.*) out of \[", _unread),
    (r"Hydra (launcher|sweeper) is not configured", no_plugin),
    (r"Invalid defaults list in '([^']+)', defaults must be a list \(got (\w+)\)", _no_list),
    (r"In '([^']+)': Invalid Defaults List override '([^']+)'.*Default for '([^']+)'", _no_earlier),
    (r"Multiple values for (\S+)\. To override.* choices: '([^']+)' from '([^']+)'", _chosen_twice),
)
