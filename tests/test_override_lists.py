"""Whatever is typed: a result, or one sentence and a status; never a traceback. Nothing is trained.

500 override lists; CIFAR_ARCH_CASES=10000 tries more.
"""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, cases
from hydra import compose as hydra_compose
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from cifar_arch import experiment
from cifar_arch.compose import composing
from cifar_arch.experiment import Experiment, Rejected, failure
from cifar_arch.feasibility import judge
from cifar_arch.overrides import aliases, config_groups
from cifar_arch.provenance import flatten
from cifar_arch.record import Status, Summary
from cifar_arch.runfolder import RunFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:extend_list:UserWarning"),  # deprecated by Hydra, and still there
]


def _keys() -> list[str]:
    with composing():
        composed = hydra_compose("config", return_hydra_config=True)
    flat = [key for key, _ in flatten(OmegaConf.to_container(composed, resolve=False))]  # type: ignore[arg-type]
    nodes = {key.rpartition(".")[0] for key in flat} - {""}
    placed = [key for key in aliases().values() if "@" in key]
    # Texts that are typed often, so that most lists get far.
    often = ["width", "c1", "c3", "t1", "depth", "epochs", "model", "limits", "seed", "data", "augment"] * 12
    odd = [
        "",
        "widht",
        "model.c9",
        "model.c1.foo",
        "training.epoch",
        "experiment",
        "search",
        "a.b.c",
        "model.",
    ]
    return [*often, *flat, *sorted(nodes), *placed, *aliases(), *sorted(config_groups()), *odd]


# Neither random keys nor random values hold a "/": nothing is written outside of the test's folder.
# fmt: off
VALUES = [
    "1", "2", "3", "8", "16", "0", "-1", "1.5", "1e400", "nan", "inf", "true", "false", "null", "auto",
    "plain", "separable", "dilated", "dilated_residual", "reference", "none", "eva6", "shapes", "strided",
    "quick", "adamw", "relu", "blocks", "recipe", "RUN", "MULTIRUN", "accuracy", "smallest", "x", "\"\"",
    "''", "\"'\"", "${width}", "${model.width}", "${nope}", "${oc.env:NO_SUCH_VARIABLE}", "${",
    "${oc.decode:\"[\"}", "${oc.select:x}", "${trial.number}", "größe", "a=b", "[]", "[1]", "[1,2,2,1]",
    "[plain]", "[[1],2]", "{}", "{p:1}", "{kind:plain}", "{p:0.5,foo:1}", "{a:{b:[c]}}", "{mode:MULTIRUN}",
    "8,16", "plain,separable", "auto,8", "1,null", "[1],[2]", "{},{}", "x,y", "range(1,4)", "range(3)",
    "range(4,4)", "range(1,9,0)", "range(0.1,0.4,0.1)", "interval(0.1,0.5)", "interval(8,32)",
    "interval(5,1)", "int(interval(8,32))", "choice(8,16)", "choice(plain)", "choice()", "glob(*)",
    "glob([d*,p*],exclude=*residual)", "glob(x*)", "shuffle(1,2)", "sort(2,1)", "tag(log,interval(0.1,1))",
    "tag(log,interval(0,1))", "extend_list(1)", "int(x)", "float(1)", "str([1])", "bool(3)", "???", "...",
    "*", "\"a b\"",
]
# fmt: on
ALPHABET = "ab1 .,:;=+~@$&*?!|<>()[]{}'\"\\#%_-é\u202e\x1b\t\n"


@st.composite
def overrides(draw: st.DrawFn) -> str:
    key = draw(st.sampled_from(_KEYS) | st.text(ALPHABET, max_size=6))
    value = draw(
        st.sampled_from(VALUES)
        | st.text(ALPHABET, max_size=8)
        | st.integers().map(str)
        | st.floats().map(str)
    )
    sign = draw(st.sampled_from(["", "", "", "", "+", "++", "~"]))
    return sign + key + draw(st.sampled_from(["=", "=", "=", "=", "=", ""])) + value


_KEYS = _keys()
LISTS = st.lists(overrides(), min_size=1, max_size=4)


def _typed(texts: list[str]) -> list[str]:
    """Those that are overrides to argparse too."""
    return [text for text in texts if not text.startswith("-")]


@contextlib.contextmanager
def folder() -> Iterator[None]:
    """A new folder to type in; a run may also write above it."""
    with tempfile.TemporaryDirectory() as place:
        here = Path(place, "a", "b", "c")
        here.mkdir(parents=True)
        with contextlib.chdir(here):
            yield


def stub(config: dict[str, Any], path: Path, *_: Any, **__: Any) -> Summary:
    """What `experiment.run_config` does, without learning anything."""
    summary = Summary(
        status=Status.COMPLETED, val_accuracy=0.5, params=1, receptive_field=1, seconds=0.1, device="-"
    )
    try:
        ours = Experiment.from_dict(config)
        verdict = judge(ours.model, ours.limits, ours.augment.active())
        if not verdict.ok:
            raise Rejected("\n".join(violation.message for violation in verdict.violations))
    except Exception as error:
        summary = Summary(**failure(error))
        raise
    finally:
        RunFolder(path).write_summary(summary)
    return summary


@pytest.fixture
def nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "run_config", stub)


def assert_told(cli: Cli, *typed: str) -> None:
    """A result, or what is wrong in a sentence."""
    with folder():
        done = cli(*typed)
    assert "Traceback" not in done.out + done.err
    assert "\x1b" not in done.out + done.err
    assert done.status in (0, 1, 2), done
    if done.status == 2:
        assert re.fullmatch(r".*\w.*\n", done.err), done
    if done.status == 1 and typed[0] == "run":
        (first, *others) = done.err.splitlines()
        alike = first.startswith("outside its limits: ") and all(o.startswith("outside") for o in others)
        assert alike or not others, done


@cases(200)
@given(LISTS)
def test_check_answers_any_list_in_a_sentence(cli: Cli, texts: list[str]) -> None:
    assert_told(cli, "check", *_typed(texts))


@cases(100)
@given(LISTS)
def test_a_preview_answers_any_list_in_a_sentence(cli: Cli, texts: list[str]) -> None:
    assert_told(cli, "check", "-m", *_typed(texts))


@pytest.mark.usefixtures("nothing_is_trained")
@cases(100)
@given(LISTS)
def test_run_answers_any_list_in_a_sentence(cli: Cli, texts: list[str]) -> None:
    assert_told(cli, "run", *_typed(texts))


@pytest.mark.usefixtures("nothing_is_trained")
@cases(100)
@given(LISTS)
def test_a_sweep_answers_any_list_in_a_sentence(cli: Cli, texts: list[str]) -> None:
    assert_told(cli, "run", "-m", *_typed(texts), "n_trials=2", "hydra.sweeper.max_rejections=3")
