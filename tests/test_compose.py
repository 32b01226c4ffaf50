from pathlib import Path
from typing import Any

import pytest

from cifar_arch.compose import compose
from cifar_arch.experiment import Experiment
from cifar_arch.feasibility import Verdict, judge
from cifar_arch.schema import ConfigError

TOP = "choose from augment, c1, c2, c3, c4, data, depth, "
WIDTHS = "expected an integer at least 1 and at most 4096 or auto or null"

# what is typed, how its sentence starts
WRONG = [
    ("widht=3", f"widht: unknown key, did you mean 'width'? {TOP}"),
    ("modle=reference", f"modle: unknown key, did you mean 'model'? {TOP}"),
    ("head=conv", f"head: unknown key, did you mean 'model.head'? {TOP}"),
    ("lr=0.1", f"lr: unknown key, did you mean 'training.lr'? {TOP}"),
    ("model.wdith=3", "model.wdith: unknown key, did you mean 'model.width'? choose from model.activation, "),
    ("model.c1.laiers=3", "model.c1.laiers: unknown key, did you mean 'model.c1.layers'? choose from "),
    ("model.foo.bar=3", "model.foo.bar: unknown key; choose from model.activation, "),
    ("epochs.x=3", "epochs.x: unknown key, did you mean 'training.epochs'? choose from "),
    ("foo=3", f"foo: unknown key; {TOP}"),
    ("model=reference depth=2", "model.depth: the chosen options have no such key; type +model.depth="),
    ("model=referense", "model: unknown option 'referense'; choose from c1c2c3c4, "),
    ("c1=plan", "block: unknown option 'plan'; choose from dilated, dilated_residual, plain, "),
    ("t1=pool", "downsample: unknown option 'pool'; choose from dilated, strided"),
    ("limits=foo", "limits: unknown option 'foo'; choose from eva6, eva6_hard, none"),
    ("training=[standard,foo]", "training: unknown option 'foo'; choose from adamw, "),
    ("+experiment=foo", "experiment: unknown option 'foo'; choose from "),
    ("experiment=reference", "experiment: nothing is chosen by default; type +experiment=reference"),
    (
        "model=reference t1=strided",
        "model.t1: no downsample option can be chosen there in this model; use t1, t2, t3 of model=c1c2c3c4",
    ),
    (
        "model=reference c4=plain",
        "model.c4: no block option can be chosen there in this model; use c1, c2, c3, c4 of model=c1c2c3c4",
    ),
    (
        "width=16,24",
        "model.width: one value is expected, got 16,24; choose one, "
        "or sweep over them with python -m cifar_arch.run -m",
    ),
    ("width=range(1,3)", "model.width: one value is expected, got range(1,3); choose one, "),
    ("width=[1", "'model.width=[1': cannot be read; type key=value, "),
    ("width", "'width': cannot be read; type key=value, "),
    ("+c1=plain", "block@model.c1 appears more than once in the final defaults list"),
    ("data.root=${nope}", "data.root: Interpolation key 'nope' not found"),
    ("model.multipliers.x=3", "invalid literal for int() with base 10: 'x'"),
    # what composes, but is no experiment
    ("width=0", f"model.width: {WIDTHS}, got 0"),
    ("width=abc", f"model.width: {WIDTHS}, got 'abc'"),
    ("model=reference width=3", "model.width: has no effect on a network written out layer by layer"),
    ("depth=[1,2]", "model.depth: expected an integer at least 1 and at most 32 or a list of 4, got [1, 2]"),
    ("model.head=none", "model.head: none needs a C4 that ends in 10 channels, got 96; use linear or conv"),
    (
        "model=reference model.c1.convs=[{kernel:40,padding:0}]",
        "model.c1: the 40x40 convolution with stride 1, dilation 1 and padding 0 collapses the 32x32 map",
    ),
    (
        "model=reference width=4 model.t3={kind:dilated} ~model.t3.convs",
        "model.t3: a dilated downsampler halves maps whose side is a multiple of 4, got 9x9; "
        "use kind=strided",
    ),
    ("training.epochs=0", "training.epochs: expected an integer at least 1, got 0"),
    ("limits=none width=auto", "model.width: auto needs a limit on parameters; set limits.params_below"),
    ("limits.augment=[blur]", "limits.augment[0]: expected one of coarse_dropout, "),
    ("seed=-1", "seed: expected an integer at least 0 and below 4294967296, got -1"),
]


def verdict_on(overrides: list[str]) -> Verdict:
    experiment = Experiment.from_dict(compose(overrides))
    return judge(experiment.model, experiment.limits)


@pytest.mark.parametrize(("overrides", "start"), WRONG, ids=[overrides for overrides, _ in WRONG])
def test_wrong_overrides(overrides: str, start: str) -> None:
    with pytest.raises(ConfigError) as error:
        verdict_on(overrides.split())
    message = str(error.value)
    assert message.startswith(start)
    assert "\n" not in message


# what is typed, a key of the plain config, its value
RIGHT: list[tuple[str, str, Any]] = [
    ("width=24", "model.width", 24),
    ("epochs=3", "training.epochs", 3),
    ("depth=[1,2,2,1]", "model.depth", [1, 2, 2, 1]),
    ("c3=plain", "model.c3", {"kind": "plain", "layers": 1, "residual": False}),
    ("c3=plain model.c3.layers=4", "model.c3", {"kind": "plain", "layers": 4, "residual": False}),
    ("t2=dilated", "model.t2.kind", "dilated"),
    ("t2=dilated", "model.t1.kind", "strided"),
    ("downsample=dilated", "model.t3.kind", "dilated"),
    ("downsample=dilated t3=strided", "model.t3.kind", "strided"),
    ("c1=plain c1=separable", "model.c1.kind", "separable"),
    ("+experiment=reference", "training.epochs", 100),
    ("+experiment=reference training.epochs=2", "training.epochs", 2),
]


@pytest.mark.parametrize(("overrides", "key", "value"), RIGHT)
def test_right_overrides(overrides: str, key: str, value: Any) -> None:
    found: Any = compose(overrides.split())
    for name in key.split("."):
        found = found[name]
    assert found == value


def test_plain_data_without_hydra() -> None:
    config = compose()
    assert "hydra" not in config
    assert type(config["model"]) is dict
    assert type(config["model"]["multipliers"]) is list


def test_own_folder_is_searched_first(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("width: 7\n")
    assert compose(["model=mine"], str(tmp_path))["model"] == {"width": 7}
    with pytest.raises(ConfigError, match=r"^--config-dir: expected a folder, got "):
        compose([], str(tmp_path / "missing"))
