"""The notebook runs from the first cell to the last in a fresh kernel."""

import ast
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import CHECKOUT, ended, environment
from nbclient import NotebookClient

from cifar_arch.__main__ import COMMANDS

PATH = CHECKOUT / "notebooks" / "tour.ipynb"
NOTEBOOK = json.loads(PATH.read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_it_is_a_notebook_without_leftovers() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(ids) == len(set(ids))
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert "\nREAL = False  # True: CIFAR-10" in CODE[0]
    assert NOTEBOOK["metadata"]["accelerator"] == "GPU"  # what Colab asks for at the start


def test_every_command_that_it_names_exists() -> None:
    text = "".join("".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "markdown")
    names = re.findall(r"python -m cifar_arch\.(\w+)", text)
    assert names
    assert set(names) <= set(COMMANDS)


@pytest.mark.parametrize("real", [False, True])
def test_the_switch_chooses_the_pictures(real: bool) -> None:
    """The data of both positions are valid, without training on them."""
    from cifar_arch.experiment import Experiment

    (cell,) = [cell for cell in CODE if "EXPERIMENT = {" in cell]
    tree = ast.parse(cell)
    (assigned,) = [
        n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "EXPERIMENT"
    ]
    (model,) = [
        n
        for n in ast.parse(CODE[1]).body
        if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "MODEL"
    ]
    made = eval(
        ast.unparse(assigned.value), {"REAL": real, "DATA": "there", "MODEL": ast.literal_eval(model.value)}
    )
    assert Experiment.from_dict(made).data.name == ("cifar10" if real else "shapes")


def test_without_the_package_it_says_what_to_do(tmp_path: Path) -> None:
    hidden = "import importlib.util\nimportlib.util.find_spec = lambda name: None\n"
    done = ended([sys.executable, "-c", hidden + CODE[0]], tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().startswith("put the address of the repository into REPOSITORY above")


@pytest.mark.slow
def test_it_runs_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(PATH, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    for words in (
        "model.c1.kind: unknown kind 'plian'; choose from",
        "outside the limits: fewer than 200,000 trainable parameters are allowed",
        "the synthetic data set never counts towards the target",
        "points, folders in outputs/sweeps/tour-shapes",
        "rejected)",
    ):
        assert words in printed, words
    shown = [set(output["data"]) for output in outputs if "data" in output]
    assert [kinds & {"image/png", "text/html"} for kinds in shown] == [
        {"image/png"},  # the drawing
        {"text/html"},  # the runs
        {"text/html"},  # the effects
    ]
    assert len(list((tmp_path / "outputs/sweeps/tour-shapes").glob("*/summary.json"))) >= 4
