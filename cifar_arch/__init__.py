"""Architecture search for tiny CIFAR-10 networks under hard limits; the core, for use without Hydra.

Importing a name here loads its module and nothing else: no torch before `load_network` is called.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from cifar_arch.analysis import analyse as analyse
    from cifar_arch.augment import Augment as Augment
    from cifar_arch.config import Experiment as Experiment
    from cifar_arch.data import DataConfig as DataConfig
    from cifar_arch.feasibility import judge as judge
    from cifar_arch.limits import Limits as Limits
    from cifar_arch.limits import violations as violations
    from cifar_arch.recipe import Recipe as Recipe
    from cifar_arch.schema import ConfigError as ConfigError
    from cifar_arch.spec import Architecture as Architecture

_MODULES = {
    "Architecture": "spec",
    "Augment": "augment",
    "ConfigError": "schema",
    "DataConfig": "data",
    "Experiment": "config",
    "Limits": "limits",
    "Recipe": "recipe",
    "analyse": "analysis",
    "judge": "feasibility",
    "violations": "limits",
}

__all__ = [*_MODULES, "load_network"]


def load_network(run_folder: str | Path) -> "nn.Module":
    """The trained network of a completed run, in eval mode.

    It takes pixels, not normalised floats: (N, 3, 32, 32) of 0 to 255, uint8 or any other dtype, and
    gives logits (N, 10); it normalises itself. Raises ConfigError where the folder holds no completed run,
    or has a block of your own whose file was not imported.
    """
    from cifar_arch.saved import SavedRun
    from cifar_arch.schema import FILES_OF_BLOCKS, UnknownKind

    try:
        return SavedRun(run_folder).network()
    except UnknownKind as error:
        raise UnknownKind(str(error).replace(FILES_OF_BLOCKS, "import it first")) from error


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'cifar_arch' has no attribute {name!r}")
    return getattr(import_module(f"cifar_arch.{_MODULES[name]}"), name)


def _interrupted(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Ends a command that Ctrl-C met in the second that its imports take, as `terminal` does later."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print("interrupted", file=sys.stderr)
    sys.exit(130)


if sys.argv and (sys.argv[0] == "-m" or sys.argv[0].endswith("cifar-arch")):  # so while Python looks for it
    sys.excepthook = _interrupted
