"""What may be typed beside overrides: --config-dir, --cfg, --info, and the modes of Hydra."""

import re
import warnings
from pathlib import Path

import pytest
from conftest import Cli

import cifar_arch
from cifar_arch.hydra_mistakes import unknown_option

pytestmark = pytest.mark.usefixtures("here")

# Folders that a shell and a file system take.
NAMES = ("own", "größe", "a,b", "k=v", "par(en)", "with space", "[x]", "100%", "a#b")
COMMANDS = {"check": (), "run": (), "check -m": ("width=8,16",), "run -m": ("width=8,16",)}


def own(name: str = "own") -> str:
    """A folder that has its own idea of two of our options, and one of its own."""
    for path, text in {
        "limits/eva6.yaml": "params_below: 1000\n",
        "limits/mine.yaml": "params_below: 2000\n",
    }.items():
        file = Path(name, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return name


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("limits", ["eva6", "mine"])
def test_own_configs_are_found_before_ours(command: str, limits: str, cli: Cli) -> None:
    most = {"eva6": "1,000", "mine": "2,000"}[limits]
    typed = (*command.split(), *COMMANDS[command], "--config-dir", own(), f"limits={limits}")
    done = cli(*typed)
    if command == "check -m":
        assert "rule params is broken by 100.0%" in done.out
    else:
        assert f"fewer than {most} trainable parameters are allowed" in done.out + done.err


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_folder_of_configs_may_have_any_name(command: str, name: str, cli: Cli) -> None:
    done = cli(command, "--config-dir", own(name))
    assert "fewer than 1,000 trainable parameters are allowed" in done.out + done.err


def test_an_own_config_yaml_does_not_hide_ours(cli: Cli) -> None:
    Path(own(), "config.yaml").write_text("seed: 3\n", encoding="utf-8")
    for command in ("check", "run"):
        done = cli(command, "--config-dir", "own")
        assert done.status == 2
        assert done.err == (
            "--config-dir: 'own' holds a config.yaml, which would replace the tool's own; "
            "move it to experiment/NAME.yaml there and type +experiment=NAME\n"
        )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_configs_that_is_none(command: str, cli: Cli) -> None:
    done = cli(*command.split(), *COMMANDS[command], "--config-dir", "nosuch")
    assert (done.status, done.err) == (2, "--config-dir: expected a folder, got 'nosuch'\n")


# What is typed: something that it shows of +search=blocks.
SHOWN = {
    "--cfg job": "n_trials: 40\n",
    "--cfg all -p hydra.sweeper.params": "block@model.c1: choice(plain, plain_residual)\n",
    "--info defaults": "| search/blocks ",
    "--info config": "n_trials: 40\n",
    "--help": "n_trials: 40\n",
}


@pytest.mark.parametrize("typed", SHOWN)
def test_what_a_search_composes_is_shown_without_training(typed: str, cli: Cli) -> None:
    done = cli("run", *typed.split(), "+search=blocks")
    assert (done.status, done.err) == (0, "")
    assert SHOWN[typed] in done.out
    assert list(Path.cwd().iterdir()) == []


def test_a_search_is_shown_without_m(cli: Cli) -> None:
    done = cli("run", "-m", "--cfg", "job", "+search=blocks")
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert done.err.startswith(
        "--cfg and --info show what one command would run, got -m or another mode as well; "
    )


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("typed", "better"),
    [
        ("+search=blocks", "+search=blocks"),
        ("++search=blocks", "+search=blocks"),
        ("search=blocks", "+search=blocks"),
    ],
)
def test_a_search_needs_m(command: str, typed: str, better: str, cli: Cli) -> None:
    done = cli(command, typed)
    assert (done.status, done.out) == (2, "")
    assert done.err == f"search: a space to sweep over, got {typed}; type -m {better}\n"


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    "typed",
    [
        *("n_trials=3", "workers=2", "++gpus=[0]", "prefer=small", "study=a/b", "storage=x"),
        *("sampler=gp", "pruner=none", "+cluster=slurm", "hydra/launcher=joblib"),
        *("hydra.sweeper.largest_first=3", "hydra.launcher.partition=x", "hydra.sweep.dir=x"),
    ],
)
def test_numbers_of_a_sweep_need_m(command: str, typed: str, cli: Cli) -> None:
    done = cli(command, typed)
    assert (done.status, done.out) == (2, "")
    key = typed.strip("+").partition("=")[0]
    assert done.err == f"{key}: only applies to sweeps, got {typed}; add -m, or leave it out\n"


# What is typed: how its sentence begins.
OBJECTIVES = {
    "objectives=[foo]": "objectives[0]: expected one of accuracy, latency, macs, params, got 'foo'\n",
    "objectives=accuracy": "objectives: expected a list such as [a,b], got 'accuracy'\n",
    "objectives=[accuracy],[params]": "objectives: one value is expected, got [accuracy],[params]; ",
}


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("typed", OBJECTIVES)
def test_objectives_are_checked_without_m_too(command: str, typed: str, cli: Cli) -> None:
    done = cli(command, typed)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(OBJECTIVES[typed])


def test_what_yaml_refuses_is_named_once(cli: Cli) -> None:
    file = Path(own(), "search", "tab.yaml")
    file.parent.mkdir()
    file.write_text("# @package _global_\nhydra:\n\tsweeper: 3\n", encoding="utf-8")
    done = cli("check", "-m", "+search=tab", "--config-dir", "own")
    assert done.status == 2
    assert done.err.startswith("own/search/tab.yaml: line 3 cannot be read as YAML (found character that ")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ['hydra.mode="MULTIRUN"', "hydra.mode=MULTIRUN", "hydra={mode:MULTIRUN}"])
def test_the_mode_of_hydra_may_be_typed_in_each_form(mode: str, cli: Cli) -> None:
    done = cli("run", mode, "width=64,96", "c4=plain")
    assert done.status == 2
    assert done.err.startswith("nothing inside the limits among 2 candidates")


def test_every_command_is_listed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    package = Path(cifar_arch.__file__).parent
    texts = {path.stem: path.read_text(encoding="utf-8") for path in package.glob("*.py")}
    runnable = {name for name, text in texts.items() if "__main__" in text} - {"__main__", "__init__"} | {
        "report"
    }
    done = cli("__main__")
    assert done.status == 0
    assert max(map(len, done.out.splitlines())) <= 80
    assert set(re.findall(r"^python -m cifar_arch\.(\w+) ", done.out, re.MULTILINE)) == runnable
    assert cli("__main__", "report", "outputs").status == 2


ADDRESSES = {
    "run": "storage=postgresql://ann:hunter2@host/db",
    "run -m": "storage=mysql://ann:hunter2@host/db?password=hunter2 width=8,16",
    "check -m": "storage=postgresql://ann:hunter2@host/db,sqlite:///a.db width=8,16",
}


@pytest.mark.parametrize(("command", "typed"), ADDRESSES.items())
def test_no_sentence_repeats_a_password(command: str, typed: str, cli: Cli) -> None:
    done = cli(*command.split(), *typed.split())
    assert (done.status, done.out) == (2, "")
    assert "://ann:***@" in done.err
    assert "hunter2" not in done.err


def test_a_launcher_that_is_not_installed_says_what_to_type() -> None:
    assert unknown_option("hydra/launcher", "hydra/launcher", "ray", "basic") == (
        "hydra/launcher: needs a package that is not installed, got ray; type uv sync --inexact --extra ray "
        "(without uv: pip install '.[ray]'), or choose from basic"
    )


def test_a_search_path_that_is_none_is_no_warning(cli: Cli) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = cli("check", "hydra.searchpath=[nosuch]")
    assert done.err == (
        "hydra.searchpath: expected folders of configs, got nosuch, which is none; name one that exists\n"
    )


MISTYPED = {
    "--width 24": "options: unrecognized arguments: --width; type a key as KEY=VALUE, width=24, and an ",
    "width:24": "'width:24': cannot be read; type width=24, a value with ~, spaces or ",
    "width:": "'width:': cannot be read; type key=value, a value with ~, spaces or ",
}


@pytest.mark.parametrize("typed", MISTYPED)
def test_a_key_that_is_typed_as_elsewhere(typed: str, cli: Cli) -> None:
    done = cli("run", *typed.split())
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(MISTYPED[typed])
