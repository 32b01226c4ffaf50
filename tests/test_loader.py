import multiprocessing
import signal
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import pytest
import torch
from conftest import easy_dataset, python

from cifar_arch.augment import Augment, CoarseDropout, HorizontalFlip, ShiftScaleRotate
from cifar_arch.data import Dataset
from cifar_arch.loader import BatchLoader, Loader
from cifar_arch.schema import ConfigError

AUGMENT = Augment(
    horizontal_flip=HorizontalFlip(p=0.5),
    shift_scale_rotate=ShiftScaleRotate(p=0.5),
    coarse_dropout=CoarseDropout(p=0.5),
)
# Python 3.12 and later warn of any fork beside threads, and torch has threads.
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def epochs(
    dataset: Dataset, seed: int = 0, count: int = 2, kind: Any = Loader, **processes: int
) -> list[np.ndarray]:
    loader = kind(dataset.train, AUGMENT, dataset.mean, batch_size=32, seed=seed, **processes)
    numbers = range(1, count + 1)
    return [np.concatenate([i.numpy() for i, _ in loader.epoch(number)]) for number in numbers]


@forks
@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")  # on one core
@pytest.mark.parametrize(
    "processes", [{"workers": 1}, {"workers": 2}, {"helpers": 1}, {"helpers": 2}], ids=str
)
def test_the_same_images_whatever_the_number_of_processes(processes: dict[str, int]) -> None:
    dataset = easy_dataset()
    for alone, shared in zip(epochs(dataset), epochs(dataset, **processes), strict=True):
        assert (alone == shared).all()


@forks
def test_a_batch_of_fewer_images_than_processes() -> None:
    dataset = easy_dataset(train=10)
    loader = Loader(dataset.train, Augment(), dataset.mean, batch_size=1, seed=0, helpers=2)
    seen = [image.numpy() for image, _ in loader.epoch(1)]
    assert {image.shape for image in seen} == {(1, 3, 32, 32)}
    assert len({image.tobytes() for image in seen}) == 10


def with_helpers(count: int) -> tuple[Loader, list[BaseProcess]]:
    """A loader, and its helpers alone: those of another test may not have ended yet."""
    dataset, before = easy_dataset(), multiprocessing.active_children()
    loader = Loader(dataset.train, AUGMENT, dataset.mean, batch_size=32, seed=0, helpers=count)
    return loader, [child for child in multiprocessing.active_children() if child not in before]


@forks
def test_helpers_end_with_their_loader() -> None:
    loader, helpers = with_helpers(2)
    assert len(helpers) == 2
    next(iter(loader.epoch(1)))
    del loader
    for helper in helpers:
        helper.join(20)
    assert [helper.exitcode for helper in helpers] == [0, 0]


@forks
def test_a_helper_that_was_killed_is_reported() -> None:
    loader, (helper,) = with_helpers(1)
    helper.kill()
    helper.join()
    with pytest.raises(RuntimeError, match=r"a process that augments has ended, .* data\.workers=0"):
        next(iter(loader.epoch(1)))


ORPHANS = """
import multiprocessing, os, signal
from conftest import easy_dataset
from cifar_arch.augment import Augment
from cifar_arch.loader import Loader

split = easy_dataset().train
loader = Loader(split, Augment(), (0, 0, 0), batch_size=32, seed=0, helpers=2)
next(iter(loader.epoch(1)))
print(*(child.pid for child in multiprocessing.active_children()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_helpers_do_not_outlive_a_process_that_is_killed() -> None:
    done = python(ORPHANS)  # which waits until no process holds its output any more
    assert (done.returncode, done.stderr, len(done.stdout.split())) == (-signal.SIGKILL, "", 2)


@pytest.fixture(params=[Loader, BatchLoader])
def kind(request: pytest.FixtureRequest) -> Any:
    """One of both loaders: image by image, and whole batches."""
    return request.param


def test_different_images_every_epoch_and_with_another_seed(kind: Any) -> None:
    dataset = easy_dataset()
    first, second = epochs(dataset, kind=kind)
    (other,) = epochs(dataset, kind=kind, seed=1, count=1)
    seen = [{image.tobytes() for image in images} for images in (first, second, other)]
    # Images that all three transforms spared, about one in eight, are met again, at another place.
    assert len(seen[0] & seen[1]) < len(first) / 4
    assert len(seen[0] & seen[2]) < len(first) / 4


def test_an_alternating_flip_shows_each_image_from_both_sides(kind: Any) -> None:
    dataset = easy_dataset()
    flip = Augment(horizontal_flip=HorizontalFlip(p=0.5, alternate=True))
    loader = kind(dataset.train, flip, dataset.mean, batch_size=32, seed=0)
    first, second = ({pixels(image) for i, _ in loader.epoch(n) for image in i} for n in (1, 2))
    turned = {np.ascontiguousarray(i[:, ::-1]).tobytes(): i.tobytes() for i in dataset.train.images}
    back = {original: mirrored for mirrored, original in turned.items()}
    assert {turned.get(image, back.get(image)) for image in first} == second
    assert first != second


def pixels(image: torch.Tensor) -> bytes:
    """Of an image (3, 32, 32), as the data set has them."""
    return image.permute(1, 2, 0).contiguous().numpy().tobytes()


def test_an_epoch_goes_once_through_whole_shuffled_batches_with_their_labels(kind: Any) -> None:
    dataset = easy_dataset(train=100)
    label_of = {i.tobytes(): n for i, n in zip(*dataset.train, strict=True)}
    loader = kind(dataset.train, Augment(), dataset.mean, batch_size=32, seed=0)
    batches, later = list(loader.epoch(1)), list(loader.epoch(2))
    assert len(batches) == len(loader) == 3  # the incomplete one is left out
    seen = []
    for images, labels in batches:
        assert images.shape == (32, 3, 32, 32)
        assert images.permute(0, 2, 3, 1).is_contiguous()  # channels last in memory
        keys = [pixels(image) for image in images]
        assert [label_of[key] for key in keys] == labels.tolist()
        seen += keys
    assert len(set(seen)) == 96
    assert seen != [image.tobytes() for image in dataset.train.images[:96]]
    assert seen != [pixels(image) for images, _ in later for image in images]


def test_a_batch_larger_than_the_training_set_is_refused(kind: Any) -> None:
    dataset = easy_dataset(train=100)
    with pytest.raises(ConfigError, match=r"training\.batch_size: at most the 100 .*, got 101"):
        kind(dataset.train, Augment(), dataset.mean, batch_size=101, seed=0)


def test_another_seed_has_another_order(kind: Any) -> None:
    dataset = easy_dataset(train=100)
    first, other = (
        torch.cat([images for images, _ in loader.epoch(1)])
        for loader in (
            kind(dataset.train, Augment(), dataset.mean, batch_size=20, seed=seed) for seed in (0, 1)
        )
    )
    assert not torch.equal(first, other)
