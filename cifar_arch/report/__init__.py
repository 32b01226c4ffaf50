"""What a folder of runs says, as tables and pictures. No torch, and it writes to no run."""

from cifar_arch.report.runs import load_curves, load_runs

__all__ = ["load_curves", "load_runs"]
