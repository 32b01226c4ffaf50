"""What to type: the commands that messages, summaries and cards name. No Hydra."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from cifar_arch.data import DataConfig, usual_root
from cifar_arch.record import Summary

_WORDS = {"null", "true", "false", "inf", "nan"}  # which Hydra does not read as text


def run_command(
    config_dir: Path | str, experiment: str, overrides: Sequence[str] = (), plugins: Sequence[str] = ()
) -> str:
    """What trains the config `experiment` of a folder; `plugins` are the Python files that it needs."""
    own = ["--config-dir", str(config_dir), *plugin_override(plugins)]
    return shlex.join(["python", "-m", "cifar_arch.run", *own, f"+experiment={experiment}", *overrides])


def exact_command(summary: Summary) -> str | None:
    """The command of a run with what `auto` came to, of what changes its numbers."""
    if summary.command is None:
        return None
    words = shlex.split(summary.command)
    came_to = {
        "training.threads": summary.threads,
        "training.precision": summary.precision,
        # On a GPU nothing is compiled but captured, which computes the same.
        "training.compile": "true" if summary.compiled and summary.device == "cpu" else None,
    }
    for key, value in came_to.items():
        if value is not None:
            words = [word for word in words if word.lstrip("+") != f"{key}=auto"]
            given = any(word.lstrip("+").startswith(f"{key}=") for word in words)
            words += [] if given else [f"{key}={value}"]
    return shlex.join(words)


def data_override(config: DataConfig) -> list[str]:
    """The word that names the folder of the images to `run`; none where that is the one of conf/data here."""
    known = config.synthetic or config.root == usual_root()
    return [] if known else [f"data.root={for_hydra(config.root)}"]


def plugin_override(files: Sequence[str]) -> list[str]:
    """The word that names the files of own blocks to `run`; none for none."""
    return [f"plugins=[{','.join(map(for_hydra, files))}]"] if files else []


def plugin_options(files: Sequence[str]) -> list[str]:
    """The words that name the files of own blocks to the other commands; none for none."""
    return [word for file in files for word in ("--plugin", file)]


def for_hydra(path: str) -> str:
    """The path in the quotes that Hydra's grammar asks for, where it does."""
    if re.fullmatch(r"([a-zA-Z/]|\.\.?/)[\w./-]*", path, re.ASCII) and path.lower() not in _WORDS:
        return path
    escaped = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + (found[2] and r"\""), path)
    return f'"{escaped}"'


def relative_to(folder: Path, cwd: Path) -> str:
    """The folder as one types it in `cwd`: relative where it lies below it."""
    folder = folder.resolve()
    return str(folder.relative_to(cwd) if folder.is_relative_to(cwd) else folder)
