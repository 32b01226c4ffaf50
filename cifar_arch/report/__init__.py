"""What a folder of runs says, as tables and figures. No torch, and it writes to no run.

Importing a name here loads its module, with pandas; `--help` needs neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_arch.report.curves import load_curves
    from cifar_arch.report.runs import load_runs

_MODULES = {"load_curves": "curves", "load_runs": "runs"}

__all__ = ["load_curves", "load_runs"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'cifar_arch.report' has no attribute {name!r}")
    return getattr(import_module(f"cifar_arch.report.{_MODULES[name]}"), name)
