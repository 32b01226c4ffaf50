"""The options of a sweep, checked, and the search that they make of a source of points."""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Protocol, get_args

from msgspec import Meta

from cifar_arch.config import Experiment
from cifar_arch.latency import NOT_INSTALLED, measurable
from cifar_arch.outputs import SWEEPS, Outputs
from cifar_arch.provenance import flatten
from cifar_arch.record import EXECUTION, ObjectiveName, Objectives, decides_search, without_added
from cifar_arch.schema import ConfigError, Strict, checked
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.objectives import Prefer
from cifar_arch.search.space import Point, Space, packages
from cifar_arch.search.study import Bounds, SearchConfig

_LISTS = ("objectives", "gpus", "plugins")  # so 0,1 is meant as [0,1]
# As in conf/config.yaml: a trial's folder is derived from the study's name, which the sweeper chooses.
_FOLDERS = {"dir": f"${{outputs}}/{SWEEPS}/${{study}}", "subdir": "${trial.number}"}


class Points(Protocol):
    """Where a search takes its points from, and what each of them is: `Composer`, and what `local` has."""

    space: Space

    def config_at(self, point: Point) -> dict[str, Any]: ...

    def assess(self, point: Point) -> Candidate: ...


class Options(Strict, frozen=True, kw_only=True):
    """The keys of the config that belong to a sweep as a whole."""

    storage: str
    study: str | None = None  # a name; None: one that tells the space, with its fingerprint
    n_trials: Annotated[int, Meta(ge=1)] | None = None  # trained trials in all; None: every point once
    objectives: Objectives = ("accuracy",)
    prefer: Prefer = "accuracy"
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    workers: Annotated[int, Meta(ge=1, le=1024)] | None = None  # None: see conf/config.yaml
    gpus: tuple[Annotated[int, Meta(ge=0)], ...] = ()

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "Options":
        """Those of a whole plain config. Raises ConfigError for a wrong one."""
        return checked(cls, {name: config[name] for name in cls.__struct_fields__ if name in config}, "")

    def __post_init__(self) -> None:
        if not self.objectives or len(set(self.objectives)) != len(self.objectives):
            raise ConfigError(
                f"objectives: expected some of {', '.join(get_args(ObjectiveName))}, each once, "
                f"got [{', '.join(self.objectives)}]"
            )
        if "latency" in self.objectives and not measurable():
            raise ConfigError(f"objectives: latency {NOT_INSTALLED}")
        if self.prefer == "smallest" and "accuracy" not in self.objectives:
            raise ConfigError(
                "prefer: smallest needs accuracy among the objectives, "
                f"got objectives=[{','.join(self.objectives)}]; add it, or type prefer=accuracy"
            )
        if self.study is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", self.study):
            raise ConfigError(
                "study: expected a name of at most 100 letters (a to z, A to Z), digits, '.', '_' and '-', "
                f"beginning with a letter, a digit or '_', got {self.study!r}"
            )

    def sampler_seed(self, after: int) -> int:
        """The seed of a sampler that is made after so many trials; it takes 32 bits."""
        return (self.seed + after) % 2**32


def refuse_unswept(space: Space) -> None:
    """Raises ConfigError for a swept key that changes nothing in what a trial computes."""
    for key, distribution in space.distributions.items():
        key = key.lstrip("+")
        if key in EXECUTION or key == "objectives" or key.startswith(("hydra.", "hydra/")):
            values = [str(value) for value in getattr(distribution, "choices", ["a range"])]
            several = key in _LISTS and all(re.fullmatch(r"[\w./]+", value) for value in values)
            better = f"type '{key}=[{','.join(values)}]'" if several else "choose one value for all trials"
            raise ConfigError(
                f"{key.removeprefix('hydra/sweeper/')}: cannot be swept, because it changes nothing in what "
                f"a trial computes, got {', '.join(values)}; {better}"
            )


def refuse_hydra_settings(hydra: Any, space: Space) -> None:
    """Raises ConfigError where Hydra's own config, plain and unresolved, asks for what no sweep here does."""
    for kind in ("sampler", "pruner"):
        if not isinstance(node := hydra["sweeper"][kind], dict):
            raise ConfigError(f"hydra.sweeper.{kind}: expected the options of a {kind}, got {node or 'null'}")
    for name, ours in _FOLDERS.items():
        if (asked := hydra["sweep"][name]) != ours:
            raise ConfigError(
                f"hydra.sweep.{name}: a trial's folder is always OUTPUTS/sweeps/STUDY/NUMBER, "
                f"got {asked!r}; type outputs=FOLDER or study=NAME to choose those"
            )
    if by_grid(hydra["sweeper"]["sampler"]) and space.size() is None:
        raise ConfigError("sampler: grid needs a finite space, got an interval; choose tpe, gp or random")


def by_grid(sampler: Mapping[str, Any]) -> bool:
    return str(sampler.get("_target_")).endswith("GridSampler")


def each_experiment(points: Points, objectives: Sequence[str]) -> list[Experiment]:
    """Few experiments that hold every value of the space, see `Space.each_value`.

    Raises ConfigError for a value that no network could have, and where accuracies are asked for that no
    image is set aside for.
    """
    found = []
    for point in points.space.each_value():
        points.assess(point)
        found.append(Experiment.from_dict(points.config_at(point)))
        if "accuracy" in objectives and found[-1].data.validation == 0:
            raise ConfigError(
                "data.validation: a search chooses by validation images, got 0; type data.validation=5000"
            )
    return found


def target_accuracy(experiment: Experiment, prefer: Prefer, option: str = "target=") -> float | None:
    """The accuracy to reach. Raises ConfigError where `prefer` goes by one and there is none.

    `option`: how it is typed.
    """
    target = experiment.limits.target_accuracy
    if prefer == "smallest" and target is None:
        raise ConfigError(
            "prefer: smallest takes the fewest parameters among those that reach a target, got no target; "
            f"type one, {option}0.85"
        )
    return target


def bounds_of(sweeper: Mapping[str, Any]) -> Bounds:
    """The numbers of a whole `hydra.sweeper`. Raises ConfigError for a wrong or an unknown one."""
    others = {"_target_", "params", "pruner", "sampler"}
    known = {*Bounds.__struct_fields__, *others}
    if unknown := [name for name in sweeper if name not in known]:
        names = ", ".join(sorted(known - {"_target_"}))
        raise ConfigError(f"hydra.sweeper.{unknown[0]}: unknown key; choose from {names}")
    numbers = {name: value for name, value in sweeper.items() if name not in others}
    return checked(Bounds, numbers, "hydra.sweeper")


def search_config(
    points: Points,
    options: Options,
    outputs: Outputs,
    algorithms: Mapping[str, Any],
    *,
    named: str | None,
    typed: Collection[str] = (),
) -> SearchConfig:
    """The search for the best of these points, in a study that is known by its name and its fingerprint.

    `algorithms`, `typed`: as in `fingerprint`. `named`: what its study is named after in place of its space.
    Raises ConfigError for a space without an end and no number of trials.
    """
    mark = fingerprint(points.config_at({}), points.space, algorithms, options.objectives, typed)
    name = options.study or readable_name(named, points.space, mark)
    return SearchConfig(
        name=name,
        storage=options.storage,
        folder=outputs.sweep(name),
        space=points.space,
        objectives=options.objectives,
        n_trials=options.n_trials,
        exhaustive=_takes_every_point(points.space, options.n_trials),
        fingerprint=mark,
    )


def _takes_every_point(space: Space, n_trials: int | None) -> bool:
    """Whether `n_trials` trials are enough for every point, so that no sampler has to choose.

    Raises ConfigError for a space without an end and no number.
    """
    size = space.size()
    if n_trials is None and size is None:
        raise ConfigError(
            "n_trials: a space with an interval is infinite, got null; give a number, n_trials=20"
        )
    return size is not None and (n_trials is None or n_trials >= size)


def fingerprint(
    config: dict[str, Any],
    space: Space,
    algorithms: Mapping[str, Any],
    objectives: tuple[str, ...],
    typed: Collection[str] = (),
) -> dict[str, Any]:
    """All that decides what a sweep finds, as flat plain data.

    `algorithms`: sampler and pruner with their options. `typed`: keys with one value for all trials.
    Of a group that is swept the space has its options' names; `edited` looks at what they hold.
    """
    swept = packages(space.distributions)
    fixed = tuple(key for key in packages(typed) if key.startswith(swept))
    kept = {
        key: value
        for key, value in without_added(dict(flatten(config))).items()
        if decides_search(key) and (f"{key}.".startswith(fixed) or not f"{key}.".startswith(swept))
    }
    whole = {**kept, "space": space.describe(), **algorithms, "objectives": objectives}
    data: dict[str, Any] = json.loads(json.dumps(whole))
    return data


def readable_name(search: str | None, space: Space, mark: Mapping[str, Any]) -> str:
    """For instance blocks-1f9c2a, or width-c3-1f9c2a."""
    keys = [re.split(r"[@.+/]", key)[-1] for key in space.distributions]
    digest = hashlib.sha256(json.dumps(mark, sort_keys=True).encode()).hexdigest()[:6]
    named = search and re.sub(r"[^A-Za-z0-9._-]", "-", search)  # one of a folder within `search` has a /
    return f"{named or '-'.join(keys)[:40] or 'single'}-{digest}"
