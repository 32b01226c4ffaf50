"""The wheel carries conf/, works outside the checkout, completes at the shell; everything is pinned."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from types import MappingProxyType

import pytest
from conftest import CHECKOUT

UV = os.environ.get("UV") or shutil.which("uv")
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))

needs_uv = pytest.mark.skipif(UV is None, reason="needs uv, which builds the wheel: pip install uv")


def name_of(requirement: str) -> str:
    """The normalised name in front of a requirement's extras, versions and marker."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[=<>!~; ]", requirement)[0]).lower()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment that holds the wheel; everything else it sees in this one's site-packages.

    A .pth file lends them: .pth files in a folder so lent, the checkout's own among them, do not count.
    """
    place = tmp_path_factory.mktemp("package")

    def uv(*arguments: str | Path) -> None:
        assert UV  # else skipped
        subprocess.run([UV, *map(str, arguments)], cwd=CHECKOUT, check=True, capture_output=True, text=True)

    uv("build", "--wheel", "--out-dir", place / "dist")
    (wheel,) = (place / "dist").glob("*.whl")
    uv("venv", "--python", sys.executable, place / "venv")
    uv("pip", "install", "--no-deps", "--python", place / "venv", wheel)
    (site,) = (place / "venv" / "lib").glob("python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return place / "venv"


def outside(
    installed: Path,
    tmp_path: Path,
    *command: str,
    torch: bool = False,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    """What a command of the installed wheel prints in an empty folder.

    Without `torch`, importing it ends the command.
    """
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "CIFAR"))}
    path = f"{installed / 'bin'}{os.pathsep}{keep['PATH']}"
    poison = {} if torch else {"PYTHONPATH": str(tmp_path / "poison")}
    if not torch:
        (tmp_path / "poison").mkdir(exist_ok=True)
        (tmp_path / "poison" / "torch.py").write_text(
            "raise SystemExit('torch was imported')\n", encoding="utf-8"
        )
    environment = {**keep, "PATH": path, **poison, **variables}
    (tmp_path / "elsewhere").mkdir(exist_ok=True)
    return subprocess.run(
        command, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@needs_uv
def test_the_wheel_runs_its_own_code_and_configs(installed: Path, tmp_path: Path) -> None:
    where = "import cifar_arch.compose as c; print(c.__file__); print(c.CONF)"
    done = outside(installed, tmp_path, "python", "-c", where)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert Path(line).is_relative_to(installed), line
    check = outside(installed, tmp_path, "python", "-m", "cifar_arch.check", "--json", "width=24")
    assert check.returncode == 0, check.stderr
    assert json.loads(check.stdout)["ok"]


@pytest.mark.slow
@needs_uv
def test_the_wheel_carries_every_config(installed: Path) -> None:
    (package,) = (installed / "lib").glob("python*/site-packages/cifar_arch")

    def below(folder: Path) -> set[str]:
        return {str(path.relative_to(folder)) for path in folder.rglob("*.yaml")}

    assert below(package / "conf") == below(CHECKOUT / "conf")
    assert not (package.parent / "conf").exists()  # a name that would be everybody's


@pytest.mark.slow
@needs_uv
def test_the_wheel_carries_the_page_of_the_report(installed: Path) -> None:
    (package,) = (installed / "lib").glob("python*/site-packages/cifar_arch")
    assert (package / "report" / "templates" / "report.html").is_file()


TYPED_BLOCK = """
from cifar_arch import Architecture, Limits, judge, load_network
from cifar_arch.blocks import BLOCKS, Conv, Unit
from cifar_arch.layers import Layer

class Small(Unit, frozen=True, kw_only=True):
    kernel: int = 3

    def convs(self, in_channels: int, out_channels: int) -> tuple[Layer, ...]:
        return (Conv(in_channels=in_channels, out_channels=out_channels, kernel=self.kernel),)

BLOCKS["small"] = Small
fields = judge(Architecture.from_dict({}), Limits(params_below=1000)).analysis.receptive_field + 1
network = load_network("run").eval()
"""


@pytest.mark.slow
@needs_uv
def test_who_extends_the_wheel_gets_its_types(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text(TYPED_BLOCK, encoding="utf-8")
    words = ("--strict", "--python-executable", str(installed / "bin" / "python"), "small.py")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@needs_uv
def test_the_wheel_trains_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    short = ("data=shapes", "data.validation=5700", "training.epochs=1")
    done = outside(installed, tmp_path, "cifar-arch", *short, torch=True)
    assert done.returncode == 0, done.stderr
    (summary,) = (tmp_path / "elsewhere").glob("outputs/runs/*/*/summary.json")
    content = json.loads(summary.read_text(encoding="utf-8"))
    assert content["status"] == "completed"
    assert content["git_commit"] is None  # no checkout made it


@pytest.mark.slow
@needs_uv
@pytest.mark.parametrize(
    ("typed", "proposal"),
    [
        ("limits=ev", "limits=eva6"),
        ("c3=dil", "c3=dilated"),
        ("training.ep", "training.epochs="),
    ],
)
def test_completion_proposes_what_fits(installed: Path, tmp_path: Path, typed: str, proposal: str) -> None:
    script = (
        'eval "$(cifar-arch -sc install=bash)"\nhydra_bash_completion\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    line = f"cifar-arch {typed}"
    asked = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_CWORD": "1"}
    done = outside(installed, tmp_path, "bash", "-c", script, variables=asked)
    assert proposal in done.stdout.split(), done.stdout + done.stderr


def test_every_requirement_has_both_bounds() -> None:
    project = PROJECT["project"]
    extras = [r for rs in project["optional-dependencies"].values() for r in rs]
    for requirement in [*project["dependencies"], *extras, *PROJECT["dependency-groups"]["dev"]]:
        assert "==" in requirement or (">=" in requirement and "<" in requirement), requirement


def test_everything_installed_here_is_pinned() -> None:
    pinned = {name_of(pin) for pin in PROJECT["tool"]["uv"]["constraint-dependencies"]}
    required = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    waiting, seen = [name_of(requirement) for requirement in required], set()
    known = {name_of(found.metadata["Name"]): found for found in distributions()}
    while waiting:
        name = waiting.pop()
        if name in seen or name not in known:  # not known: for another platform
            continue
        seen.add(name)
        plain = [r for r in known[name].requires or () if "extra ==" not in r]
        waiting += map(name_of, plain)
    assert seen - pinned == set()


def test_pins_carry_no_addresses() -> None:
    pins = PROJECT["tool"]["uv"]["constraint-dependencies"]
    form = re.compile(r"[a-z0-9.-]+==[a-z0-9.]+( ; python_version (<|>=) '3\.\d+')?")
    assert [pin for pin in pins if not form.fullmatch(pin)] == []


def test_a_test_that_needs_an_extra_runs_where_ci_has_installed_it() -> None:
    """There it runs those marked slow or extra alone."""
    for file in (CHECKOUT / "tests").glob("test_*.py"):
        text = file.read_text(encoding="utf-8")
        assert "importorskip(" not in text or re.search(r"mark\.(extra|slow)\b", text), file.name
