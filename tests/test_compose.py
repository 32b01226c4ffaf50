from pathlib import Path
from typing import Any

import pytest

from cifar_arch.compose import compose
from cifar_arch.experiment import Experiment
from cifar_arch.feasibility import Verdict, judge
from cifar_arch.schema import ConfigError

PLAIN = {"kind": "plain", "residual": False, "preactivation": False, "squeeze": None}
TOP = "choose from augment, c1, c2, c3, c4, data, depth, downsample, epochs, gpus, limits, "  # not hydra
WIDTHS = "expected an integer at least 1 and at most 4096 or auto or null"

# what is typed, how its sentence starts
WRONG = [
    ("widht=3", f"widht: unknown key, did you mean 'width'? {TOP}"),
    ("c4.kernel=5", f"c4.kernel: unknown key, did you mean 'model.c4.kernel'? {TOP}"),
    ("lr=0.1", f"lr: unknown key, did you mean 'training.lr'? {TOP}"),
    ("model.wdith=3", "model.wdith: unknown key, did you mean 'model.width'? choose from model.activation, "),
    ("model.c1.laiers=3", "model.c1.laiers: unknown key, did you mean 'model.c1.layers'? choose from "),
    ("model.foo.bar=3", "model.foo.bar: unknown key; choose from model.activation, "),
    ("epochs.x=3", "epochs.x: unknown key, did you mean 'training.epochs'? choose from "),
    ("separable=true", f"separable: unknown key; {TOP}"),
    ("model=reference depth=2", "model.depth: has no effect on a network written out layer by layer, got 2;"),
    ("model=reference +model.depth=3", "model.depth: has no effect on a network written out layer by layer"),
    (
        "model=reference +model.multipliers=[1,2,3,4]",
        "model.multipliers: has no effect on a network written out layer by layer, got [1, 2, 3, 4]; leave",
    ),
    (
        "model=reference downsample=dilated",
        "downsample: has no effect on model=reference, whose transitions are written out, "
        "got downsample=dilated; leave it out, or use model=c1c2c3c4",
    ),
    ("c3=plain model.c3.dilation=2", "model.c3.dilation: unknown key; choose from model.c3.kind, "),
    ("augment.grayscale={p:0.1,foo:1}", "augment.grayscale.foo: unknown key; choose from augment.gr"),
    ("model={c1:{foo:1}}", "model.c1.foo: unknown key; choose from model.c1.kind, "),
    (
        "hydra.job.env_set={a:1}",
        "hydra.job.env_set.a: not every chosen option has this key; type '++hydra.job.env_set={a:1}' to add",
    ),
    (
        "hydra.job_logging.rot=1",
        "hydra.job_logging.rot: unknown key, did you mean 'hydra.job_logging.root'",
    ),
    ("c1.layer=3", "c1.layer: unknown key, did you mean 'model.c1.layers'? choose from model.c1.kind, "),
    ("hydra.run.dri=x", "hydra.run.dri: unknown key, did you mean 'hydra.run.dir'? "),
    ("+width=3", "model.width: is there already; type model.width=3 without the +"),
    ("model=referense", "model: unknown option 'referense'; choose from c1c2c3c4, "),
    ("block@model.c1=plan", "block@model.c1: unknown option 'plan'; choose from blueprint, "),
    ("c1=[1]", "c1: expected the name of an option, got [1]; choose from blueprint, "),
    ("c1=interval(1,2)", "c1: expected the name of an option, got interval(1,2); choose from blueprint, "),
    ("limits=[eva6,2]", "limits: expected the name of an option, got [eva6,2]; choose from eva6, "),
    ("model=null", "model: expected the name of an option, got null; choose from c1c2c3c4, reference"),
    ("c3={kind:plain}", "c3: expected the name of an option, got {kind:plain}; choose from blueprint, "),
    ("training=[standard,foo]", "training: unknown option 'foo'; choose from adamw, "),
    ("+experiment=foo", "experiment: unknown option 'foo'; choose from "),
    (
        "model=reference t1=strided",
        "model.t1: no downsample option can be chosen there in this model; use t1, t2, t3 of "
        "model=c1c2c3c4, or write a model of your own",
    ),
    (
        "model=reference c4=plain",
        "model.c4: no block option can be chosen there in this model; use c1, c2, c3, c4 of "
        "model=c1c2c3c4, or write a model of your own",
    ),
    (
        "width=16,24",
        "model.width: one value is expected, got 16,24; choose one, "
        "or sweep over them with python -m cifar_arch.run -m",
    ),
    ("blok@model.c4=plain", "blok@model.c4: unknown group 'blok'; type c4=OPTION"),
    ("+down@model.t1=strided", "down@model.t1: unknown group 'down'; type t1=OPTION"),
    ("c1=plain,dilated", "c1: one value is expected, got plain,dilated; choose one, "),
    ("width=range(1,3)", "model.width: one value is expected, got range(1,3); choose one, "),
    ("width=[1", "'model.width=[1': cannot be read; type key=value, "),
    ("width", "'width': cannot be read; type key=value, "),
    ("+c1=plain", "c1: an option is chosen already; type c1=OPTION without the +"),
    ("++c3=plain", "c3: ++ is for single keys, got ++c3=plain; type c3=plain"),
    ("c3=dilated,t2=dilated", "'c3=dilated,t2=dilated': cannot be read; type c3=dilated t2=dilated with a "),
    (
        "+experiment=best",
        "experiment: unknown option 'best'; choose from fastest, reference; or name the folder of a st",
    ),
    ("++experiment=reference", "experiment: ++ is for single keys, got ++experiment=reference; type +exp"),
    ("~downsample", "downsample: other choices start from it, and nothing is chosen; type downsample=OPTION"),
    ("data.root=größe", "'data.root=größe': cannot be read; type 'data.root=\"größe\"', a value with "),
    ("data.root=${nope}", "data.root: Interpolation key 'nope' not found"),
    ("data.root=${oc.env:NO_SUCH_VARIABLE}", "data.root: Environment variable 'NO_SUCH_VARIABLE' not found"),
    ("hydra.run=null", "hydra.run: field 'hydra.run' is not Optional"),
    ("model.multipliers.x=3", "model.multipliers.x=3: Hydra cannot use this (invalid "),
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
    ("limits=none width=auto", "model.width: auto needs a limit on the size; set limits.params_below or "),
    ("limits.augment=[blur]", "limits.augment[0]: expected one of coarse_dropout, "),
    ("outputs=README.md", 'outputs: expected a folder, got "README.md", which is a file; type outputs='),
    ("outputs='a?b'", "outputs: expected a folder without ? and %, which mean something in the "),
    ("outputs='a%20b'", "outputs: expected a folder without ? and %, which mean something in the "),
    ("outputs=null", "outputs: expected a folder, got null; type outputs=FOLDER"),
    ("outputs=[a]", 'outputs: expected a folder, got ["a"]; type outputs=FOLDER'),
    (
        "training={resume:nowhere}",
        "training.resume: no config can ask for it, got 'nowhere'; type python -m cifar_arch.run "
        "training.resume=nowhere alone, or ",
    ),
    ("width=8,", "'model.width=8,': ends in a comma; type values without spaces between them, width=8,10"),
    (
        "hydra.sweeper.params={width:choice(4,8),depth:int(interval(1,3))}",
        "hydra.sweeper.params: a sweep within fields needs quotes, got {width:choice(4,8),depth:int(interval("
        '1,3))}; type \'hydra.sweeper.params={width:"choice(4,8)",depth:"int(interval(1,3))"}\'',
    ),
    (
        "model={width:choice(4,8)}",
        "model: cannot hold a sweep within fields, got {width:choice(4,8)}; type single keys, model.KEY=",
    ),
    (
        "model.c3=dilated_residual",
        "model.c3: expected fields with kind: plain, dilated, grouped, separable, blueprint, inverted, "
        "custom, got 'dilated_residual'; type c3=dilated_residual",
    ),
    ("target=85", "target: expected a number above 0 and at most 1 or null, got 85; type 0.85"),
    (
        "augment.grayscale.p=25",
        "augment.grayscale.p: expected a number at least 0 and at most 1, got 25; type 0.25",
    ),
    (
        "model.head=none width=auto",
        "model.width: auto finds no width from 1 to 4096 that makes a network; with width=16, model.head: ",
    ),
]


def verdict_on(overrides: list[str]) -> Verdict:
    experiment = Experiment.from_dict(compose(overrides))
    return judge(experiment.model, experiment.limits)


@pytest.mark.parametrize(("overrides", "start"), WRONG, ids=[overrides for overrides, _ in WRONG])
def test_a_wrong_override_is_named_with_what_is_allowed(overrides: str, start: str) -> None:
    with pytest.raises(ConfigError) as error:
        verdict_on(overrides.split())
    message = str(error.value)
    assert message.startswith(start)
    assert "\n" not in message
    assert "full_key:" not in message


# what is typed, a key of the plain config, its value
RIGHT: list[tuple[str, str, Any]] = [
    ("width=24", "model.width", 24),
    ("epochs=3", "training.epochs", 3),
    ("depth=[1,2,2,1]", "model.depth", [1, 2, 2, 1]),
    ("c3=plain", "model.c3", {**PLAIN, "layers": 1}),
    ("c3=plain model.c3.layers=4", "model.c3", {**PLAIN, "layers": 4}),
    ("t2=dilated", "model.t2.kind", "dilated"),
    ("t2=dilated", "model.t1.kind", "strided"),
    ("downsample=dilated", "model.t3.kind", "dilated"),
    ("downsample=dilated t3=strided", "model.t3.kind", "strided"),
    ("c1=plain c1=separable", "model.c1.kind", "separable"),
    ("+experiment=reference", "training.epochs", 100),
    ("+experiment=reference training.epochs=2", "training.epochs", 2),
]


@pytest.mark.parametrize(("overrides", "key", "value"), RIGHT)
def test_an_override_sets_its_key(overrides: str, key: str, value: Any) -> None:
    found: Any = compose(overrides.split())
    for name in key.split("."):
        found = found[name]
    assert found == value


def test_plain_data_without_hydra() -> None:
    config = compose()
    assert "hydra" not in config
    assert type(config["model"]) is dict
    assert type(config["model"]["multipliers"]) is list


GLOBAL = "# @package _global_\n"
# a file of one's own and what is in it, what is typed, how its sentence ends
FILES = [
    ("limits/dev.yml", "", "limits=devcie", "/dev.yml: the name of a config ends in .yaml; name it dev.yaml"),
    ("limits/dev.yml", "", "limits=null", "/dev.yml: the name of a config ends in .yaml; name it dev.yaml"),
    (
        "data/x.yaml",
        "a: 1\na: 2",
        "data=x",
        ": line 2 cannot be read as YAML (found duplicate key a); fix it",
    ),
    ("data/x.yaml", "a: ö", "data=x", "data/x.yaml: expected UTF-8, got b'\\xf6'; save it as UTF-8"),
    ("mine/a.yml", "", "+mine=b", "/mine/a.yml: the name of a config ends in .yaml; name it a.yaml"),
    ("mine.yml", "", "training=mine", "/mine.yml to training/mine.yaml beside it"),
    ("block/x.yaml", "defaults: [_self_, plain]", "c3=x", "_self_ last, as in defaults: [NAME, _self_]"),
    ("search/x.yaml", "defaults: [{override /training: fast}]", "+search=x", "the line # @package _global_"),
    ("limits/x.yaml", "defaults: eva6", "limits=x", "is a list, got str; write defaults: [NAME, _self_]"),
    ("experiment/best.yaml", "", "+experiment=trial-9", "choose from best, fastest, reference"),
    (
        "training/x.yaml",
        "defaults: [fast, {override /augment: none}]",
        "training=x",
        "group alone, got - override /augment: none; choose both in a file experiment/NAME.yaml",
    ),
    (
        "search/x.yaml",
        f"{GLOBAL}defaults: [{{override training: fast}}]",
        "+search=x",
        "a group in its defaults begins with /, got training: fast; write - override /training: fast",
    ),
    (
        "search/x.yaml",
        f"{GLOBAL}defaults: [{{override /limits: foo}}]",
        "+search=x",
        "; choose from eva6, eva6_hard, none",
    ),
    (
        "search/x.yaml",
        f"{GLOBAL}defaults: [{{training: fast}}]",
        "+search=x",
        "search/training: there is no such group; write - override /training: fast in its file",
    ),
    (
        "search/x.yaml",
        f"{GLOBAL}defaults: [{{/training: fast}}]",
        "+search=x",
        "search/x: an option of training is chosen before, got fast; write - override /training: fast",
    ),
    (
        "search/x.yaml",
        f"{GLOBAL}defaults: [{{override /trainig: fast}}]",
        "+search=x",
        "search/x: nothing is chosen of trainig that it could override, got /trainig: fast; "
        "write - /trainig: fast",
    ),
    (
        "search/x.yaml",
        f"{GLOBAL}defaults: [{{override /sampler: gp}}]",
        "+search=x",
        "a sampler is chosen in full, got /sampler: gp; write - override /hydra/sweeper/sampler: gp",
    ),
    (
        "limits/mine.yaml",
        "",
        "limits=own/limits/mine.yaml",
        "limits: expected the name of an option, got the path own/limits/mine.yaml; "
        "type limits=mine with --config-dir own",
    ),
    (
        "block/mine.yaml",
        "",
        "c3=own/mine.yaml",
        "c3: expected the name of an option, got the path own/mine.yaml; "
        "type c3=mine with --config-dir FOLDER that holds block/mine.yaml",
    ),
    ("limits/limits/mine.yaml", "", "limits=limits/limits/mine", "choose from eva6, eva6_hard, none"),
]


@pytest.mark.parametrize(("file", "text", "typed", "end"), FILES)
def test_a_file_of_ones_own_that_hydra_refuses(
    file: str, text: str, typed: str, end: str, tmp_path: Path
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError) as error:
        compose([typed], str(tmp_path))
    assert str(error.value).endswith(end)


def test_a_group_in_place_of_the_folder_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own/limits").mkdir(parents=True)
    Path("own/limits/mine.yaml").touch()
    with pytest.raises(ConfigError, match=r"none; or name the folder above: --config-dir own$"):
        compose(["limits=mine"], "own/limits")


def test_own_folder_is_searched_first(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("width: 7\n", encoding="utf-8")
    assert compose(["model=mine"], str(tmp_path))["model"] == {"width": 7}
    with pytest.raises(ConfigError, match=r"^--config-dir: expected a folder, got "):
        compose([], str(tmp_path / "missing"))
