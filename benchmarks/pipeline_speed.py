"""python benchmarks/pipeline_speed.py: does the input pipeline keep up with training?

Prints training images per second end to end (augmentation, loading, step) for each number of worker
processes, and the share it is of the bare training step: the same network and optimizer on one batch
that already lies in memory. All are measured in one process, in turns, best turn of each.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial

import msgspec
import torch

from cifar_arch.augment import Augment
from cifar_arch.checkpoint import State
from cifar_arch.compose import compose
from cifar_arch.data import Loader, Split
from cifar_arch.experiment import Experiment
from cifar_arch.network import Normalised, build
from cifar_arch.shapes import generate
from cifar_arch.training import train_step

MEAN, STD = (125.0, 123.0, 114.0), (63.0, 62.0, 67.0)
READY = 8  # batches that two workers hold ready
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--batches", type=int, default=20, help="batches in a turn")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    experiment = Experiment.from_dict(compose())
    step = training_step(experiment)
    sources = dict(all_sources(experiment, arguments.workers))
    for batches in sources.values():  # the start of processes and of torch is not measured
        step(*next(batches))
    best = dict.fromkeys(sources, 0.0)
    for _ in range(arguments.turns):
        for name, batches in sources.items():
            rate = images_per_second(step, batches, arguments.batches)
            best[name] = max(best[name], rate)
    bare = best["bare step"]
    print(f"{'':30} images/s  share of the bare step")
    for name, rate in best.items():
        print(f"{name:30} {rate:8,.0f}  {rate / bare:6.1%}")


def training_step(experiment: Experiment) -> Callable[[torch.Tensor, torch.Tensor], object]:
    """One step of the default network and recipe."""
    recipe = experiment.training
    model = Normalised(build(experiment.model.plan()), MEAN, STD)
    state = State(model.to(memory_format=torch.channels_last).train(), recipe, 100_000)
    return partial(train_step, state, recipe)


def all_sources(experiment: Experiment, workers: list[int]) -> Iterator[tuple[str, Batches]]:
    split = Split(*generate(5_000, seed=0))
    size = experiment.training.batch_size
    yield (
        "bare step",
        itertools.repeat(
            (
                torch.from_numpy(split.images[:size]).permute(0, 3, 1, 2),
                torch.from_numpy(split.labels[:size]),
            )
        ),
    )
    default = experiment.augment
    every = msgspec.structs.replace(
        default, **{name: msgspec.structs.replace(t, p=1.0) for name, t in default.active().items()}
    )
    for name, augment in (("default augmentation", default), ("each transform at p=1", every)):
        for count in workers:
            yield f"{name}, {count} workers", endless(partial(loader, split, augment, size, count))


def loader(split: Split, augment: Augment, size: int, workers: int) -> Loader:
    return Loader(split, augment, MEAN, batch_size=size, seed=0, workers=workers)


def endless(make: Callable[[], Loader]) -> Batches:
    batches = make()
    for number in itertools.count(1):
        yield from batches.epoch(number)


def images_per_second(
    step: Callable[[torch.Tensor, torch.Tensor], object], batches: Batches, count: int
) -> float:
    time.sleep(1)  # the workers of the previous source fill their queues, then rest
    for _ in itertools.islice(batches, READY):  # batches made before the clock starts do not count
        pass
    images = 0
    start = time.perf_counter()
    for pictures, labels in itertools.islice(batches, count):
        step(pictures, labels)
        images += len(pictures)
    return images / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
