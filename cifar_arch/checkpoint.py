"""All that training needs to go on, saved and loaded."""

import io
import warnings
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from cifar_arch.device import Execution
from cifar_arch.network import Normalised
from cifar_arch.optim import Average, build_optimizer, build_schedule
from cifar_arch.recipe import Recipe
from cifar_arch.record import Epoch
from cifar_arch.runfolder import atomic
from cifar_arch.schema import ConfigError


class State:
    """Everything that changes during training: what a checkpoint holds."""

    def __init__(self, model: Normalised, recipe: Recipe, steps: int, execution: Execution):
        """`model` on its device, before the first of `steps` steps of the optimizer."""
        self.model = model
        self.recipe = recipe
        self.execution = execution
        self.forward = torch.compile(model) if execution.compiled and not execution.captured else model
        self.optimizer = build_optimizer(model, recipe, captured=execution.captured)
        self.schedule = build_schedule(self.optimizer, recipe, steps)
        self.average = Average(model, recipe.ema) if recipe.ema else None
        self.history: list[Epoch] = []

    @property
    def device(self) -> torch.device:
        return self.model.mean.device

    @property
    def epoch(self) -> int:
        """The number of the epoch that is under way, from 1."""
        return len(self.history) + 1

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.schedule.get_last_lr()[0])

    def final(self) -> nn.Module:
        """The network to evaluate, in eval mode: the averaged one where there is one, or the last."""
        module = self.average.module if self.average else self.model
        assert isinstance(module, nn.Module)
        return module.eval()

    def step(self) -> None:
        """Moves the weights by their gradients, the schedule by a step, and the average with them."""
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.schedule.step()
        if self.average:
            self.average.update()

    def save(self, path: Path) -> None:
        saved = {name: part.state_dict() for name, part in self._parts().items()}
        history = [msgspec.structs.astuple(row) for row in self.history]
        how = {"precision": self.execution.precision, "threads": self.execution.threads}
        content = io.BytesIO()  # in between, for torch itself hides the errno of a disk that takes no more
        torch.save({**saved, "history": history, "how": how}, content)
        with atomic(path) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load(self, path: Path) -> None:
        """Replaces this state by the saved one, with its precision and its number of threads.

        Raises ConfigError for a file that is damaged or of another experiment.
        """
        try:
            with warnings.catch_warnings(action="ignore"):  # which advise to load it as code
                # To the CPU, from where each part takes its own: AdamW counts its steps there, and would
                # have every step wait for each count on a GPU.
                saved = torch.load(path, weights_only=True, map_location="cpu")
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
            rows = [dict(zip(Epoch.__struct_fields__, row, strict=True)) for row in saved["history"]]
            self.history = msgspec.convert(rows, list[Epoch])
            how = saved.get("how", {})  # those of earlier versions have none
            self.execution = self.execution._replace(**how)
        except Exception as error:  # unpickling raises whatever a damaged file leads it to
            ours = "it is damaged, or of another experiment"  # torch would advise to load it as code
            reason = (isinstance(error, OSError) and error.strerror) or ours
            raise ConfigError(
                f"training.resume: the checkpoint {str(path)!r} cannot be read ({reason}); "
                "remove it to train from the start"
            ) from error

    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        return {**parts, "average": self.average} if self.average else parts
