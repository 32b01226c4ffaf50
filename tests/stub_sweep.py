"""`python -m stub_sweep -m ...`: our sweeper with a job that sleeps instead of training.

The environment variable STUB says how, such as {"seconds": 0.1, "faults": {"6": "raise"}}: the time of an
epoch, and what happens at width 6: raise, memory, nan, mistake, cuda (once), die (once), die_always.
Every epoch leaves a line in epochs.log: trial, width, epoch.
"""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from msgspec.structs import replace
from omegaconf import DictConfig

from cifar_arch import app, experiment
from cifar_arch.experiment import failure
from cifar_arch.overrides import CONF
from cifar_arch.record import Epoch, Status, Summary
from cifar_arch.runfolder import RunFolder, atomic
from cifar_arch.schema import ConfigError
from cifar_arch.search.candidate import Candidate


def row(epoch: int, accuracy: float | None) -> Epoch:
    """A row of metrics.csv."""
    return Epoch(epoch, 0.1, 1.0, accuracy or 0.0, 1.0, accuracy, 0.1, 1000.0)


def curve(params: int | None, epochs: int) -> list[float]:
    """Rises with the epochs, best at 12,000 parameters."""
    assert params is not None
    top = 1 / (1 + abs(params - 12_000) / 20_000)
    return [top * (1 - 0.5**epoch) for epoch in range(1, epochs + 1)]


def run(config: dict[str, Any], path: Path, on_epoch: Any, *, progress: bool, command: str) -> Summary:
    """What `experiment.run_config` does, without learning anything."""
    folder = RunFolder(path)
    summary = Summary(status=Status.FAILED, seconds=0.1)
    try:
        totals = Candidate.from_dict(config).totals
        summary = replace(summary, **totals)
        epochs = config["training"]["epochs"]
        values = curve(totals["params"], epochs)
        done = int(folder.checkpoint.read_text(encoding="utf-8")) if folder.checkpoint.exists() else 0
        for epoch in range(done + 1, epochs + 1):
            values[-1] = _live(config, path, epoch, values[-1])
            history = [row(n, values[n - 1]) for n in range(1, epoch + 1)]
            with atomic(folder.checkpoint) as temporary:
                temporary.write_text(str(epoch), encoding="utf-8")
            folder.write_metrics(history)
            if on_epoch:
                on_epoch(history)
        # As `experiment.run` does: whoever was killed after the last checkpoint has not written its row.
        folder.write_metrics([row(n, values[n - 1]) for n in range(1, epochs + 1)])
        summary = replace(summary, status=Status.COMPLETED)
    except BaseException as error:
        summary = replace(summary, **failure(error))
        raise
    finally:
        for e in folder.read_metrics()[-1:]:
            summary = replace(summary, epochs_done=e.epoch, val_accuracy=e.val_accuracy)
        folder.write_summary(summary)
    return summary


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
    if fault == "cuda" and not Path("died.log").exists():
        Path("died.log").touch()
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    if fault == "mistake":
        raise ConfigError("data.root: no pictures there")
    died = Path("died.log")
    if fault == "die_always" or (fault == "die" and epoch == 2 and not died.exists()):
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with Path("epochs.log").open("a", encoding="utf-8") as file:
        file.write(f"{path.name} {width} {epoch}\n")
    return value


@hydra.main(config_path=str(CONF), config_name="config", execution_whitelist=("cifar_arch.*", "logging.*"))
def stub_main(config: DictConfig) -> None:
    experiment.run_config = run  # type: ignore[assignment]
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    app.run_trial(app.job_config(config), folder, hydra_config.sweeper.pruner)


if __name__ == "__main__":
    from stub_sweep import stub_main as importable  # launchers pickle it by this name

    from cifar_arch.search import supervisor

    supervisor.SETTLE, supervisor.ENDING = 1, 8
    app.main(importable)
