"""Options that would change nothing are refused, and others taken."""

from pathlib import Path

import pytest
from conftest import CHECKOUT, Cli

WINNER = ("--config-dir", str(CHECKOUT / "results" / "smallest-85"), "+experiment=winner")
IDLE = {
    "limits=eva6_hard": "limits: has no effect beside +experiment=winner, which sets all of its values, got "
    "eva6_hard; leave it out, or type single keys, limits.augment=VALUE",
    "c4=plain": "c4: has no effect beside +experiment=winner, which sets all of its values, got plain; ",
    "downsample=dilated": "downsample: has no effect beside +experiment=winner, ",
    "training=sgd": "training: has no effect beside +experiment=winner, ",
    "data=shapes": "data: has no effect beside +experiment=winner, ",
}


@pytest.mark.parametrize(("typed", "start"), IDLE.items())
def test_an_option_is_refused_whose_values_an_experiment_sets(typed: str, start: str, cli: Cli) -> None:
    done = cli("check", *WINNER, typed)
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert done.err.startswith(start)


@pytest.mark.parametrize(
    "typed", ["limits=eva6", "c1=plain", "width=17", "training=fast", "training.sgd_lr=1"]
)
def test_what_agrees_with_an_experiment_or_changes_it_is_taken(typed: str, cli: Cli) -> None:
    assert cli("check", *WINNER, typed).status == 0


def test_an_option_is_taken_where_a_file_sets_only_some_of_its_keys(cli: Cli) -> None:
    assert cli("check", "+experiment=reference", "training=fast").status == 0


def test_options_of_other_groups_may_follow_a_files_own_values(tmp_path: Path, cli: Cli) -> None:
    blocks = "".join(f"- /block@c{stage}: separable\n" for stage in (1, 2, 3, 4))
    transitions = "".join(f"- /downsample@t{place}: dilated\n" for place in (1, 2, 3))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(
        f"defaults:\n- _self_\n{blocks}{transitions}\nwidth: 17\n", encoding="utf-8"
    )
    done = cli("check", "--config-dir", str(tmp_path), "model=mine", "limits=none")
    assert (done.status, "width 17" in done.out) == (0, True)


@pytest.mark.parametrize("command", ["check", "run"])
def test_the_rate_of_another_optimizer_is_refused(command: str, cli: Cli) -> None:
    done = cli(command, "training=sgd", "training.sgd_lr=0.3")
    said = (
        "training.sgd_lr: has no effect with training.optimizer=sgd, got training.sgd_lr=0.3; "
        "type training.lr=VALUE, or leave it out\n"
    )
    assert (done.status, done.out, done.err) == (2, "", said)


@pytest.mark.parametrize("typed", ["check", "check -m width=8,9", "run -m width=8,9"])
def test_one_place_takes_one_option(typed: str, cli: Cli) -> None:
    done = cli(*typed.split(), "c3=[dilated,separable]")
    said = "c3: expected one option, got [dilated,separable]; to compare them type -m c3=dilated,separable\n"
    assert (done.status, done.out, done.err) == (2, "", said)


# Fields of the option that t1, t2 and t3 start from.
FIELDS = {"downsample.kind=dilated": "kind", "~downsample.kind": "kind", "downsample={separable:true}": "KEY"}


@pytest.mark.parametrize(("typed", "field"), FIELDS.items())
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_field_of_what_transitions_start_from_is_refused(
    command: str, typed: str, field: str, cli: Cli
) -> None:
    done = cli(command, typed)
    assert (done.status, done.out) == (2, "")
    said = f"for t1, t2 and t3 have fields of their own, got {typed}; type model.t1.{field}=VALUE for one, "
    assert said in done.err


SWEPT = {
    (*WINNER, "c4=plain,separable"): "c4: has no effect beside +experiment=winner, ",
    ("+search=blocks", "downsample=dilated"): "downsample: has no effect where t1, t2 and t3 are chosen, got "
    "downsample=dilated; leave it out\n",
    (
        "downsample=strided,dilated",
        "t1=strided",
        "t2=strided",
        "t3=strided",
    ): "downsample: has no effect where ",
    ("downsample.separable=true,false",): "downsample.separable: has no effect, for t1, t2 and t3 have ",
}


@pytest.mark.parametrize(("typed", "start"), SWEPT.items(), ids=lambda case: case[0])
def test_a_sweep_over_what_changes_nothing_is_refused(typed: tuple[str, ...], start: str, cli: Cli) -> None:
    done = cli("check", "-m", *typed)
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert done.err.startswith(start)
