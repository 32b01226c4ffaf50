"""CIFAR-10 as published: its files, verified, downloaded where they are missing."""

import contextlib
import hashlib
import pickle
import socket
from pathlib import Path
from shlex import quote

import numpy as np
from filelock import FileLock

from cifar_arch.schema import ConfigError

CLASSES: tuple[str, ...] = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
FOLDER = "cifar-10-batches-py"
FILES = {  # with the MD5 of each, as published
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
LOCK = ".cifar10.lock"  # held while it is downloaded and unpacked
DOWNLOAD_PATIENCE = 20.0  # seconds without an answer


def read(root: Path, option: str = "data.root") -> list[tuple[np.ndarray, np.ndarray]]:
    """The training and the test set: images (N, 32, 32, 3) uint8 with labels (N,) int64.

    `root` holds, or will hold, cifar-10-batches-py; `option` is what names it where the command is typed.
    Raises ConfigError for files that are damaged, and where they can neither be found nor downloaded.
    """
    if (lock := root / LOCK).exists():  # another process may be about to unpack it
        with contextlib.suppress(OSError), FileLock(lock):
            pass
    if not (root / FOLDER).exists():
        _require_parent(root, option)
        _download(root, option)
    *train, test = [_verified(root / FOLDER / name, md5, option) for name, md5 in FILES.items()]
    images, labels = map(np.concatenate, zip(*train, strict=True))
    return [(images, labels), test]


def _require_parent(root: Path, option: str) -> None:
    """Raises ConfigError where `root` holds the files themselves: they would be downloaded once more."""
    if any((root / name).is_file() for name in FILES):
        folder = root.absolute()
        renamed = "" if folder.name == FOLDER else f"call it {FOLDER}, and "
        raise ConfigError(
            f"{option}: expected the folder above {FOLDER}, got {str(root)!r}, which holds its files; "
            f"{renamed}type {_named(option, str(folder.parent))}"
        )


def _named(option: str, folder: str) -> str:
    """The words that name a folder: data.root=FOLDER, or --data FOLDER."""
    return f"{option} {quote(folder)}" if option.startswith("-") else quote(f"{option}={folder}")


def _verified(file: Path, md5: str, option: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a published file. Raises ConfigError for any other content.

    Not through torchvision, whose import takes longer than to read all files.
    """
    content = file.read_bytes() if file.exists() else b""
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        state = "damaged (its checksum differs)" if file.exists() else "missing"
        raise ConfigError(
            f"{option}: {str(file)!r} is {state}; remove {str(file.parent)!r} and run again to download it"
        )
    batch = pickle.loads(content, encoding="latin1")  # the published file, and no other
    images = batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.asarray(batch["labels"], np.int64)


def _download(root: Path, option: str) -> None:
    """Fetches CIFAR-10 into `root`, or leaves everything as it was and raises ConfigError."""
    from torchvision.datasets import CIFAR10

    lock, archive = root / LOCK, root / CIFAR10.filename
    made = [path for path in (lock, archive, root, *root.parents) if not path.exists()]
    waited = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_PATIENCE)  # else a network that swallows packets hangs the run
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):  # workers of one sweep must not download twice
            if not (root / CIFAR10.base_folder).exists():
                CIFAR10(str(root), download=True)
    except Exception as error:  # network, disk, permissions: in any case the user has to bring the data
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        named = f"name its parent with {_named(option, 'FOLDER')}"
        advice = f", {named}, or train on the synthetic data set with data=shapes"
        if option != "data.root":  # of a run, whose data set stands
            advice = f", or {named}"
        raise ConfigError(
            f"{option}: no CIFAR-10 in {str(root)!r} and it could not be downloaded ({error}); "
            f"put {FOLDER} there{advice}"
        ) from error
    finally:
        socket.setdefaulttimeout(waited)
