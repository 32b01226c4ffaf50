"""The bare training step that other benchmarks compare with."""

from collections.abc import Callable

import torch

from cifar_arch import training
from cifar_arch.device import choose_execution
from cifar_arch.experiment import Experiment
from cifar_arch.network import build
from cifar_arch.shapes import generate

# Where batches lie in memory, and a step is over when its call returns; gpu.py measures the rest.
ON_CPU = ("training=fast", "training.device=cpu")
MEAN, STD = (125.0, 123.0, 114.0), (63.0, 62.0, 67.0)


def training_step(experiment: Experiment) -> Callable[[torch.Tensor, torch.Tensor], object]:
    """One step of an experiment's network and recipe, on the device that the recipe names."""
    recipe = experiment.training
    execution = choose_execution(recipe)
    state = training.build_state(build(experiment.model.plan()), recipe, MEAN, STD, 100_000, execution)
    torch.set_num_threads(execution.threads)
    state.model.train()
    return training.training_step(state)


def batch(experiment: Experiment) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (N, 3, 32, 32) uint8 and labels (N,) of the synthetic data set."""
    images, labels = generate(experiment.training.batch_size, seed=0)
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels)
