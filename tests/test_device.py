import os
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import python

from cifar_arch import device
from cifar_arch.device import Execution, choose_execution, computes_bf16, cores
from cifar_arch.recipe import Recipe


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_computes_bf16_only_where_it_is_not_emulated(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supported(including_emulation: bool) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert computes_bf16("cuda") is native


@pytest.mark.parametrize(
    ("capabilities", "onednn", "used"),
    [
        ({"avx512_f": True, "avx512_bf16": True}, True, True),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": True}, True, True),
        ({"avx512_f": True, "avx512_bf16": False, "l2_cache_size": 1}, True, False),
        ({"neon": True, "bf16": True}, False, False),  # an M2 with macOS
        ({}, True, False),
    ],
)
def test_a_cpu_computes_bf16_where_its_flags_say_so(
    capabilities: dict[str, object], onednn: bool, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert computes_bf16("cpu") is used
    found = choose_execution(Recipe(device="cpu", threads=3))
    assert found == Execution("cpu", "bf16" if used else "float32", 3)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux alone lists the flags there")
def test_the_flags_are_those_that_linux_lists() -> None:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    assert computes_bf16("cpu") == ("avx512_bf16" in flags or "amx_bf16" in flags)


@pytest.mark.parametrize(
    ("precision", "images", "compiler", "compiled"),
    [
        ("bf16", 3_000_001, "/bin/c++", True),
        ("bf16", 3_000_000, "/bin/c++", False),
        ("float32", 10_000_000, "/bin/c++", False),
        ("bf16", 10_000_000, None, False),
    ],
)
def test_a_cpu_compiles_long_trainings_in_bf16(
    precision: str, images: int, compiler: str | None, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: compiler)
    recipe = Recipe(device="cpu", precision=precision, epochs=1)  # type: ignore[arg-type]
    assert choose_execution(recipe, images).compiled is compiled


@pytest.mark.parametrize(
    ("name", "typed", "captured"),
    [("cuda", "auto", True), ("cuda", False, False), ("mps", "auto", False), ("cpu", True, False)],
)
def test_cuda_captures_its_steps_unless_told_not_to(
    name: str, typed: Any, captured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "pick_device", lambda _: name)
    assert choose_execution(Recipe(compile=typed, precision="float32")).captured is captured


def test_a_gpu_that_is_shown_and_there_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    device.require_shown_gpu()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_precision_that_is_named_is_taken(precision: str) -> None:
    assert choose_execution(Recipe(device="cpu", precision=precision)).precision == precision  # type: ignore[arg-type]


def test_other_devices_compute_in_float32() -> None:
    assert not computes_bf16("mps")


@pytest.mark.parametrize(
    ("typed", "spins"),
    [({}, "1"), ({"KMP_BLOCKTIME": "200"}, "200"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_threads_of_llvms_library_spin_for_a_while_too(
    typed: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {**typed})
    device.limit_spinning()
    assert os.environ.get("KMP_BLOCKTIME") == spins


SAID = [
    ({"OMP_NUM_THREADS": "3"}, 3),
    ({"OMP_NUM_THREADS": "4,2"}, 4),
    ({"SLURM_CPUS_PER_TASK": "5", "SLURM_CPUS_ON_NODE": "10"}, 5),
    ({"SLURM_CPUS_ON_NODE": "1"}, 1),  # without --cpus-per-task
    ({"SLURM_CPUS_ON_NODE": "6"}, 4),  # of which this process may use fewer
]


@pytest.mark.parametrize(("given", "expected"), SAID, ids=str)
def test_a_number_that_the_user_or_slurm_set_is_taken(
    given: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(device, "_affinity", lambda: 4)
    monkeypatch.setattr(device, "_quota", lambda: 8)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert cores() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone")
def test_only_the_cores_that_the_process_may_use_count() -> None:
    code = (
        "import os; os.environ.pop('OMP_NUM_THREADS', None)\n"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from cifar_arch.device import cores; print(cores())"
    )
    assert python(code).stdout == "1\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 1),
        ({"cpu.max": "400000 100000\n"}, 4),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_container_is_held_to_its_quota(
    files: dict[str, str], expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(device, "CGROUP", tmp_path)
    monkeypatch.setattr(device, "_affinity", lambda: 8)
    assert cores() == (expected or 8)


PAGES_OF_TENSORS = """
import resource, torch
from cifar_arch.device import keep_memory

def pages(tensors):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(tensors):
        torch.ones(64 * 2**20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

one = pages(1)
print(pages(10) / one)
keep_memory()
pages(20)  # glibc needs some of them to find places that fit
print(pages(10) / one)
"""


@pytest.mark.slow
@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="glibc alone can be told so")
def test_the_memory_of_tensors_is_kept_for_the_next_ones() -> None:
    """In pages that the system hands out for ten tensors, over those of one."""
    handed_back, kept = map(float, python(PAGES_OF_TENSORS).stdout.split())
    assert handed_back > 5
    assert kept < 1
