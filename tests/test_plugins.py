"""Blocks of a user's own, from a file beside the command, without a change to the package."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from architectures import architecture
from conftest import TINY, Cli, summary_of, tiny_architecture, type_command

from cifar_arch import plugins
from cifar_arch.blocks import BLOCKS
from cifar_arch.downsample import DOWNSAMPLERS
from cifar_arch.plugins import load_plugins, plugin_paths
from cifar_arch.schema import ConfigError
from cifar_arch.spec import Architecture

GHOST = '''
from cifar_arch.blocks import BLOCKS, Conv, Unit

class Ghost(Unit, frozen=True, kw_only=True):
    """Two 3x3 convolutions, the second depthwise."""

    def convs(self, in_channels, out_channels):
        depthwise = Conv(in_channels=out_channels, out_channels=out_channels, padding=1, groups=out_channels)
        return Conv(in_channels=in_channels, out_channels=out_channels, padding=1), depthwise

BLOCKS["ghost"] = Ghost
'''
YAML = "kind: ghost\nlayers: 1\nresidual: false\n"


@pytest.fixture(autouse=True)
def tables_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    tables: tuple[dict[str, Any], ...] = (BLOCKS, DOWNSAMPLERS)
    before = [set(table) for table in tables]
    monkeypatch.setattr(plugins, "_imported", set())
    yield
    for table, kinds in zip(tables, before, strict=True):
        for kind in table.keys() - kinds:
            del table[kind]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a file of one's own and the config of its block."""
    (tmp_path / "my_blocks.py").write_text(GHOST, encoding="utf-8")
    (tmp_path / "own" / "block").mkdir(parents=True)
    (tmp_path / "own" / "block" / "ghost.yaml").write_text(YAML, encoding="utf-8")
    return tmp_path


NAMED = ("--config-dir", "own", "plugins=[my_blocks.py]", "c2=ghost")


def test_from_python_an_entry_is_enough(own: Path) -> None:
    load_plugins([str(own / "my_blocks.py")])
    ghost = BLOCKS["ghost"]()
    network = architecture(c2=ghost)
    assert Architecture.from_dict(network.to_dict()) == network
    load_plugins([str(own / "my_blocks.py")])  # once is enough
    assert BLOCKS["ghost"] is type(ghost)


def test_check_takes_it(own: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(own)
    without = cli("check", "--config-dir", "own", "c2=ghost")
    assert without.status == 2
    assert without.err.startswith("model.c2.kind: unknown kind 'ghost'; choose from plain, ")
    assert without.err.endswith("one of your own needs its file, 'plugins=[FILE.py]'\n")
    done = cli("check", *NAMED)
    assert "c2.1.conv2" in done.out, done.err


@pytest.mark.parametrize("typed", ["run width=4", "run training.resume=run", "check"])
def test_the_option_of_other_commands_is_told_in_the_form_of_this_one(typed: str, cli: Cli) -> None:
    done = cli(*typed.split(), "--plugin", "a.py", "--plugin=own/b.py")
    assert (done.status, done.err) == (
        2,
        "--plugin: is an option of the commands that read a run or a study, got a.py, own/b.py; "
        "type 'plugins=[a.py,own/b.py]'\n",
    )


WIDE = """
from cifar_arch.downsample import DOWNSAMPLERS, Conv, Downsampler

class Wide(Downsampler, frozen=True, kw_only=True):
    kernel: int = 5

    def conv(self, in_channels, out_channels, size):
        kernel, padding = self.kernel, self.kernel // 2
        sizes = {"in_channels": in_channels, "out_channels": out_channels}
        return Conv(**sizes, kernel=kernel, padding=padding, stride=2)

DOWNSAMPLERS["wide"] = Wide
"""


@pytest.mark.parametrize(
    ("typed", "advised"), [("t1=wide model.t1.kernel=7", False), ("t1=wide", True), ("t1=strided", False)]
)
def test_a_downsampler_is_taken_and_never_suggested(typed: str, advised: bool, own: Path, cli: Cli) -> None:
    (own / "my_blocks.py").write_text(WIDE, encoding="utf-8")
    (own / "own" / "downsample").mkdir()
    (own / "own" / "downsample" / "wide.yaml").write_text("kind: wide\nkernel: 5\n", encoding="utf-8")
    named = ["--config-dir", str(own / "own"), f"plugins=[{own / 'my_blocks.py'}]"]
    done = cli("check", *named, *typed.split(), "c3=plain", "c4=plain", "width=12")
    assert (done.status, done.err) == (1, "")
    assert "wide" not in done.out
    assert ("; t1=strided fits" in done.out) is advised


SINGLE = GHOST.replace("padding=1), depthwise", "padding=1)")
LOOKED_UP = GHOST.replace("return Conv", "return {}['gone'] or Conv")
MISTAKES = {
    "model.c2: convs of the block 'ghost' has to return a tuple of layers, got Conv; for a single ": SINGLE,
    "model.c2: the block 'ghost' cannot be expanded (KeyError: 'gone' at my_blocks.py:9)": LOOKED_UP,
    "model.t1: the downsampler 'wide' cannot be expanded (NotImplementedError: its class has no ": (
        WIDE.replace("def conv(", "def convs(")
    ),
    "model.t1: conv of the downsampler 'wide' has to return one Conv, got tuple; type return CONV": (
        WIDE.replace("stride=2)", "stride=2),")
    ),
}


@pytest.mark.parametrize(("sentence", "text"), MISTAKES.items())
def test_a_mistake_in_a_method_names_the_block_and_the_line(sentence: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "my_blocks.py").write_text(text, encoding="utf-8")
    load_plugins(["my_blocks.py"], [tmp_path])
    variant = {"c2": {"kind": "ghost"}} if "ghost" in sentence else {"t1": {"kind": "wide", "kernel": 5}}
    with pytest.raises(ConfigError) as error:
        Architecture.from_dict(tiny_architecture(**variant)).plan()
    assert str(error.value).startswith(sentence)


PICKY = """
from cifar_arch.blocks import BLOCKS, Conv, Unit

class Picky(Unit, frozen=True, kw_only=True):
    ratio: int = 0

    def __post_init__(self):
        if self.ratio < 1:
            raise ValueError("ratio")

    def convs(self, in_channels, out_channels):
        return (Conv(in_channels=in_channels, out_channels=out_channels, padding=1),)

BLOCKS["picky"] = Picky
"""


def test_advice_is_given_beside_a_block_that_refuses_its_own_defaults(own: Path, cli: Cli) -> None:
    (own / "my_blocks.py").write_text(PICKY, encoding="utf-8")
    (own / "own" / "block" / "picky.yaml").write_text("kind: picky\nratio: 3\n", encoding="utf-8")
    named = ["--config-dir", str(own / "own"), f"plugins=[{own / 'my_blocks.py'}]"]
    done = cli("check", *named, "c2=picky", "width=64")
    assert (done.status, done.err) == (1, "")
    assert "; width=" in done.out


def test_a_file_beside_the_configs_is_found(own: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(own)
    runtime = {"cwd": str(own), "config_sources": [{"path": str(own / "own"), "schema": "file"}]}
    assert plugin_paths(["my_blocks.py"], runtime) == ["my_blocks.py"]
    os.replace(own / "my_blocks.py", own / "own" / "my_blocks.py")
    assert plugin_paths(["my_blocks.py"], runtime) == [str(own / "own" / "my_blocks.py")]
    assert cli("check", *NAMED).status == 0
    (own / "own" / "experiment").mkdir()
    text = "# @package _global_\ndefaults: [override /block@model.c2: ghost]\nplugins: [my_blocks.py]\n"
    (own / "own" / "experiment" / "mine.yaml").write_text(text, encoding="utf-8")
    done = type_command("check", "--config-dir", "own", "+experiment=mine", cwd=own)
    assert "c2.1.conv2" in done.stdout, done.stderr


@pytest.mark.slow
def test_every_command_takes_it(own: Path) -> None:
    folder = own / "run"
    typed = [*NAMED, *TINY, "epochs=2", f"hydra.run.dir={folder}"]
    done = type_command("run", *typed, cwd=own)
    assert done.returncode == 0, done.stderr
    hint = done.stdout.splitlines()[-1].rpartition("python -m ")[2].split()
    assert hint == ["cifar_arch.evaluate", "run", "--plugin", "my_blocks.py"]
    for command in ("evaluate", "export"):
        said = type_command(command, str(folder), cwd=own).stderr
        assert said.startswith("model.c2.kind: unknown kind 'ghost'; choose from plain, ")
        assert said.endswith("one of your own needs its file, --plugin FILE.py\n")
    (folder / "summary.json").unlink()
    resumed = type_command("run", f"training.resume={folder}", "plugins=[my_blocks.py]", cwd=own)
    assert resumed.returncode == 0, resumed.stderr
    for command in ("evaluate", "export"):
        done = type_command(command, str(folder), "--plugin", "my_blocks.py", cwd=own)
        assert done.returncode == 0, done.stderr
    card = type_command("card", str(folder), "--plugin", "my_blocks.py", "--to", "card", cwd=own)
    assert card.returncode == 0, card.stderr
    for name in ("own", "my_blocks.py", "run"):  # the card stands alone
        os.rename(own / name, own / f"{name}.away")
    files = [own / "card" / name for name in ("README.md", "experiment/winner.yaml")]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    evaluated, *again = map(shlex.split, re.findall("^(?:# )?(python -m.*)", text, re.MULTILINE))
    for words in (evaluated[2:], *(["cifar_arch.check", *train[3:]] for train in again)):
        done = type_command(words[0].removeprefix("cifar_arch."), *words[1:], cwd=own)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_sweep_and_its_confirmation_take_it(own: Path) -> None:
    os.replace(own / "my_blocks.py", own / "own" / "my_blocks.py")  # beside the configs
    typed = [*NAMED[:-1], "c2=ghost,plain", *TINY, "epochs=1", "study=s", "workers=2"]
    done = type_command("run", "-m", *typed, cwd=own)
    assert done.returncode == 0, done.stderr
    best = (own / "outputs" / "sweeps" / "s" / "experiment" / "best.yaml").read_text(encoding="utf-8")
    assert "my_blocks" not in best
    printed = re.findall(r"^  python -m cifar_arch\.(run|confirm) (.*)", done.stdout, re.M)
    assert {name for name, _ in printed} == {"run", "confirm"}
    assert all("my_blocks.py" in words for _, words in printed)
    for words in (shlex.split(words) for name, words in printed if name == "run"):
        again = type_command("check", *words, cwd=own)
        assert again.returncode == 0, again.stderr
    confirm = ("s", "--trial", "0", "1", "--seeds", "1", "--epochs", "1")
    said = type_command("confirm", *confirm, cwd=own).stderr
    assert "unknown kind 'ghost'" in said
    assert said.endswith("one of your own needs its file, --plugin FILE.py\n")
    done = type_command("confirm", *confirm, "--plugin", "own/my_blocks.py", cwd=own)
    assert done.returncode == 0, done.stderr
    (words,) = re.findall(r"^  python -m cifar_arch\.run (.*)", done.stdout, re.M)
    again = type_command("check", *shlex.split(words), cwd=own)
    assert again.returncode == 0, again.stderr
    for folder in (own / "outputs" / "sweeps" / "s" / "0", own / "outputs" / "confirm" / "s" / "0"):
        words = shlex.split(summary_of(folder)["command"])[3:]
        again = type_command("check", *words, cwd=own)
        assert again.returncode == 0, again.stderr


def test_nothing_that_a_run_folder_names_is_imported(own: Path) -> None:
    folder = own / "run"
    (folder / ".hydra").mkdir(parents=True)
    trap = f"from pathlib import Path\nPath({str(own / 'sprung')!r}).touch()\n"
    (own / "trap.py").write_text(trap, encoding="utf-8")
    config = "plugins: [trap.py]\nhydra: {overrides: {task: []}, runtime: {cwd: .}}\nmodel: {}\n"
    (folder / ".hydra" / "config.yaml").write_text(config, encoding="utf-8")
    done = type_command("run", f"training.resume={folder}", cwd=own)
    assert done.returncode == 2
    assert not (own / "sprung").exists()


FILES = {
    "plugins: no file 'none.py' in ": None,
    "plugins: 'own.py' cannot be imported (NameError: name 'nothing' is not defined)": "nothing",
    "plugins: 'own.py' cannot be imported (NameError: name 'Nowhere' is not defined)": (
        GHOST.replace("def convs", "ratio: 'Nowhere'\n\n    def convs")
    ),
    "plugins: 'own.py' cannot be imported (TypeError: Type unions may not contain ": (
        GHOST.replace("def convs", "sizes: list[int] | tuple[int, int]\n\n    def convs")
    ),
    "plugins: 'own.py' adds no block; end it with BLOCKS['name'] = Name": "x = 1",
    "plugins: 'own.py' replaces the kind 'plain'; give yours another name": (
        "from cifar_arch.blocks import BLOCKS, Dilated\nBLOCKS['plain'] = Dilated"
    ),
    "plugins: 'own.py': BLOCKS['mine']: the key has to be the name of the class Dilated in lower case; "
    "type BLOCKS['dilated'] = Dilated": (
        "from cifar_arch.blocks import BLOCKS, Dilated\nBLOCKS['mine'] = Dilated"
    ),
    "plugins: 'own.py': BLOCKS['conv']: expected a class that inherits from Block, got Conv; name one": (
        "from cifar_arch.blocks import BLOCKS, Conv\nBLOCKS['conv'] = Conv"
    ),
    "plugins: 'own.py': DOWNSAMPLERS['one']: expected a class that inherits from Downsampler or Block, ": (
        "from cifar_arch.downsample import DOWNSAMPLERS\nDOWNSAMPLERS['one'] = 1"
    ),
}


@pytest.mark.parametrize(("sentence", "text"), FILES.items())
def test_a_file_that_cannot_be_used(sentence: str, text: str | None, tmp_path: Path) -> None:
    if text:
        (tmp_path / "own.py").write_text(text, encoding="utf-8")
    before = dict(BLOCKS)
    with pytest.raises(ConfigError) as error:
        load_plugins(["own.py" if text else "none.py"], [tmp_path])
    assert str(error.value).startswith(sentence)
    assert before == BLOCKS


@pytest.mark.parametrize("files", ["own.py", [3], None])
def test_what_is_no_list_of_files(files: Any) -> None:
    sentence = r"^plugins: expected a list of Python files, got ('own.py'|\[3\]|null); type 'plugins="
    with pytest.raises(ConfigError, match=sentence):
        load_plugins(files)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "own.txt").touch()
    with pytest.raises(ConfigError, match=r"^plugins: 'own.txt' is no Python file; "):
        load_plugins(["own.txt"], [tmp_path])
