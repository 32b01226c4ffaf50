"""Where a run comes from: its flattened config without secrets, versions and commit. No torch."""

import functools
import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cifar_arch.schema import ConfigError

PACKAGES = ("torch", "torchvision", "albumentations", "hydra-core", "optuna", "numpy")
_NAMES = r"passw|passphrase|pwd|token|secret|credential|(?:api|access|private)_?key"
_SECRET = re.compile(_NAMES, re.IGNORECASE)
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_GIVEN = re.compile(rf"((?:^|[?&;\s])\w*(?:{_NAMES})\w*=)(?:{_QUOTED}|[^&;#\s]+)", re.IGNORECASE)


def provenance(config: dict[str, Any]) -> dict[str, Any]:
    """The flattened config without secrets, the versions and the commit that made a run."""
    return {
        "versions": _versions(),
        "git_commit": git_commit(),
        "config": dict(flatten(config)),
    }


@functools.cache
def _versions() -> dict[str, str]:
    """Of Python and of the packages that decide a result."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found}


def flatten(config: dict[Any, Any], prefix: str = "", *, mask: bool = True) -> Iterator[tuple[str, Any]]:
    """(full key, value) of every leaf, empty dicts too; with `mask`, passwords and tokens replaced by ***."""
    for name, value in ((str(name), value) for name, value in config.items()):  # {1: 2} in YAML
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value and not (mask and _SECRET.search(name)):
            yield from flatten(value, f"{key}.", mask=mask)
        else:
            yield key, _masked(name, value) if mask else value


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """What `flatten` was given. Raises ConfigError where a key is both a value and a part of another."""
    whole: dict[str, Any] = {}
    for key, value in flat.items():
        *path, name = key.split(".")
        place: Any = whole
        for step in path:
            place = place.setdefault(step, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise ConfigError(f"{key}: expected a part of a config, got a value")
        place[name] = value
    return whole


def _masked(name: str, value: Any) -> Any:
    if value is not None and _SECRET.search(name):
        return "***"
    if isinstance(value, list):
        return [_masked(name, item) for item in value]
    if isinstance(value, dict):  # within a list
        return {key: _masked(str(key), item) for key, item in value.items()}
    return masked(value) if isinstance(value, str) else value


def masked(text: str) -> str:
    """A text without the password of an address such as postgresql://user:password@host.

    Rather too much is hidden than too little: up to the last @, for a password may hold one.
    """
    text = re.sub(r"(://[^:/@\s]*):(?:\S+|[^/\n]+)@", r"\1:***@", text)
    text = re.sub(r"(https?://)[^:/@\s]+@", r"\1***@", text)  # a token in the place of a user
    return _GIVEN.sub(r"\1***", text)


def git_commit() -> str | None:
    """The commit of the checkout that this code runs from; None where it was installed."""
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        # An installed package may lie in an environment inside another project's checkout.
        subprocess.run([*git, "ls-files", "--error-unmatch", here.name], capture_output=True, check=True)
        command = [*git, "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
