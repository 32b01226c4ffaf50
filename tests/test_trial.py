"""Trials as records; and Optuna's private interface, so that these tests tell when Optuna changes it."""

import ast
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sweeping import close

import cifar_arch
from cifar_arch.search.storage import open_storage, quiet_optuna
from cifar_arch.search.trial import (
    EXCERPT,
    Attributes,
    Role,
    StudySampler,
    TrialRecord,
    random_start,
    set_constraint,
    set_random_start,
    stale_ids,
    stored_attributes,
    trial_id,
)

WIDTH: dict[str, BaseDistribution] = {"width": IntDistribution(4, 9)}
# One of each, as a study stores it.
STORED: dict[str, Any] = {
    "role": "requeued",
    "key": "0123456789abcdef",
    "configuration": "123456789abcdef0",
    "params": 1000,
    "macs": 2000,
    "receptive_field": 45,
    "worker": "host-1-abcdef",
    "continues": 3,
    "retries": 1,
    "epochs_before": 2,
    "replays": 4,
    "infeasible": "too large",
    "reason": "pruned after epoch 2",
    "folder": "outputs/sweeps/s/0",
    "seconds": 1.5,
    "epochs_done": 2,
    "device": "cpu",
    "error": "MemoryError",
}


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[RDBStorage]:
    quiet_optuna()
    made = open_storage(f"sqlite:///{tmp_path}/studies.db")
    yield made
    close(made)


@pytest.fixture
def study(storage: RDBStorage) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=storage, direction="maximize", sampler=RandomSampler())


def record(study: optuna.Study, number: int) -> TrialRecord:
    return TrialRecord.of(study.get_trials(deepcopy=False)[number])


def test_every_attribute_is_written_and_read_under_its_name(study: optuna.Study) -> None:
    """Also what studies of earlier versions hold: neither names nor values may change."""
    assert set(STORED) == set(Attributes.__struct_fields__)
    study.enqueue_trial({"width": 5}, user_attrs={**STORED, "of somebody else": 1})
    found = record(study, 0)
    attributes = {name: getattr(found, name) for name in STORED}
    assert attributes == STORED
    assert isinstance(found.role, Role)
    assert stored_attributes(**attributes) == STORED
    assert type(stored_attributes(role=Role.REQUEUED)["role"]) is str


def test_roles_are_stored_under_these_words() -> None:
    words = ["rejected", "replayed", "discarded", "requeued", "abandoned", "mistaken"]
    assert [str(role) for role in Role] == words


def test_none_is_not_stored_and_an_unknown_name_is_refused() -> None:
    assert stored_attributes(reason=None, retries=0) == {"retries": 0}
    with pytest.raises(TypeError, match="colour"):
        stored_attributes(colour="red")


def test_a_queued_trial_has_its_point_and_an_asked_one_its_values(study: optuna.Study) -> None:
    study.enqueue_trial({"width": 5})
    queued = record(study, 0)
    assert (queued.state, queued.point, queued.values) == (TrialState.WAITING, {"width": 5}, ())
    asked = study.ask(WIDTH)
    asked.report(0.25, 1)
    running = record(study, 0)
    assert (running.point, running.curve, running.trained) == ({"width": 5}, {1: 0.25}, False)
    study.tell(asked, 0.5)
    done = record(study, 0)
    assert (done.number, done.values, done.trained) == (0, (0.5,), True)


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
def test_a_finished_trial_counts_as_trained_without_a_role(study: optuna.Study, state: TrialState) -> None:
    for role in (None, *Role):
        trial = study.ask(WIDTH)
        if role:
            trial.set_user_attr("role", role)
        study.tell(trial, 0.5 if state == TrialState.COMPLETE else None, state=state)
    assert [record(study, number).trained for number in range(6)] == [True, *[False] * 5]


# --- Optuna's private interface ---------------------------------------------------------------------------


def test_the_id_of_a_trial_is_the_storages(study: optuna.Study, storage: RDBStorage) -> None:
    study.ask(WIDTH)
    trial = study.ask(WIDTH)
    assert trial_id(trial) == record(study, 1).id
    storage.set_trial_user_attr(trial_id(trial), "reason", "because")
    assert record(study, 1).reason == "because"


def test_trials_without_a_heartbeat_are_stale(tmp_path: Path) -> None:
    quiet_optuna()
    storage = RDBStorage(f"sqlite:///{tmp_path}/studies.db", heartbeat_interval=1, grace_period=1)
    study = optuna.create_study(study_name="s", storage=storage, sampler=RandomSampler())
    silent, beating = study.ask(WIDTH), study.ask(WIDTH)
    for trial in (silent, beating):
        storage.record_heartbeat(trial_id(trial))
    end = time.monotonic() + 30
    while trial_id(silent) not in stale_ids(storage, "s"):
        storage.record_heartbeat(trial_id(beating))
        time.sleep(0.1)
        assert time.monotonic() < end
    assert stale_ids(storage, "s") == {trial_id(silent)}
    close(storage)


SAMPLERS = {"tpe": TPESampler, "gp": GPSampler}


@pytest.mark.parametrize("kind", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_random_start_is_read_and_moved(kind: type[BaseSampler]) -> None:
    sampler = kind(n_startup_trials=7)  # type: ignore[call-arg]
    assert random_start(sampler) == 7
    set_random_start(sampler, 9)
    assert random_start(sampler) == 9
    assert random_start(RandomSampler()) is None


def test_tpe_stays_random_for_as_long_as_its_random_start_says() -> None:
    def eighth(start: int, moved: int) -> int:
        sampler = TPESampler(seed=3, n_startup_trials=start)
        set_random_start(sampler, moved)
        study = optuna.create_study(sampler=sampler)
        for _ in range(8):
            trial = study.ask({**WIDTH, "x": IntDistribution(0, 10**6)})
            study.tell(trial, trial.params["x"])
        x: int = study.trials[-1].params["x"]
        return x

    assert eighth(2, moved=20) == eighth(20, moved=20)
    assert eighth(20, moved=2) == eighth(2, moved=2) != eighth(20, moved=20)


@pytest.mark.parametrize("rejected", [0, 2 * EXCERPT])
def test_rejected_trials_do_not_use_up_the_random_start(rejected: int) -> None:
    study = optuna.create_study(direction="maximize")
    for width in range(rejected):
        made: dict[str, Any] = {"params": {"width": width % 6 + 4}, "distributions": WIDTH}
        made["user_attrs"] = {"role": "rejected"}
        study.add_trial(optuna.create_trial(state=TrialState.PRUNED, **made))
    sampler = TPESampler(seed=0, n_startup_trials=4)
    study.sampler = wrapped = StudySampler(sampler, study)
    at_random = []
    for _ in range(8):
        trial = study.ask(WIDTH)
        known = wrapped.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
        at_random.append(len(known) < (random_start(sampler) or 0))
        study.tell(trial, 1.0)
    assert at_random == [True] * 4 + [False] * 4


@pytest.mark.parametrize("excess", [0.0, 2.5])
def test_both_kinds_of_constraint_are_written(
    study: optuna.Study, storage: RDBStorage, excess: float
) -> None:
    set_constraint(study.ask(WIDTH), storage, excess)
    (trial,) = study.trials
    assert trial.constraints["limits"] == excess  # Optuna's own
    assert trial.system_attrs["constraints"] == [excess]  # the dashboard's


# --- and nowhere else -------------------------------------------------------------------------------------

PACKAGE = Path(cifar_arch.__file__).parent
KNOWN = re.compile(r"\b(_storage|_trial_id|_study_id|_get_stale_trial_ids|_n_startup_trials)\b")


def private_uses(source: str) -> list[str]:
    """Private names of other objects, and of modules of Optuna, in a file's code."""
    tree = ast.parse(source)
    found = KNOWN.findall(source)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name) if re.match(r"_[^_]", name):
                found.append(name)
            case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] == "optuna":
                full = [f"{module}.{alias.name}" for alias in names]
                found += [name for name in full if "._" in name]
    return found


def test_no_other_module_uses_optunas_private_interface() -> None:
    files = [path for path in (PACKAGE / "search").glob("*.py") if path.name != "trial.py"]
    assert len(files) > 15
    assert {
        path.name: uses for path in files if (uses := private_uses(path.read_text(encoding="utf-8")))
    } == {}
    others = {path for path in PACKAGE.rglob("*.py") if path.parent.name != "search"}
    assert [path.name for path in others if KNOWN.search(path.read_text(encoding="utf-8"))] == []


def test_the_search_for_private_uses_finds_them() -> None:
    source = "from optuna.study._multi_objective import x\nstudy._storage.set(1)\ntrial._other\nself._mine\n"
    assert sorted(private_uses(source)) == [
        "_other",
        "_storage",
        "_storage",
        "optuna.study._multi_objective.x",
    ]
