import json
from pathlib import Path

import pytest
from conftest import Cli, type_command

from cifar_arch import check
from cifar_arch.compose import compose
from cifar_arch.experiment import Experiment
from cifar_arch.feasibility import judge
from cifar_arch.search.speed import Speed

STATUS = [
    ("", 0, "within its limits"),
    ("width=40", 1, "outside its limits: fewer than 200,000 trainable parameters are allowed, got 308,370; "),
    ("--json width=40", 1, '"rule": "params"'),
    ("width=40 limits=none", 0, "\nnothing was checked: no limit is set\n"),
    ("width=200 limits=[]", 0, "\nnothing was checked: no limit is set\n"),
    ("width=200 limits=[] ++limits.target_accuracy=0.9", 0, "\nnothing was checked: no limit is set\n"),
    ("width=40 limits=none limits.params_below=400000", 0, "\nwithin its limits\n"),
    ("-m width=40,200 limits=none", 0, "\nnothing is checked: no limit is set\n"),
    ("width=auto", 0, "; width 32"),
    ("model=reference limits=eva6_hard augment=eva6_hard", 0, "96,436 parameters, "),
    ("model=reference", 0, "receptive field 75 px (107 px with pooling)"),
]


@pytest.mark.parametrize(("arguments", "status", "output"), STATUS)
def test_the_exit_status_is_0_within_the_limits_and_1_outside(
    arguments: str, status: int, output: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cifar_arch.search.preview.training_speed", lambda *_: Speed(1329.0, busy=False))
    done = cli("check", *arguments.split())
    assert (done.status, done.err) == (status, "")
    assert output in done.out


ONE_NETWORK = "--json and --plot take one network, got -m as well; leave one of them out\n"
# What is typed: how its sentence begins.
MISTAKES = {
    "width=0": "model.width: expected an integer at least 1 and at most 4096 or auto or null, got 0\n",
    "widht=3": "widht: unknown key, did you mean 'width'? choose from augment, c1, ",
    "c1=plan": "c1: unknown option 'plan'; choose from blueprint, ",
    "--json width=": "model.width: expected an integer at least 1 and at most 4096 or auto or null, got ''\n",
    "width==24": "'model.width==24': cannot be read; type model.width=24, ",
    "model.head=none": "model.head: none needs a C4 that ends in 10 channels, got 96; use linear or conv\n",
    # as `run` refuses them
    "data.validation=49991": "data.validation: must leave one training image per class, at most 49990 of ",
    "training.batch_size=45001": "training.batch_size: at most the 45000 training images, got 45001\n",
    "-m width=8,16 data.validation=0": "data.validation: a search chooses by validation images, got 0; type ",
    "-m width=8,16 --json": ONE_NETWORK,
    "-m width=8,16 --plot net": ONE_NETWORK,
    "--plot width=24": "--plot: names a file, got the override width=24; type --plot network width=24\n",
    "--plot +block@model.c3=plain": "--plot: names a file, got the override +block@model.c3=plain; ",
}


@pytest.mark.parametrize(("arguments", "start"), MISTAKES.items())
def test_bad_config_is_one_line_on_stderr(arguments: str, start: str, cli: Cli) -> None:
    done = cli("check", *arguments.split())
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(start)


LAYER = "name kind in_shape out_shape kernel stride dilation padding groups params macs receptive_field jump"


def test_the_json_holds_each_layer_and_each_violation(cli: Cli) -> None:
    done = cli("check", "--json", "width=40", "limits=eva6_hard")
    assert done.status == 1
    found = json.loads(done.out)
    fields = "ok params macs receptive_field receptive_field_with_pooling layers violations"
    assert list(found) == fields.split()
    assert (found["ok"], found["params"], found["receptive_field"]) == (False, 308_370, 89)
    assert {tuple(layer) for layer in found["layers"]} == {tuple(LAYER.split())}
    assert found["layers"][0] == {
        "name": "c1.1.conv1",
        "kind": "conv",
        "in_shape": [3, 32, 32],
        "out_shape": [40, 32, 32],
        **{"kernel": 3, "stride": 1, "dilation": 1, "padding": 1, "groups": 1},
        **{"params": 1080, "macs": 1_105_920, "receptive_field": 3, "jump": 1},
    }
    assert {tuple(v) for v in found["violations"]} == {("rule", "limit", "actual", "message")}
    assert [(v["rule"], v["limit"], v["actual"]) for v in found["violations"]] == [
        ("params", 100_000, 308_370),
        ("head", 0, 1),
        (
            "augment",
            "horizontal_flip, shift_scale_rotate, coarse_dropout, grayscale",
            "horizontal_flip, shift_scale_rotate, coarse_dropout",
        ),
    ]


SMALL = """\
layer          output   kernel          params     MACs  field  jump
c1.1.conv1     4x32x32  3x3                116  110,592      3     1
t1.conv1       4x16x16  3x3 dilation 8     152   36,864     19     1
c2.1.conv1     4x16x16  3x3 depthwise       36    9,216     21     1
c2.1.conv2     4x16x16  1x1                 24    4,096     21     1
t2.conv1       8x8x8    3x3 stride 2       304   18,432     23     2
c3.1.conv1     8x8x8    3x3                592   36,864     27     2
t3.conv1       12x4x4   3x3 stride 2       888   13,824     31     4
c4.1.conv1     12x4x4   3x3              1,320   20,736     39     4
o.conv1        10x4x4   1x1                130    1,920     39     4
o.globalpool1  10                                           51     4

3,562 parameters, 0.25 million multiply-adds, receptive field 39 px (51 px with pooling)
layers: 1 depthwise-separable, 1 dilated, 3 downsampling; width 4
"""


def test_the_text_is_a_table_of_layers_the_totals_and_the_verdict() -> None:
    overrides = ["t1=dilated", "c2=separable", "c3=plain", "c4=plain", "model.head=conv", "width=4"]
    experiment = Experiment.from_dict(compose(overrides))
    text = check.text(judge(experiment.model, experiment.limits))
    table, _, verdicts = text.rpartition("\n\n")
    assert f"{table}\n" == SMALL
    assert verdicts.startswith(
        "outside its limits: the receptive field has to be more than 44 px, got 39 px; "
    )


def test_as_a_command(tmp_path: Path) -> None:
    done = type_command("check", "width=0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("model.width: expected an integer")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "written"),
    [("net.svg", ["net.svg"]), ("net.PNG", ["net.PNG"]), ("sub/net", ["net.png", "net.svg"])],
)
def test_plot_writes_what_is_asked_for(file: str, written: list[str], tmp_path: Path, cli: Cli) -> None:
    done = cli("check", "c3=dilated", "--plot", str(tmp_path / file))
    assert done.status == 0
    assert "\ndrawn: " in done.out
    left = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [path.name for path in left] == written
    magic = {".svg": b"<?xml", ".png": b"\x89PNG"}
    assert all(path.read_bytes().startswith(magic[path.suffix.lower()]) for path in left)


def test_json_stays_json_with_a_plot(tmp_path: Path, cli: Cli) -> None:
    done = cli("check", "--json", "--plot", str(tmp_path / "net.svg"))
    assert done.status == 0
    assert json.loads(done.out)["ok"]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("net.pdf", "--plot: choose .svg or .png, or no ending for both, got '"),
        (".", "--plot: expected a file, got the folder '"),
        ("file/net.svg", "' cannot be written ("),
    ],
)
def test_a_plot_that_cannot_be_written(file: str, message: str, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "file").touch()
    done = cli("check", "--plot", str(tmp_path / file))
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
