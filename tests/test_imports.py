"""Which module may import what, proved in fresh processes and on the source."""

import ast
import copy
from pathlib import Path
from types import ModuleType

import pytest
from conftest import python

import cifar_arch
from cifar_arch import report

PACKAGE = Path(cifar_arch.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}

# Every module of the static half with all that it may import of ours.
STATIC = {
    "schema": "",
    "layers": "",
    "blocks": "layers schema",
    "downsample": "blocks layers schema",
    "spec": "blocks downsample layers schema",
    "analysis": "layers",
    "limits": "analysis schema",
    "feasibility": "analysis blocks downsample latency layers limits schema spec",
}
LEARNING = ["torch", "torchvision", "albumentations", "cv2"]
TABLES = ["pandas", "matplotlib", "optuna"]
HYDRA = ["hydra", "omegaconf"]

# modules, and what a process that imported them must not have loaded
LOADED = [
    (" ".join(STATIC), [*LEARNING, *TABLES, *HYDRA, "numpy"]),
    (
        "recipe terminal runfolder record provenance augment data cifar10 shapes experiment",
        [*LEARNING, *TABLES, *HYDRA],
    ),
    ("compose check", [*LEARNING, *TABLES]),
    ("search.local", [*LEARNING, *HYDRA]),
    ("training", [*TABLES, *HYDRA]),
    ("plots drawing report.command report.page confirm export evaluate", [*LEARNING, *HYDRA, "optuna"]),
]


def loaded_after(code: str, names: list[str]) -> list[str]:
    """Which of `names` a fresh process has loaded after `code`."""
    code = f"import sys\n{code}\nprint(*(n for n in {names} if n in sys.modules))"
    done = python(code)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(("modules", "forbidden"), LOADED)
def test_loaded_in_a_fresh_process(modules: str, forbidden: list[str]) -> None:
    code = "\n".join(f"import cifar_arch.{module}" for module in modules.split())
    assert loaded_after(code, forbidden) == []


def test_a_whole_check_loads_no_torch() -> None:
    code = """
from cifar_arch import check
sys.argv = ["check", "width=40"]
try:
    check.main()
except SystemExit as end:
    assert end.code == 1
"""
    assert loaded_after(code, [*LEARNING, *TABLES]) == []


def test_from_a_dict_to_a_network_torch_is_all_that_loads() -> None:
    code = """
from cifar_arch.analysis import analyse
from cifar_arch.network import build
from cifar_arch.spec import Architecture
blocks = {f"c{n}": {"kind": "plain"} for n in (1, 2, 3, 4)}
transitions = {f"t{n}": {"kind": "strided"} for n in (1, 2, 3)}
plan = Architecture.from_dict({**blocks, **transitions, "width": 4}).plan()
assert analyse(plan).params == sum(p.numel() for p in build(plan).parameters())
"""
    assert loaded_after(code, ["torch", *TABLES, *HYDRA, "albumentations", "cv2"]) == ["torch"]


def imported(tree: ast.AST) -> set[str]:
    """Full names of all imports, those inside functions too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def untyped(tree: ast.Module) -> ast.AST:
    """The module without what it imports for the types of its annotations alone."""

    class Remove(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    return Remove().visit(copy.deepcopy(tree))


def users_of(*libraries: str) -> set[str]:
    return {
        module
        for module, tree in MODULES.items()
        if any(name.partition(".")[0] in libraries for name in imported(tree))
    }


def test_hydra_stays_at_the_edge() -> None:
    users = users_of("hydra", "omegaconf")
    outside = {module for module in users if not module.startswith("search.")}
    assert outside <= {"app", "compose", "idle_choices", "overrides", "saved_config"}
    assert "search.study" not in users


def test_optuna_stays_in_the_search() -> None:
    assert {module for module in users_of("optuna") if not module.startswith("search.")} == set()


def test_torch_stays_in_the_learning_half() -> None:
    assert not users_of("torch", "torchvision", "albumentations", "numpy") & {*STATIC, "check", "compose"}


@pytest.mark.parametrize("module", STATIC)
def test_direction_of_imports_in_the_static_half(module: str) -> None:
    ours = {
        name.split(".")[1]
        for name in imported(MODULES[module])
        if name.startswith("cifar_arch.") and name.split(".")[1] in MODULES
    }
    assert ours <= set(STATIC[module].split())


def test_network_reads_the_plan_alone() -> None:
    ours = {n.split(".")[1] for n in imported(MODULES["network"]) if n.startswith("cifar_arch.")}
    assert ours == {"layers"}


def listed() -> list[str]:
    """The modules in the order of ARCHITECTURE.md, those of `search` and `report` with the folder's name."""
    text = (PACKAGE.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.partition("## The direction of imports")[2]
    names, folder = [], ""
    for line in section.partition("```text\n")[2].partition("```")[0].splitlines():
        if line.startswith("  "):
            names += [folder + name for name in line.split()]
        else:
            folder = f"{line.partition('/')[0]}." if "/:" in line else ""
    return names


def test_every_module_imports_only_what_stands_before_it_in_the_list() -> None:
    order = listed()
    assert sorted(order) == sorted(name for name in MODULES if not name.endswith("__main__"))
    for place, module in enumerate(order):
        ours = {name.removeprefix("cifar_arch.") for name in imported(untyped(MODULES[module]))}
        assert ours & set(order) <= set(order[:place]), module


@pytest.mark.parametrize("module", [cifar_arch, report])
def test_a_name_that_a_package_has_not_is_an_error_of_its_own(module: ModuleType) -> None:
    with pytest.raises(AttributeError, match=rf"^module '{module.__name__}' has no attribute 'nothing'$"):
        _ = module.nothing
