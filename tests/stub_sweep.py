"""`python -m stub_sweep -m ...`: our sweeper with a job that sleeps instead of training.

The environment variable STUB says how, such as {"seconds": 0.1, "faults": {"6": "raise"}}: the time of an
epoch, and what becomes of width 6: raise, memory, nan, mistake, die (once), die_always.
Every epoch leaves a line in epochs.log: trial, width, epoch.
"""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cifar_arch import app
from cifar_arch.compose import CONF, plain
from cifar_arch.experiment import _reason, _status
from cifar_arch.record import Status
from cifar_arch.runfolder import RunFolder, atomic
from cifar_arch.schema import ConfigError
from cifar_arch.search.candidate import candidate


class Row(NamedTuple):
    epoch: int
    val_accuracy: float


def curve(params: int, epochs: int) -> list[float]:
    """Rises with the epochs, best at 12,000 parameters."""
    top = 1 / (1 + abs(params - 12_000) / 20_000)
    return [top * (1 - 0.5**epoch) for epoch in range(1, epochs + 1)]


def run(config: dict[str, Any], path: Path, on_epoch: Any, *, progress: bool) -> dict[str, Any]:
    """What `experiment.run` does, without learning anything."""
    folder = RunFolder(path)
    summary: dict[str, Any] = {"status": Status.FAILED, "reason": None, "seconds": 0.1}
    try:
        totals = candidate(config).totals
        summary |= totals
        epochs = config["training"]["epochs"]
        values = curve(totals["params"], epochs)
        done = int(folder.checkpoint.read_text()) if folder.checkpoint.exists() else 0
        summary |= {"epochs_done": epochs, "val_accuracy": values[-1]} if done == epochs else {}
        for epoch in range(done + 1, epochs + 1):
            values[-1] = _live(config, path, epoch, values[-1])
            history = [Row(n, values[n - 1]) for n in range(1, epoch + 1)]
            with atomic(folder.checkpoint) as temporary:
                temporary.write_text(str(epoch))
            folder.write_metrics([row._asdict() for row in history])
            summary |= {"epochs_done": epoch, "val_accuracy": history[-1].val_accuracy}
            if on_epoch:
                on_epoch(history)
        summary["status"] = Status.COMPLETED
        return summary
    except BaseException as error:
        summary |= {"status": _status(error), "reason": _reason(error), "error": type(error).__name__}
        raise
    finally:
        folder.write_json(folder.summary, summary)


def _live(config: dict[str, Any], path: Path, epoch: int, value: float) -> float:
    """An epoch: its time, its trace, its fault; returns the last value."""
    stub, width = json.loads(os.environ.get("STUB", "{}")), config["model"]["width"]
    time.sleep(stub.get("seconds", 0))
    fault = stub.get("faults", {}).get(str(width))
    if fault == "nan":
        return float("nan")
    if fault == "raise":
        raise RuntimeError("something went wrong")
    if fault == "memory":
        raise MemoryError("out of memory: tried to allocate 40 GiB")
    if fault == "mistake":
        raise ConfigError("data.root: no pictures there")
    died = Path("died.log")
    if fault == "die_always" or (fault == "die" and epoch == 2 and not died.exists()):
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with Path("epochs.log").open("a") as file:
        file.write(f"{path.name} {width} {epoch}\n")
    return value


@hydra.main(config_path=str(CONF), config_name="config", execution_whitelist=("cifar_arch.*", "logging.*"))
def stub_main(config: DictConfig) -> float | None:
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    return app.run_trial(plain(config), folder, hydra_config.sweeper.get("pruner"), run)


if __name__ == "__main__":
    from stub_sweep import stub_main as importable  # launchers pickle it by this name

    app.main(importable)
