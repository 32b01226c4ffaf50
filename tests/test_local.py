"""A search from Python, with real trainings of a tiny network."""

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import summary_of, tiny_config, type_command
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.pruners import HyperbandPruner, MedianPruner, PatientPruner, ThresholdPruner
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler
from optuna.samplers.nsgaii import UniformCrossover
from sweeping import trained_trials, trials

from cifar_arch.blocks import Plain
from cifar_arch.experiment import OnEpoch, run_config
from cifar_arch.overrides import CONF
from cifar_arch.record import Epoch, Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError, SearchStopped
from cifar_arch.search.local import MEDIAN, TPE, search
from cifar_arch.search.options import Options
from cifar_arch.search.trial import Role

LIMITS = {"params_below": 5000, "separable_at_least": 1}
SPACE: dict[str, Any] = {"model.width": [4, 5, 40], "model.c4.kind": ["separable", "plain"]}


def interrupted_in_the_second(
    config: dict[str, Any], path: Path, on_epoch: OnEpoch, **options: Any
) -> Summary:
    """As `run_config`, but for Ctrl-C after the first epoch of trial 2."""

    def after_epoch(history: list[Epoch]) -> None:
        on_epoch(history)
        if path.name == "2":
            raise KeyboardInterrupt

    return run_config(config, path, after_epoch, **options)


@pytest.mark.slow
def test_it_rejects_trains_ranks_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = functools.partial(
        search, tiny_config(limits=LIMITS), SPACE, study="tour", outputs=tmp_path / "outputs"
    )
    with monkeypatch.context() as patch:
        patch.setattr("cifar_arch.search.worker.run_config", interrupted_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            call()
    assert [t.role for t in trials(tmp_path)] == [None, Role.REJECTED, Role.REQUEUED, None]
    capsys.readouterr()
    ranking = call()
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"study tour: 6 points, folders in {tmp_path / 'outputs' / 'sweeps' / 'tour'}"
    assert shown[1] == "1 trained before"
    assert shown[2].startswith("  2/2  trial 3  accuracy ")
    assert shown[3:] == [
        "study tour is done: 2 trained (4 rejected)",
        "accuracies on the synthetic data set never count towards the target",
    ]
    assert [t.number for t in trained_trials(tmp_path)] == [0, 3]
    sweep = tmp_path / "outputs" / "sweeps" / "tour"
    before, after = (RunFolder(sweep / name).read_metrics() for name in ("2", "3"))
    assert after[0] == before[0]  # it went on from the checkpoint
    assert len({RunFolder(sweep / name).experiment.read_bytes() for name in ("2", "3")}) == 1
    assert [row.epoch for row in after] == [1, 2]
    assert call(progress=False) == ranking  # nothing is left to train
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_the_ranking_leads_to_the_runs(tmp_path: Path) -> None:
    space = {"model.width": [4, 5]}
    config = tiny_config(training={"epochs": 1})
    ranking = search(config, space, study="two", outputs=tmp_path / "outputs", progress=False)
    best = ranking.best
    assert best.values[0] == max(t.values[0] for t in ranking.trials)
    assert str(ranking).splitlines()[1].split()[:2] == ["1", str(best.number)]
    summary = summary_of(Path(str(best.folder)))
    assert (summary["val_accuracy"], summary["test_accuracy"]) == (best.values[0], None)
    assert summary["config"]["model.width"] == best.point["model.width"]
    log = RunFolder(str(best.folder)).log.read_text(encoding="utf-8")
    assert "parameters, receptive field" in log


@pytest.mark.slow
def test_confirm_says_that_it_cannot_compose_what_python_made(tmp_path: Path) -> None:
    config = tiny_config(training={"epochs": 1})
    search(config, {"model.width": [4, 5]}, study="py", outputs=tmp_path / "outputs", progress=False)
    done = type_command("confirm", "py", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "has no saved config; `search` trained it from Python: train it there, with data.validation=0\n"
    )


@pytest.mark.usefixtures("no_figures")
def test_equal_points_are_trained_once_and_whole_blocks_are_values(tmp_path: Path) -> None:
    config = tiny_config(training={"epochs": 1})
    blocks = [{"kind": "plain"}, {"kind": "plain", "layers": 1}]
    space: dict[str, Any] = {"model.c2": blocks, "model.depth": [[1, 1, 1, 1]]}
    ranking = search(config, space, outputs=tmp_path / "outputs", progress=False)
    assert [t.number for t in ranking.trials] == [0]
    assert [t.role for t in trials(tmp_path)] == [None, Role.REPLAYED]
    assert str(ranking).splitlines()[1].endswith('model.c2={"kind": "plain"} depth=[1, 1, 1, 1]')


def test_a_sampler_chooses_among_intervals_and_a_pruner_prunes(tmp_path: Path) -> None:
    space = {"training.lr": FloatDistribution(0.01, 0.1), "model.width": IntDistribution(4, 6)}
    call = functools.partial(search, tiny_config(), space, outputs=tmp_path / "outputs", progress=False)
    with pytest.raises(SearchStopped, match=r"^no trial was completed; look at run\.log in the folders in "):
        call(n_trials=2, study="pruned", pruner=ThresholdPruner(lower=0.99), sampler=RandomSampler)
    pruned = trained_trials(tmp_path)
    assert [len(t.curve) for t in pruned] == [1, 1]
    assert str(pruned[0].reason).startswith("pruned after epoch 1 at ")


def test_a_failing_run_is_recorded_with_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()  # empty
    config = tiny_config(data={"name": "cifar10", "root": str(tmp_path)})
    with pytest.raises(
        SearchStopped, match="the first trial failed because of a mistake in the config; trial 0: data"
    ):
        search(config, {"model.width": [4, 5]}, study="s", outputs=tmp_path / "outputs", progress=False)
    log = tmp_path / "outputs" / "sweeps" / "s" / "0" / "run.log"
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_a_config_needs_no_recipe_and_a_run_knows_the_objectives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def run(config: dict[str, Any], path: Path, *_: Any, **__: Any) -> Summary:
        seen.append(config)
        summary = Summary(status=Status.COMPLETED, val_accuracy=0.5, params=1000, seconds=1.0)
        RunFolder(path).write_summary(summary)
        return summary

    monkeypatch.setattr("cifar_arch.search.worker.run_config", run)
    config = {name: part for name, part in tiny_config().items() if name != "training"}
    objectives = ["accuracy", "params"]  # a run measures the latency where it is among them
    search(config, {"model.width": [4]}, objectives=objectives, outputs=tmp_path / "o", progress=False)
    (trained,) = seen
    assert trained["objectives"] == objectives
    assert trained["training"]["threads"] >= 1


MISTAKES: list[dict[str, Any]] = [
    {"space": {"model.widht": [4]}, "says": "model.widht: unknown field; choose from "},
    {"space": {"modle.width": [4]}, "says": "modle: unknown key; choose from "},
    {"space": {"model.width": [4, "wide"]}, "says": "model.width: expected an integer at least 1"},
    {"space": {"model.width.of": [4]}, "says": "model.width.of: width has to hold fields, got 4; "},
    {"space": {"model.c2.kind": "plain"}, "says": "space: model.c2.kind takes a list of values or an Optuna"},
    {"space": {"model.width": []}, "says": "space: model.width takes a list of values or an Optuna"},
    {"space": {"training.lr": FloatDistribution(0.1, 0.2)}, "says": "n_trials: a space with an interval"},
    {"space": {("model", "width"): [4]}, "says": "space: expected keys such as 'model.width', got ('model'"},
    {"space": {"model.c2": [Plain()]}, "says": "space: model.c2 takes plain values, got Plain("},
    {"outputs": None, "says": "outputs: expected a folder, got None; type outputs="},
    {"n_trials": 0, "says": "n_trials: expected an integer at least 1 or null, got 0"},
    {
        "objectives": ["speed"],
        "says": "objectives[0]: expected one of accuracy, latency, macs, params, got 'speed'",
    },
    {"prefer": "largest", "says": "prefer: expected one of accuracy, smallest, got 'largest'"},
    {"study": "größe", "says": "study: expected a name of at most 100 letters (a to z, A to Z), digits"},
    {
        "pruner": MedianPruner,
        "says": "pruner: expected one such as optuna.pruners.MedianPruner(), got <class ",
    },
    {
        "space": ["model.width"],
        "says": "search: expected a config as plain data, a space such as {'model.wid",
    },
    {"objectives": "accuracy", "says": "search: expected a config as plain data, a space such as {'model.wi"},
    {"sampler": RandomSampler(), "says": "sampler: expected a class such as optuna.samplers.TPESampler, or "},
    {
        "sampler": lambda seed: RandomSampler(seed),
        "says": "sampler: expected a class such as optuna.samplers.TPESampler, or ",
    },
]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case["says"])
def test_mistakes_are_sentences_before_anything_is_written(case: dict[str, Any], tmp_path: Path) -> None:
    given = {"space": {"model.width": [4, 5]}, "outputs": tmp_path / "outputs", **case}
    says = given.pop("says")
    with pytest.raises(ConfigError) as error:
        search(tiny_config(), **given)
    assert str(error.value).startswith(says)
    assert not (tmp_path / "outputs").exists()


def test_another_search_under_the_same_name_is_refused(tmp_path: Path) -> None:
    config = tiny_config(limits={"params_below": 1})
    call = functools.partial(search, config, outputs=tmp_path / "outputs", progress=False)
    for space in ({"model.width": [4]}, {"model.width": [5]}):  # without a name they do not meet
        with pytest.raises(ConfigError, match="nothing inside the limits among 1 candidate;"):
            call(space)
    with pytest.raises(ConfigError, match="nothing inside the limits"):
        call({"model.width": [4]}, study="s")
    with pytest.raises(ConfigError, match=r"study: 's' was made with values of model.width=\[4\], now \[5\]"):
        call({"model.width": [5]}, study="s")
    partial = functools.partial(TPESampler, n_startup_trials=3)
    with pytest.raises(ConfigError, match=r"sampler=TPESampler\(.*, now TPESampler\(n_startup_trials=3\)"):
        call({"model.width": [4]}, study="s", sampler=partial)
    with pytest.raises(
        ConfigError, match=r"pruner=MedianPruner, now MedianPruner\(percentile=50.0, n_startup_trials=3, "
    ):
        call({"model.width": [4]}, study="s", pruner=MedianPruner(n_startup_trials=3))
    low, high = (PatientPruner(ThresholdPruner(lower=lower), 1) for lower in (0.1, 0.9))
    with pytest.raises(ConfigError, match="nothing inside the limits"):
        call({"model.width": [4]}, study="patient", pruner=low)
    with pytest.raises(ConfigError, match=r"lower=0\.1, .* now PatientPruner\(.*lower=0\.9, "):
        call({"model.width": [4]}, study="patient", pruner=high)
    with pytest.raises(ConfigError, match="nothing inside the limits"):  # the default one, written out
        call({"model.width": [4]}, study="s", pruner=MedianPruner(n_startup_trials=5, n_warmup_steps=2))


def by_crossover(share: float) -> Any:
    return functools.partial(NSGAIISampler, crossover=UniformCrossover(share))


def by_own(option: Any) -> Any:
    return functools.partial(own_sampler, option)


def own_sampler(option: Any, seed: int) -> RandomSampler:
    return RandomSampler(seed)


@pytest.mark.parametrize(
    ("first", "again", "other", "says"),
    [
        (by_crossover(0.2), by_crossover(0.2), by_crossover(0.4), r"\(swapping_prob=0.2\).* now .*=0.4\)"),
        (by_own([4]), by_own([4]), by_own([5]), r"sampler=own_sampler\(\[4\]\), now own_sampler\(\[5\]\)"),
        (by_own(min), by_own(min), by_own(max), r"sampler=own_sampler\(min\), now own_sampler\(max\)"),
    ],
)
def test_what_a_sampler_is_given_is_told_apart(
    first: Any, again: Any, other: Any, says: str, tmp_path: Path
) -> None:
    config = tiny_config(limits={"params_below": 1})
    space = {"model.width": [4]}
    call = functools.partial(search, config, space, outputs=tmp_path / "outputs", study="s", progress=False)
    for sampler in (first, again):
        with pytest.raises(ConfigError, match="nothing inside the limits"):
            call(sampler=sampler)
    with pytest.raises(ConfigError, match=says):
        call(sampler=other)


@pytest.mark.slow
def test_the_same_call_goes_on_with_a_pruner_that_counts_in_itself(tmp_path: Path) -> None:
    pruner = HyperbandPruner(1, 2, 3)
    for _ in range(2):
        search(
            tiny_config(training={"epochs": 2}),
            {"model.width": [4]},
            study="s",
            pruner=pruner,
            outputs=tmp_path / "outputs",
            progress=False,
        )
    assert len(trained_trials(tmp_path)) == 1


def test_a_seed_moves_on_with_the_trials_and_stays_one() -> None:
    assert Options(storage="", seed=2**32 - 1).sampler_seed(3) == 2


@pytest.mark.parametrize(("made", "file"), [(TPE, "sampler/tpe.yaml"), (MEDIAN, "pruner/median.yaml")])
def test_the_defaults_are_those_of_a_sweep(made: "functools.partial[Any]", file: str) -> None:
    options = yaml.safe_load((CONF / "hydra" / "sweeper" / file).read_text(encoding="utf-8"))
    assert options == {"_target_": f"optuna.{file.partition('/')[0]}s.{made.func.__name__}", **made.keywords}
