"""The commands that messages, summaries and cards name."""

import pytest
from msgspec.structs import replace

from cifar_arch.data import DataConfig
from cifar_arch.outputs import from_home
from cifar_arch.overrides import read_override
from cifar_arch.record import Status, Summary
from cifar_arch.shown_commands import data_override, exact_command, plugin_override

COMMANDS = {  # as typed -> with what a run on three threads in bf16 records
    "run seed=1": "run seed=1 training.threads=3 training.precision=bf16",
    "run training.threads=auto seed=1": "run seed=1 training.threads=3 training.precision=bf16",
    "run training.precision=float32": "run training.precision=float32 training.threads=3",
    "run ++training.precision=auto 'study=a b'": "run 'study=a b' training.threads=3 training.precision=bf16",
}


@pytest.mark.parametrize(("typed", "recorded"), COMMANDS.items())
def test_a_command_on_record_says_what_auto_came_to(typed: str, recorded: str) -> None:
    summary = Summary(status=Status.COMPLETED, command=typed, threads=3, precision="bf16")
    assert exact_command(summary) == recorded
    assert exact_command(replace(summary, command=None)) is None
    compiled = replace(summary, compiled=True, device="cpu")
    assert exact_command(compiled) == f"{recorded} training.compile=true"
    assert exact_command(replace(compiled, device="cuda")) == recorded


NAMES = [
    "data",
    "../data",
    "a b",
    "d (1)",
    "größe",
    "1",
    "null",
    "a,b",
    "k=v",
    "it's",
    'x"y',
    "a\\",
    "~/x",
    "[x]",
    ".5",
]


@pytest.mark.parametrize("name", NAMES)
def test_hydra_reads_the_shown_names_of_files_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIFAR_ARCH_DATA", "elsewhere")
    (root,) = data_override(DataConfig(root=name))
    assert read_override(root).value() == from_home(name)
    (plugins,) = plugin_override([name, "b.py"])
    assert read_override(plugins).value() == [name, "b.py"]
