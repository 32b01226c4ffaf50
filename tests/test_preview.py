"""What `check -m` says of a space."""

import re

import pytest
from conftest import CHECKOUT

from cifar_arch.analysis import analyse
from cifar_arch.layers import Plan
from cifar_arch.recipe import Recipe
from cifar_arch.schema import ConfigError
from cifar_arch.search import preview as preview_module
from cifar_arch.search.preview import preview
from cifar_arch.search.speed import Speed

DOCUMENT = (CHECKOUT / "docs" / "search.md").read_text(encoding="utf-8")
MISTAKES = {
    "widht=3 width=16,24": r"^widht: unknown key",
    "width=interval(8,16)": r"; type 'width=int\(interval\(8,16\)\)'$",
    "width=8,9 limits=none prefer=smallest": "^prefer: smallest takes the fewest parameters",
    "width=8,9 hydra.sweeper.sampler.n_startup_trials=-1": r"^hydra.sweeper.sampler: cannot work with these ",
    "width=8,9 hydra.sweeper.pruner.n_warmup_steps=-1": r"^hydra.sweeper.pruner: .*; got n_startup_trials=",
    "width=8,9 pruner=hyperband hydra.sweeper.pruner.max_resource=0": "^hydra.sweeper.pruner: cannot work ",
    "width=[8,9]": r"^model.width: .*, got \[8, 9\]; to try each of them write 8,9 without brackets$",
    "hydra.sweeper.params={seed:[0,1]}": r"^seed: .*, got \[0, 1\]; to try each of them write 0,1 without ",
    "hydra.sweeper.params={model:{width:'8,9'}}": r"^model.width: .*; to sweep over it write its key in ",
    "width=8,9 study='12'": "^study: '12' would be read as a number",
    "width=8,9 storage=notes.db": "^storage: expected sqlite:///FILE.db or ",
    "width=8,9 hydra.launcher=null": "^hydra.launcher: expected the options of a launcher, got null; ",
    "width=8,9 hydra.sweeper=null": "^hydra.sweeper: expected the options of a sweeper, got null; ",
}


@pytest.fixture(autouse=True)
def known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview_module, "training_speed", lambda *_: Speed(1329.0, busy=False))


def test_a_small_space_is_looked_through() -> None:
    text = preview(["width=16,24,32,64", "c4=separable,plain"])
    assert "points           8\n" in text
    assert "feasible         37.5% of 8\n" in text
    assert "rule separable is broken by 50.0%" in text
    assert "rule params is broken by " in text
    assert text.endswith(
        "about 26 minutes for 3 trials of 15 epochs without pruning,\n"
        "at 1,329 images a second, measured here with a network of average size"
    )


def test_the_speed_is_that_of_a_network_of_the_space(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Plan, Recipe]] = []

    def training_speed(plan: Plan, recipe: Recipe) -> Speed:
        asked.append((plan, recipe))
        return Speed(5000.0, busy=True)

    monkeypatch.setattr(preview_module, "training_speed", training_speed)
    text = preview(["width=8,16,24,64", "training=fast", "training.threads=1"])
    assert text.endswith(" of average size, beside other programs: a quiet machine is faster")
    (plan, recipe), *others = asked
    assert not others
    assert analyse(plan).params == 50_778
    assert (recipe.epochs, recipe.threads) == (5, 1)


def test_a_field_may_be_given_that_the_default_does_not_have() -> None:
    text = preview(["c1=separable,dilated", "++model.c1.dilation=2", "n_trials=1", "epochs=1"])
    assert text.startswith("points           2\n")
    assert " for 1 trial of 1 epoch without pruning" in text


def test_nothing_to_train() -> None:
    assert preview(["width=64,96"]).endswith("nothing to train: widen the space or the limits")


@pytest.mark.parametrize(("wanted", "trials"), [(2, 2), (100, 3)])
def test_no_more_trials_than_points_are_estimated(wanted: int, trials: int) -> None:
    text = preview(["width=16,24,32,64", "c4=separable,plain", f"n_trials={wanted}"])
    assert f" for {trials} trials of 15 epochs" in text


def test_every_point_counts_with_its_own_epochs() -> None:
    text = preview(["epochs=1,100", "data=shapes", "model.stem=null,null"])
    hundred = preview(["width=8", "epochs=100", "data=shapes"])
    assert " for 2 trials of 1 to 100 epochs without pruning" in text
    assert " for 1 trial of 100 epochs without pruning" in hundred


def test_equal_points_are_trained_once() -> None:
    """The input of C1 has other channels than it makes, so that there is no residual sum."""
    assert " for 2 trials of 15 epochs" in preview(["width=16,24", "model.c1.residual=false,true"])


def test_an_endless_space_needs_a_number() -> None:
    text = preview(["training.lr=interval(0.1,0.2)"])
    assert text.startswith("points           endless, for it holds an interval\n")
    assert text.endswith("give n_trials to see how long it takes")


@pytest.mark.parametrize(("typed", "start"), MISTAKES.items())
def test_mistakes_are_those_of_run(typed: str, start: str) -> None:
    with pytest.raises(ConfigError, match=start):
        preview(typed.split())


def test_the_document_shows_what_is_printed() -> None:
    command = "python -m cifar_arch.check -m +search=quickstart"
    shown = re.search(rf"^```sh\n{re.escape(command)}\n```\n\n```text\n(.*?)^```$", DOCUMENT, re.M | re.S)
    assert shown
    assert shown[1] == preview(["+search=quickstart"]) + "\n"
