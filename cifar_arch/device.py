"""Where and how a training computes: its device, the precision of its products, its threads."""

import ctypes
import functools
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cifar_arch.recipe import Recipe
from cifar_arch.schema import ConfigError

LONG = 3_000_000  # images, half an hour of training; with the default network a sixth of them break even
CGROUP = Path("/sys/fs/cgroup")  # where Linux tells a container its share of the machine
UNBOUND = 1 << 16  # cores, where nothing says how many
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # bytes, as <malloc.h> of glibc names and numbers them

Precision = Literal["float32", "bf16"]


class Execution(NamedTuple):
    """Where and how a training computes: what each `auto` of its recipe came to on this machine."""

    device: str
    precision: Precision
    threads: int  # of the CPU, for one step
    compiled: bool = False  # by torch.compile on a CPU; on a GPU captured as CUDA graphs

    @property
    def captured(self) -> bool:
        return self.compiled and self.device == "cuda"


def choose_execution(recipe: Recipe, images: int = 0) -> Execution:
    """The execution of a recipe on this machine, for all its epochs on so many `images`; 0: a few steps.

    Raises ConfigError for a device that it does not have.
    """
    device = pick_device(recipe.device)
    native: Precision = "bf16" if computes_bf16(device) else "float32"
    precision = native if recipe.precision == "auto" else recipe.precision
    return Execution(
        device,
        precision,
        cores() if recipe.threads == "auto" else recipe.threads,
        _pays_to_compile(device, precision, recipe.epochs * images)
        if recipe.compile == "auto"
        else recipe.compile,
    )


def _pays_to_compile(device: str, precision: Precision, images: int) -> bool:
    """On a GPU always: what it captures there costs nothing. On a CPU it was measured: 40 s of compiling,
    then 5 to 20 % less for each image in bfloat16, and nothing in float32 (LOG.md, 2026-11-25 and 29)."""
    if device != "cpu":
        return device == "cuda"
    compiler = os.environ.get("CXX", "g++")
    return precision == "bf16" and images > LONG and shutil.which(compiler) is not None


def pick_device(wanted: str) -> str:
    """The device to train on. Raises ConfigError for one that this machine does not have."""
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next((name for name, there in available.items() if there), "cpu")
    if not available.get(wanted, True):
        there = ", ".join(["auto", "cpu", *(name for name, there in available.items() if there)])
        raise ConfigError(f"training.device: this machine has no {wanted}; choose from {there}")
    return wanted


def require_shown_gpu() -> None:
    """Raises ConfigError where the GPU that `gpus` shows this worker is not there, which `auto` would do
    without."""
    import torch

    if not torch.cuda.is_available():
        raise ConfigError(
            f"gpus: torch finds no GPU {os.environ.get('CUDA_VISIBLE_DEVICES')} on {platform.node()}; "
            "choose from those that nvidia-smi lists there, or type training.device=cpu"
        )


def computes_bf16(device: str) -> bool:
    """Whether its units multiply bfloat16, which others only emulate: CPUs without AVX512-BF16, GPUs
    before Ampere, such as Colab's T4.

    On a CPU oneDNN has to do it, which torch for macOS is built without.
    """
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 has none
    return any(there is True and name.endswith("bf16") for name, there in capabilities.items())


def limit_spinning() -> None:
    """Makes OpenMP threads sleep after a short spin, unless the user set a policy.

    Called before torch is imported. By default they spin for milliseconds, and take whole time slices from
    whoever shares the cores. Without spinning at all a second core adds nothing to a small network (LOG.md,
    2026-11-25).
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
        # The second is read by GNU's library, the third, in milliseconds, by that of LLVM (macOS) and Intel,
        # where PASSIVE alone means no spinning at all.
        os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="10000", KMP_BLOCKTIME="1")


@functools.cache
def keep_memory() -> None:
    """Keeps freed tensor memory in the process instead of returning it to the operating system.

    A step makes and leaves hundreds of megabytes, and each new page is first cleared: a tenth of
    the time of training on a CPU, half of that of evaluation (LOG.md, 2026-11-29).
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):  # musl has none
        library.mallopt(M_MMAP_THRESHOLD, 2**30)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def cores() -> int:
    """The cores that this process may use, at least 1: as many as the user or SLURM has said, if any."""
    said = _number("OMP_NUM_THREADS") or _number("SLURM_CPUS_PER_TASK")
    # Of a job without --cpus-per-task SLURM says what the whole of it has here, and may not bind it to that.
    return said or max(1, min(_affinity(), _quota(), _number("SLURM_CPUS_ON_NODE") or UNBOUND))


def _number(variable: str) -> int:
    """The first number in an environment variable; 0 for none."""
    first = os.environ.get(variable, "").partition(",")[0]
    return int(first) if first.isdecimal() else 0


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota() -> int:
    """Whole cores of a container's limit; UNBOUND where it has none."""
    for file, split in (("cpu.max", True), ("cpu/cpu.cfs_quota_us", False)):
        try:
            text = (CGROUP / file).read_text(encoding="utf-8").split()
            period = text[1] if split else (CGROUP / "cpu/cpu.cfs_period_us").read_text(encoding="utf-8")
            if int(text[0]) > 0:
                return max(1, int(text[0]) // int(period))
        except (OSError, ValueError, IndexError):
            continue
    return UNBOUND
