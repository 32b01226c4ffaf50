import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import CIFAR10
from filelock import FileLock
from torchvision import datasets

from cifar_arch import cifar10
from cifar_arch.data import DataConfig, load
from cifar_arch.schema import ConfigError


@pytest.mark.slow
@pytest.mark.cifar10
def test_cifar10_as_published_split_45000_5000_10000() -> None:
    dataset = load(DataConfig(root=str(CIFAR10)))
    for part, a_class in ((dataset.train, 4500), (dataset.validation, 500), (dataset.test, 1000)):
        assert part.images.shape == (10 * a_class, 32, 32, 3)
        assert part.images.dtype == np.uint8
        assert np.bincount(part.labels).tolist() == [a_class] * 10
    exact = dataset.train.images.reshape(-1, 3).astype(np.float64)
    assert dataset.mean == pytest.approx(exact.mean(0), abs=1e-6)
    assert dataset.std == pytest.approx(exact.std(0), abs=1e-6)
    theirs = datasets.CIFAR10(str(CIFAR10), train=False)
    assert dataset.classes == tuple(theirs.classes)
    assert (dataset.test.images == theirs.data).all()
    assert dataset.test.labels.tolist() == theirs.targets
    assert all(part.images.flags.c_contiguous for part in (dataset.train, dataset.test))


def test_the_checksums_are_those_that_torchvision_knows() -> None:
    published = [*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list]
    assert list(cifar10.FILES.items()) == [tuple(pair) for pair in published]


@pytest.mark.cifar10
@pytest.mark.parametrize("state", ["damaged", "missing"])
def test_a_bad_file_is_named(tmp_path: Path, state: str) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in (CIFAR10 / "cifar-10-batches-py").iterdir():
        (folder / file.name).symlink_to(file)
    bad = folder / "data_batch_2"
    bad.unlink()
    if state == "damaged":
        bad.write_bytes((CIFAR10 / "cifar-10-batches-py" / bad.name).read_bytes()[:-1])
    with pytest.raises(ConfigError, match=rf"data\.root: '.*data_batch_2' is {state}.*; remove '.*py' and"):
        load(DataConfig(root=str(tmp_path)))


def test_a_failed_download_says_what_to_type_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(ConfigError, match=r"data\.root: no CIFAR-10 in .*data\.root=FOLDER.* data=shapes"):
        load(DataConfig(root=str(tmp_path / "new" / "deep")))
    with pytest.raises(
        ConfigError,
        match=r"^--data: no CIFAR-10 in .*put .* there, or name its parent with "
        "--data FOLDER$",
    ):
        load(DataConfig(root=str(tmp_path / "new")), "--data")
    assert not any(tmp_path.iterdir())


THEMSELVES = {
    ("data.root", "cifar-10-batches-py"): "type data.root={}",
    ("--data", "cifar-10-batches-py"): "type --data {}",
    ("--data", "images"): "call it cifar-10-batches-py, and type --data {}",
}


@pytest.mark.parametrize(("typed", "advice"), THEMSELVES.items())
def test_the_folder_of_the_files_themselves_is_not_downloaded_into(
    typed: tuple[str, str], advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    option, name = typed
    (folder := tmp_path / name).mkdir()
    (folder / "data_batch_1").touch()
    monkeypatch.chdir(folder)
    for root in (str(folder), "."):
        with pytest.raises(ConfigError) as error:
            load(DataConfig(root=root), option)
        assert str(error.value) == (
            f"{option}: expected the folder above cifar-10-batches-py, got {root!r}, which holds its files; "
            + advice.format(tmp_path)
        )
    assert os.listdir(folder) == ["data_batch_1"]


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "DOWNLOAD_PATIENCE", 0.2)
    (tmp_path / "own.txt").touch()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/cifar-10-python.tar.gz"
        monkeypatch.setattr(datasets.CIFAR10, "url", url)
        with pytest.raises(ConfigError, match="timed out"):
            load(DataConfig(root=str(tmp_path)))
    assert os.listdir(tmp_path) == ["own.txt"]
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize("root", ["file", "file/below"])
def test_a_root_that_is_no_folder_is_refused(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"data\.root: no CIFAR-10 in"):
        load(DataConfig(root=str(tmp_path / root)))
    assert (tmp_path / "file").is_file()


@pytest.mark.slow
@pytest.mark.cifar10
def test_what_another_process_is_unpacking_is_waited_for(tmp_path: Path) -> None:
    (folder := tmp_path / cifar10.FOLDER).mkdir()
    files = sorted((CIFAR10 / cifar10.FOLDER).iterdir())
    with ThreadPoolExecutor(1) as pool:
        with FileLock(tmp_path / cifar10.LOCK):
            found = pool.submit(cifar10.read, tmp_path)
            for file in files:
                assert not found.done()
                (folder / file.name).symlink_to(file)
                time.sleep(0.05)
        (images, _), _ = found.result()
    assert len(images) == 50_000
