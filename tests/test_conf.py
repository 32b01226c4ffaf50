"""Every YAML composes, analyses and builds, and opens with the command that uses it."""

import functools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import asdict
from omegaconf import OmegaConf

from cifar_arch.analysis import analyse
from cifar_arch.augment import Augment
from cifar_arch.blocks import BLOCKS, Block
from cifar_arch.compose import compose
from cifar_arch.data import DataConfig
from cifar_arch.downsample import DOWNSAMPLERS
from cifar_arch.experiment import Experiment
from cifar_arch.feasibility import FORMS, judge
from cifar_arch.limits import Limits
from cifar_arch.network import build
from cifar_arch.overrides import CONF
from cifar_arch.recipe import Recipe
from cifar_arch.schema import checked
from cifar_arch.search.options import Options
from cifar_arch.search.study import Bounds

FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml"))
SWEEPS = ("cluster", "search")  # groups of sweeps alone
CHOICES = [path for path in FILES if len(path.parts) == 2 and path.parts[0] not in SWEEPS]
MODELS, BLOCK_FILES, DOWNSAMPLE_FILES = (
    [path.stem for path in CHOICES if path.parts[0] == group] for group in ("model", "block", "downsample")
)


@functools.cache  # the first lines of most options and their own tests type the same
def composed(*typed: str) -> dict[str, Any]:
    return compose(typed)


def opening(path: Path) -> list[str]:
    """The comment lines at the top, but for Hydra's own."""
    lines = (CONF / path).read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return [line for line in lines[:end] if not line.startswith("# @package")]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_opens_with_a_comment(path: Path) -> None:
    lines = opening(path)
    assert lines
    # zsh, the shell of a Mac, takes them for patterns of file names, and finds none.
    assert not re.search(r"python .* [\w.+/]+=[\[*?]", "\n".join(lines))


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] not in ("hydra", *SWEEPS)], ids=str)
def test_opens_with_a_command_that_uses_it(path: Path) -> None:
    command = re.match(r"# python -m cifar_arch\.(run|check)(( \S+)*)", opening(path)[0])
    assert command, opening(path)[0]
    typed = shlex.split(command.group(2))
    made = Experiment.from_dict(composed(*typed))
    assert Experiment.from_dict(made.to_dict()) == made
    if len(path.parts) == 2:
        group = re.escape(path.parts[0])
        names = rf"(\+?{group}|{'c' if group == 'block' else 't'}\d)={path.stem}"
        assert any(re.fullmatch(names, override) for override in typed)


CLUSTERS = {
    "gpus": (None, 4),
    "slurm": ("hydra_plugins.hydra_submitit_launcher", 4),
    "ray": ("hydra_plugins.hydra_ray_launcher", 2),
}


@pytest.mark.extra
@pytest.mark.parametrize("name", CLUSTERS)
def test_every_cluster_composes_as_its_first_line_says(name: str) -> None:
    plugin, workers = CLUSTERS[name]
    if plugin:
        pytest.importorskip(plugin)
    assert compose([f"+cluster={name}"])["workers"] == workers
    typed = shlex.split(opening(Path("cluster", f"{name}.yaml"))[0].partition("cifar_arch.run -m ")[2])
    config = compose(typed)
    assert config["workers"] != workers
    Experiment.from_dict(config)


def test_every_cluster_is_tried() -> None:
    assert {path.stem for path in FILES if path.parts[0] == "cluster"} == set(CLUSTERS)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_builds(name: str) -> None:
    model = Experiment.from_dict(composed(f"model={name}")).model
    plan = model.plan()
    assert analyse(plan).params == sum(p.numel() for p in build(plan).parameters())
    assert build(plan)(torch.rand(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", BLOCK_FILES)
def test_block_options_are_the_suggested_forms(name: str) -> None:
    fields: Any = composed(f"c3={name}")["model"]["c3"]
    block: type[Block] = BLOCKS[fields["kind"]]
    assert checked(block, fields, "model.c3") == FORMS[name]


def test_every_form_has_its_option() -> None:
    assert set(BLOCK_FILES) == set(FORMS)
    kinds = set(DOWNSAMPLERS) - {"custom"}
    assert set(DOWNSAMPLE_FILES) == kinds | {f"{kind}_separable" for kind in kinds}


@pytest.mark.parametrize("name", DOWNSAMPLE_FILES)
def test_each_downsample_option_is_a_kind_that_may_be_separable(name: str) -> None:
    kind, _, separable = name.partition("_")
    assert composed(f"t2={name}")["model"]["t2"] == {"kind": kind, "separable": separable == "separable"}


def test_default_width_uses_up_the_limit() -> None:
    auto = Experiment.from_dict(composed("width=auto"))
    assert judge(auto.model, auto.limits).architecture == Experiment.from_dict(composed()).model


def test_no_hidden_calls() -> None:
    """`_target_` would let a config call anything."""
    ours = [path for path in FILES if path.parts[0] != "hydra"]  # Hydra needs it in its own groups
    assert not [path for path in ours if "_target_" in (CONF / path).read_text(encoding="utf-8")]


def test_the_defaults_of_python_are_those_of_the_command_line() -> None:
    assert Experiment.from_dict(composed()).training == Recipe()
    none = Experiment.from_dict(composed("augment=none", "limits=none"))
    assert (none.augment, none.limits) == (Augment(), Limits())
    assert none.data == DataConfig(root=none.data.root)
    sweep = Options.from_dict(composed())
    assert sweep == Options(storage=sweep.storage)
    numbers: Any = OmegaConf.load(CONF / "hydra" / "sweeper" / "cifar_arch.yaml")
    assert asdict(Bounds()).items() <= numbers.items()
