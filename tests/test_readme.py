"""The documents stay true: commands run, outputs and file trees are as shown, links resolve."""

import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import CHECKOUT, Cli, ended

from cifar_arch.compose import compose
from cifar_arch.experiment import Experiment
from cifar_arch.feasibility import judge
from cifar_arch.search.preview import preview
from cifar_arch.search.speed import Speed

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
CHECK, RUN = "python -m cifar_arch.check ", "python -m cifar_arch.run"
# What makes a run short: few synthetic images, once.
SHORT = ("data=shapes", "data.validation=5700", "training.epochs=1")
COMPLETION = 'eval "$(cifar-arch -sc install=bash)"'  # tests/test_package.py types it


class Fence(NamedTuple):
    section: str
    language: str
    body: str
    follows: str  # the text between the fence before and this one


def fences(text: str) -> list[Fence]:
    found, section, end = [], "", 0
    for match in re.finditer(
        r"^## (?P<section>[^\n]*)$|^```(?P<lang>\w+)\n(?P<body>.*?)^```$", text, re.M | re.S
    ):
        if match["section"]:
            section = match["section"]
        else:
            found.append(Fence(section, match["lang"], match["body"], text[end : match.start()].strip()))
            end = match.end()
    return found


FENCES = fences(README)
COMMANDS = [
    (fence.section, line) for fence in FENCES if fence.language == "sh" for line in fence.body.splitlines()
]
CHECKS = [line for section, line in COMMANDS if line.startswith(CHECK) and section != "Add a block"]
RUNS = [line for section, line in COMMANDS if line.startswith(RUN) and section != "Add a block"]
TABLED = re.findall(rf"`({RUN} [^`]+)`", README)  # in tables and sentences
OF_DOCS = [
    command
    for path in sorted(CHECKOUT.glob("docs/*.md"))
    for command in re.findall(rf"(?:^|`)({RUN} -m [^`\n]+)", path.read_text(encoding="utf-8"), re.M)
]
SWEEPS = list(dict.fromkeys(line for line in [*RUNS, *TABLED, *OF_DOCS] if line.startswith(f"{RUN} -m ")))
TRAININGS = [line for line in RUNS if line not in SWEEPS and "--help" not in line and "RUN" not in line]


def section(name: str, language: str) -> list[str]:
    return [fence.body for fence in FENCES if (fence.section, fence.language) == (name, language)]


def overrides(command: str) -> list[str]:
    return shlex.split(command)[3:]


def typed(command: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """What `python -m ...` prints when a person types it in `folder`."""
    return ended([sys.executable, *shlex.split(command)[1:], *more], folder)


def same(shown: str, printed: str) -> bool:
    """Whether `printed` is what is shown; a line of three dots stands for any lines."""
    lines = [r"(?:.*\n)*" if line == "..." else re.escape(f"{line}\n") for line in shown.splitlines()]
    return re.fullmatch("".join(lines), printed.strip() + "\n") is not None


def test_quick_start_is_two_commands_that_ci_runs_too() -> None:
    first, second = section("Quick start", "sh")[0].splitlines()
    before, _, main = first.partition(" && uv run ")
    assert before == "pip install uv"
    assert main == f"{RUN} -m +search=quickstart"
    assert Experiment.from_dict(compose(overrides(main)[1:])).data.name == "shapes"
    assert second in (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_every_command_is_of_a_kind_that_is_tested() -> None:
    quick = section("Quick start", "sh")[0].splitlines()
    tested = (*quick, *CHECKS, *TRAININGS, *SWEEPS, COMPLETION)
    forms = rf"{RUN} (--help|training\.resume=RUN)|python -m cifar_arch\.evaluate RUN|uv sync.*"
    forms += (
        r"|python -m cifar_arch\.(report|confirm|export|evaluate) .+"  # their options: test_options_exist
    )
    for part, line in COMMANDS:
        assert line in tested or part == "Add a block" or re.fullmatch(forms, line), line


@pytest.mark.parametrize(
    "command", [c for _, c in COMMANDS if re.search(r"\.(report|confirm|export|evaluate)\b", c)]
)
def test_options_exist(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    """The parser understands the command; there is nothing here for it to work on."""
    monkeypatch.chdir(tmp_path)
    module, *arguments = shlex.split(command.partition("python -m cifar_arch.")[2])
    done = cli("report.command" if module == "report" else module, *arguments)
    assert done.status in (0, 2), done.err
    assert "usage:" not in done.err
    assert len(done.err.splitlines()) <= 1


@pytest.mark.parametrize(
    "command", [pytest.param(c, marks=pytest.mark.slow) if " -m " in c else c for c in CHECKS]
)
def test_checks_print_what_is_shown(command: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cifar_arch.search.preview.training_speed", lambda *_: Speed(1447.0, busy=False))
    _, out, err = cli("check", *shlex.split(command)[3:])
    for fence, after in pairwise(FENCES):
        if fence.body.strip() == command and after.language == "text" and not after.follows:
            assert same(after.body, out + err), out + err
            return
    pytest.fail(f"README shows no output of {command}")


@pytest.mark.parametrize(
    "command", [*TRAININGS, *(c for c in TABLED if c not in SWEEPS and "--config-dir" not in c)]
)
def test_runs_compose_within_their_limits(command: str) -> None:
    experiment = Experiment.from_dict(compose(overrides(command)))
    assert judge(experiment.model, experiment.limits, experiment.augment.active()).ok


@pytest.mark.slow
@pytest.mark.parametrize("command", SWEEPS)
def test_sweeps_have_something_to_train(command: str) -> None:
    for launcher in re.findall(r"cluster=(ray)|launcher=(joblib)", command):
        pytest.importorskip(f"hydra_plugins.hydra_{''.join(launcher)}_launcher", reason="needs an extra")
    assert " trials of " in preview(overrides(command)[1:])


def outline(text: str) -> list[str]:
    """The lines of a sweep that are the same for each: what stands before its first value."""
    words = ("is done", "rank ", "train ", "tables ", "look ", "  python", "  optuna", "accuracies ")
    return [re.split(r"[\d/=:]", line)[0] for line in text.splitlines() if any(w in line for w in words)]


@pytest.mark.slow
def test_the_quick_start_prints_what_is_shown(tmp_path: Path) -> None:
    (main,) = (line.partition(" && uv run ")[2] for line in section("Quick start", "sh")[0].splitlines()[:1])
    done = typed(main, tmp_path, "data.validation=5700", "epochs=1", "n_trials=3")
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.sub(r"(quickstart)-\w+", r"\1", section("Quick start", "text")[0])
    assert outline(re.sub(r"(quickstart)-\w+", r"\1", done.stdout)) == outline(shown)


@pytest.mark.slow
@pytest.mark.parametrize("command", [line for line in TRAININGS if line != RUN])  # that is `run_folder`
def test_runs_train(command: str, tmp_path: Path) -> None:
    done = typed(command, tmp_path, *SHORT)
    assert done.returncode == 0, done.stderr
    assert "validation accuracy" in done.stdout


@pytest.mark.slow
def test_help_is_printed(tmp_path: Path) -> None:
    done = typed(f"{RUN} --help", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "width -> model.width" in done.stdout


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    place = tmp_path_factory.mktemp("readme")
    done = typed(RUN, place, *SHORT)
    assert done.returncode == 0, done.stderr
    (summary,) = place.glob("outputs/runs/*/*/summary.json")
    return summary.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [line for _, line in COMMANDS if re.search(r"\bRUN$", line)], ids=lambda line: line[21:]
)
def test_commands_on_a_run_take_its_folder(command: str, run_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run_folder, tmp_path / "run")  # some leave a file there
    done = typed(command.replace("RUN", str(folder)), tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_run_leaves_what_is_shown(run_folder: Path) -> None:
    (shown,) = section("What a run leaves", "text")
    named = {line.split()[0] for line in shown.splitlines()[1:]}
    left = {str(path.relative_to(run_folder)) for path in run_folder.rglob("*") if path.is_file()}
    assert named - left == set()
    assert {name for name in left - named if not name.startswith(".hydra/")} == set()


@pytest.mark.slow
def test_the_python_example_runs(tmp_path: Path) -> None:
    (example,) = section("From Python", "python")
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    done = typed("python example.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^validation accuracy \d+\.\d%$", done.stdout, re.M)


@pytest.fixture
def extended(tmp_path: Path) -> Path:
    """A folder with the files of README's own block."""
    (block,) = section("Add a block", "python")
    assert len([line for line in block.splitlines() if line.strip()]) == 6
    (tmp_path / "my_blocks.py").write_text(block, encoding="utf-8")
    (options,) = section("Add a block", "yaml")
    (tmp_path / "own" / "block").mkdir(parents=True)
    (tmp_path / "own" / "block" / "bottleneck.yaml").write_text(options, encoding="utf-8")
    return tmp_path


def block_command(start: str) -> str:
    (command,) = [line for part, line in COMMANDS if part == "Add a block" and line.startswith(start)]
    return command


def test_a_block_in_six_lines_is_checked(extended: Path) -> None:
    done = typed(block_command(CHECK), extended)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^c2\.1\.sum1\.conv4 +32x16x16 +3x3 ", done.stdout, re.M)


@pytest.mark.slow
@pytest.mark.parametrize("start", [f"{RUN} --config-dir", f"{RUN} -m"])
def test_a_block_in_six_lines_trains(start: str, extended: Path) -> None:
    done = typed(block_command(start), extended, *SHORT)
    assert done.returncode == 0, done.stderr
