"""python -m benchmarks.pipeline_speed: does the input pipeline keep up with training?

Training images per second end to end (augmentation, loading, step) for each backend, and the share it is
of the bare training step: the same network, recipe and optimizer on one batch that already lies in memory.
All are measured in one process, in turns; the share is the median over the turns of that of each turn.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import msgspec
import torch

from benchmarks.training_step import ON_CPU, batch, training_step
from cifar_arch.augment import Augment
from cifar_arch.compose import compose
from cifar_arch.data import DataConfig, load
from cifar_arch.device import choose_execution
from cifar_arch.experiment import Experiment
from cifar_arch.loader import BatchLoader, Loader, make_loader

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]
Step = Callable[[torch.Tensor, torch.Tensor], object]
READY = 8  # batches that worker processes hold ready


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batches", type=int, default=40, help="batches in a turn")
    parser.add_argument("--workers", nargs="+", default=["auto"], help="data.workers of albumentations")
    parser.add_argument("overrides", nargs="*", help="such as training.precision=float32")
    arguments = parser.parse_args()
    experiment = Experiment.from_dict(compose([*ON_CPU, *arguments.overrides]))
    for name, rates in measured(experiment, arguments).items():
        print(f"{name:42} {statistics.median(rates):8.3f} ({min(rates):.3f}, {max(rates):.3f})")


def measured(experiment: Experiment, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Images per second of the bare step, then the share of it that each source reaches, by turn."""
    step = training_step(experiment)
    bare = itertools.repeat(batch(experiment))
    sources = dict(all_sources(experiment, arguments.workers))
    rates: dict[str, list[float]] = {"bare step, images a second": [], **{name: [] for name in sources}}
    for batches in sources.values():  # the start of processes and of torch is not measured
        step(*next(batches))
    for _ in range(arguments.turns):
        rate = images_per_second(step, bare, arguments.batches)
        rates["bare step, images a second"].append(rate)
        for name, batches in sources.items():
            rates[name].append(images_per_second(step, batches, arguments.batches) / rate)
    return rates


def all_sources(experiment: Experiment, workers: list[str]) -> Iterator[tuple[str, Batches]]:
    default = experiment.augment
    every = msgspec.structs.replace(
        default, **{name: msgspec.structs.replace(t, p=1.0) for name, t in default.active().items()}
    )
    for name, augment in (("default augmentation", default), ("each transform at p=1", every)):
        batches = msgspec.structs.replace(augment, backend="batch")
        yield f"{name}, batch", endless(partial(made, experiment, batches, 0))
        for count in workers:
            images = msgspec.structs.replace(augment, backend="albumentations")
            processes = "" if count == "auto" else f", {count} processes"
            yield f"{name}, albumentations{processes}", endless(partial(made, experiment, images, count))


def made(experiment: Experiment, augment: Augment, workers: int | str) -> Loader | BatchLoader:
    """A loader of that augmentation over the synthetic data set."""
    execution, size = choose_execution(experiment.training), experiment.training.batch_size
    workers = workers if workers == "auto" else int(workers)
    return make_loader(load(DataConfig(name="shapes")), augment, size, 0, workers, execution)


def endless(make: Callable[[], Loader | BatchLoader]) -> Batches:
    batches = make()
    for number in itertools.count(1):
        yield from batches.epoch(number)


def images_per_second(step: Step, batches: Batches, count: int) -> float:
    for _ in itertools.islice(batches, READY):  # batches made before the clock starts do not count
        pass
    images = 0
    start = time.perf_counter()
    for pictures, labels in itertools.islice(batches, count):
        step(pictures, labels)
        images += len(labels)
    return images / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
