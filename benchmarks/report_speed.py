"""Seconds to read a folder of many runs, at first and with the cache.

python -m benchmarks.report_speed [--runs N]
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from cifar_arch.compose import compose
from cifar_arch.provenance import flatten
from cifar_arch.report import load_runs


def generate(outputs: Path, count: int) -> None:
    """`count` folders of finished runs, half of them with width=auto, in sweeps of 1,000 trials."""
    config, rng = dict(flatten(compose())), random.Random(0)
    for number in range(count):
        folder = outputs / "sweeps" / f"study-{number // 1000}" / str(number % 1000)
        folder.mkdir(parents=True)
        width = rng.randint(8, 40)
        config |= {"model.width": "auto" if number % 2 else width, "training.lr": rng.uniform(0.03, 0.6)}
        summary = {
            **{
                "status": "completed",
                "config": config,
                "params": 200 * width**2,
                "seed": 0,
                "data": "cifar10",
            },
            **{"val_accuracy": rng.uniform(0.7, 0.9), "epochs": 10, "epochs_done": 10, "seconds": 300.0},
        }
        (folder / "summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
        # As long as a real one: the layer table follows what is read of it.
        spec = {"spec": {"width": width}, "layers": [{"name": f"layer {n}", "params": n} for n in range(300)]}
        (folder / "architecture.json").write_text(json.dumps(spec, indent=2), encoding="utf-8")
        (folder / "metrics.csv").write_text("epoch,val_accuracy\n1,0.5\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as place:
        generate(Path(place), count)
        for look in ("first look", "second look"):
            start = time.perf_counter()
            frame = load_runs(place)
            seconds = time.perf_counter() - start
            print(f"{look}: {len(frame):,} runs, {len(frame.columns)} columns in {seconds:.2f} s")


if __name__ == "__main__":
    main()
