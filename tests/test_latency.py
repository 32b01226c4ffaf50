"""The ONNX reading of a plan against torch's, and the time that is measured with it."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from architectures import Drawn, architecture, convs, drawn
from conftest import TINY, Cli, cases, type_command
from hypothesis import given
from torch import nn

from cifar_arch import latency
from cifar_arch.blocks import Grouped, Inverted
from cifar_arch.feasibility import judge
from cifar_arch.latency import graph, latency_ms
from cifar_arch.layers import Plan
from cifar_arch.limits import Limits
from cifar_arch.network import build
from cifar_arch.report import load_runs
from cifar_arch.schema import ConfigError, install

onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.extra

PARTS = ("c1", "c2", "c3", "c4", "t1", "t2", "t3")
ACTIVATIONS = ["relu", "leaky_relu", "silu", "gelu", "hardswish"]


def assert_same(plan: Plan) -> None:
    """Whatever the weights and the running statistics are."""
    torch.manual_seed(0)
    network = build(plan).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    model = graph(plan, weights).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        wanted = network(images).numpy()
    (found,) = session.run(None, {"images": images.numpy()})
    assert found == pytest.approx(wanted, rel=1e-3, abs=1e-3 * float(np.abs(wanted).max()))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_computes_what_the_torch_network_does(activation: Any) -> None:
    blocks = {"c2": Inverted(squeeze=4, residual=True), "c3": Grouped(preactivation=True), "stem": 3}
    assert_same(architecture(activation=activation, head="conv", **blocks).plan())


@cases(25)
@given(drawn())
def test_onnx_computes_what_torch_does_for_random_draws(draw: Drawn) -> None:
    assert_same(draw.plan)


def test_a_network_of_a_hundred_times_the_work_takes_longer() -> None:
    narrow, wide = architecture(width=4).plan(), architecture(width=64).plan()
    assert 0 < latency_ms(narrow) < latency_ms(wide)
    assert latency_ms(narrow) == latency_ms(narrow)  # measured once


def test_a_limit_on_it_is_judged_after_the_others() -> None:
    slow = judge(architecture(), Limits(latency_ms_below=1e-6))
    assert [violation.rule for violation in slow.violations] == ["latency"]
    assert slow.violations[0].message.startswith("one image has to take less than 1e-06 ms here, got ")
    assert slow.violations[0].message.endswith("; no width is fast enough: change the limit")
    fast = judge(architecture(), Limits(latency_ms_below=1e6))
    assert fast.ok
    assert fast.to_dict()["latency_ms"] == round(fast.latency_ms or 0, 3) > 0
    large = judge(architecture(), Limits(latency_ms_below=1e-6, params_below=10))
    assert ([v.rule for v in large.violations], large.latency_ms) == (["params"], None)


@pytest.mark.parametrize(
    ("changes", "below", "advice"),
    [
        ({}, 11.5, "width=11 fits"),
        ({"c2": {"kind": "grouped", "groups": 4}}, 11.5, "width=8 fits"),
        ({}, 0.5, "no width is fast enough: change the limit"),
        ({"depth": 2}, 0.5, "no width is fast enough: try depth=1, or change the limit"),
    ],
)
def test_the_widest_that_is_fast_enough_is_advised(
    changes: dict[str, Any], below: float, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a latency of a millisecond for each channel of the first convolution."""
    monkeypatch.setattr(latency, "latency_ms", lambda plan: float(plan[0].layers[0].out_channels))
    judged = judge(architecture(width=64, **changes), Limits(latency_ms_below=below))
    assert judged.violations[0].message.endswith(f"; {advice}")


def test_a_network_written_out_that_is_too_slow_has_no_width_to_advise() -> None:
    written_out = architecture(**dict.fromkeys(PARTS, convs({"out": 10})), width=None)
    (violation,) = judge(written_out, Limits(latency_ms_below=1e-6)).violations
    assert violation.message.endswith("; leave layers out, or give them fewer channels")


def test_check_shows_it(cli: Cli) -> None:
    done = cli("check", "limits.latency_ms_below=1000")
    assert done.status == 0
    assert " ms on one thread of this machine's CPU\n" in done.out
    assert cli("check", "limits.latency_ms_below=0.000001").status == 1
    assert cli("check", "limits.latency_ms_below=0").err == (
        "limits.latency_ms_below: expected a number above 0 and at most 60000 or null, got 0\n"
    )


@pytest.mark.slow
def test_it_is_an_objective_and_a_column(tmp_path: Path) -> None:
    words = ("width=4,6", *TINY, "epochs=1", "objectives=[accuracy,latency]", "pruner=none", "study=s")
    done = type_command("run", "-m", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert " latency 0." in done.stdout
    runs = load_runs(tmp_path / "outputs")
    assert (runs["latency_ms"] > 0).all()


def test_without_its_packages(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    latency_ms.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    sentence = f"needs onnx and onnxruntime, which are not installed; type {install('onnx')}"
    with pytest.raises(ConfigError, match=f"^{re.escape(f'latency: {sentence}')}$"):
        latency_ms(architecture().plan())
    monkeypatch.setattr("cifar_arch.search.options.measurable", lambda: False)
    done = cli("check", "-m", "width=8,16", "objectives=[accuracy,latency]")
    assert done.status == 2
    assert done.err == f"objectives: latency {sentence}\n"
    monkeypatch.setattr("cifar_arch.config.measurable", lambda: False)
    assert cli("check", "limits.latency_ms_below=1") == (2, "", f"limits.latency_ms_below: {sentence}\n")


def test_the_median_of_an_image_is_without_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    took = iter([1000.0] * latency.WARM_UP + [2.0, 1.0, 1.0] * latency.TIMED)
    clock = [0.0]

    def run(*_: Any) -> None:
        clock[0] += next(took)

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    ready = SimpleNamespace(get_inputs=lambda: [SimpleNamespace(name="images")], run=run)
    assert latency.one_image_ms(ready, np.zeros((1, 3, 32, 32), np.float32)) == 1000


def test_an_image_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(latency, "session", lambda _, threads=0: asked.append(threads))
    monkeypatch.setattr(latency, "one_image_ms", lambda *_: 1.0)
    latency_ms.cache_clear()
    assert latency_ms(architecture(width=5).plan()) == 1.0
    latency_ms.cache_clear()
    assert asked == [1]
