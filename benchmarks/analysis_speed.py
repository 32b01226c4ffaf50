"""python -m benchmarks.analysis_speed: architectures a second on one core, from a dict to the verdict.

Beside it other ways to count: parameters alone by building the module on the meta device, parameters and
multiply-adds by torchinfo, and by fvcore where that is installed (uv pip install fvcore).
"""

import argparse
import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any

import torch
import torchinfo

from cifar_arch import analysis, feasibility, layers, spec
from cifar_arch.compose import compose
from cifar_arch.experiment import Experiment
from cifar_arch.feasibility import judge
from cifar_arch.layers import IMAGE_CHANNELS, IMAGE_SIZE
from cifar_arch.network import build
from cifar_arch.spec import Architecture

ROUNDS = 3
LATER = "the same, later in a search"  # whose sections are then known for the most part
REMEMBERED = [
    found
    for module in (analysis, layers, spec)
    for found in vars(module).values()
    if hasattr(found, "cache_clear")
]
Way = tuple[str, Callable[[dict[str, Any]], object], int]  # its name, what it does, how often
EVA6 = Experiment.from_dict(compose()).limits


def specs(seed: int = 0) -> Iterator[dict[str, Any]]:
    """Endless random points of model=c1c2c3c4, as Hydra would compose them."""
    rng = random.Random(seed)
    forms = [
        {"kind": name.partition("_")[0], "layers": unit.layers, "residual": unit.residual}
        for name, unit in feasibility.FORMS.items()
        if not name.startswith("grouped")  # whose channels not every width has
    ]
    while True:
        yield {
            **{stage: rng.choice(forms) for stage in ("c1", "c2", "c3", "c4")},
            **{t: {"kind": rng.choice(["strided", "dilated"])} for t in ("t1", "t2", "t3")},
            "width": rng.randint(8, 40),
            "multipliers": [1, rng.choice([1, 1.5]), 2, 3],
            "depth": [rng.randint(1, 2) for _ in range(4)],
            "head": rng.choice(["linear", "conv"]),
        }


def verdict(written: dict[str, Any]) -> object:
    return judge(Architecture.from_dict(written), EVA6, repairs=False)


def verdict_with_repairs(written: dict[str, Any]) -> object:
    return judge(Architecture.from_dict(written), EVA6)


def meta_device(written: dict[str, Any]) -> object:
    with torch.device("meta"):
        network = build(Architecture.from_dict(written).plan())
    return sum(p.numel() for p in network.parameters())


def by_torchinfo(written: dict[str, Any]) -> object:
    network = build(Architecture.from_dict(written).plan())
    image = (1, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)
    return torchinfo.summary(network, image, verbose=0).total_params


def by_fvcore(written: dict[str, Any]) -> object:
    from fvcore.nn import FlopCountAnalysis

    network = build(Architecture.from_dict(written).plan()).eval()
    counter = FlopCountAnalysis(network, torch.zeros(1, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE))
    return counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()


def rate(
    work: Callable[[dict[str, Any]], object],
    items: Iterable[dict[str, Any]],
    before: Iterable[dict[str, Any]] = (),
) -> float:
    """Items a second of processor time, so that other programs on the machine count little.

    Of sections it knows nothing but those of the networks that it judged `before`.
    """
    items = list(items)
    for remembered in REMEMBERED:
        remembered.cache_clear()
    for item in before:
        verdict(item)
    start = time.process_time()
    for item in items:
        work(item)
    return len(items) / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="architectures for the fastest way")
    count = parser.parse_args().count
    torch.set_num_threads(1)
    ways: tuple[Way, ...] = (
        ("static, verdict", verdict, count),
        (LATER, verdict, count),
        ("static, verdict and repairs", verdict_with_repairs, count // 10),
        ("module on the meta device", meta_device, count // 20),
        ("torchinfo", by_torchinfo, count // 50),
    )
    if find_spec("fvcore"):
        ways += (("fvcore", by_fvcore, count // 100),)
    rates = dict.fromkeys((name for name, _, _ in ways), 0.0)
    for _, work, _ in ways:
        rate(work, itertools.islice(specs(1), 20))  # what is imported or cached at the first call
    for turn in range(ROUNDS):  # in turns, and the best of each, because other programs come and go
        for name, work, number in ways:
            before = itertools.islice(specs(ROUNDS), count) if name == LATER else ()
            measured = rate(work, itertools.islice(specs(turn), number // ROUNDS), before)
            rates[name] = max(rates[name], measured)
    print(f"{'way':28}  architectures/s  of it, static  later in a search")
    for name, found in rates.items():
        first, later = (rates[static] / found for static in (ways[0][0], LATER))
        print(f"{name:28}  {found:15,.0f}  {first:12.1f}x  {later:16.1f}x")


if __name__ == "__main__":
    main()
