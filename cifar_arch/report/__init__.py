"""What a folder of runs says, as tables and figures. No torch, and it writes to no run."""

from cifar_arch.report.curves import load_curves
from cifar_arch.report.runs import load_runs

__all__ = ["load_curves", "load_runs"]
