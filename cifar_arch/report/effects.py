"""What a choice changes: runs that are equal in everything else, compared in pairs; repeats; importances."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from cifar_arch.data import SYNTHETIC
from cifar_arch.record import Status
from cifar_arch.report.settings import (
    IN_FORM,
    OF_EVERY_BLOCK,
    in_a_form,
    in_block,
    levels_of,
    nulls,
    ordered,
    settings,
    swept,
    usual_of_kind,
    varies,
)
from cifar_arch.spec import STAGES, TRANSITIONS

SIZES = ("limits.params_below", "limits.macs_below")  # which width=auto turns into a width
EQUAL_PARAMS = 0.02  # largest difference in parameters within a pair of width=auto, in parts


class Factor(NamedTuple):
    """A choice: the level that each run has (None: not part of it), and the columns it fills."""

    levels: list[Any]
    columns: frozenset[str]


def comparable(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that can be compared: completed, with an accuracy."""
    return runs[(runs["status"] == Status.COMPLETED) & runs["accuracy"].notna()].reset_index(drop=True)


def main_part(done: pd.DataFrame) -> pd.DataFrame:
    """The runs to learn from: without synthetic data and without test accuracies, where others remain.

    What is learnt leads to choices, and those must not read the test images.
    """
    for column, kind in (("data", SYNTHETIC), ("accuracy_of", "test")):
        others = done[column] != kind
        done = done[others] if others.any() else done
    return done


def paired_effects(runs: pd.DataFrame) -> pd.DataFrame:
    """For each factor and pair of its levels: the mean change in accuracy from the first to the second.

    Columns: factor, baseline, level, effect (0 to 1), low, high (95 % t interval; missing for
    fewer than 3 pairs), pairs. Both runs of a pair are equal in every other setting, the seed and the
    data set included, and with width=auto also in parameters, within 2 %.
    """
    return compared(runs)[0]


def compared(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The `paired_effects`, and the changes that have none, for no pair is equal in parameters."""
    done = main_part(comparable(runs))
    codes = _Codes(done)
    rows, unequal = [], []
    for name, factors in _factors(done).items():
        found: dict[tuple[Any, Any], list[float]] = {}
        for factor in factors:
            for levels, differences in codes.pairs(factor).items():
                found.setdefault(levels, []).extend(differences)
        for (baseline, level), differences in sorted(
            found.items(), key=lambda pair: [*map(ordered, pair[0])]
        ):
            if differences:
                rows.append((name, str(baseline), str(level), *interval(differences), len(differences)))
            else:
                unequal.append(f"{name} {baseline} and {level}")
    columns = ["factor", "baseline", "level", "effect", "low", "high", "pairs"]
    return pd.DataFrame(rows, columns=columns), unequal


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % t interval; an interval of fewer than 3 values is not a number."""
    mean, n = float(np.mean(values)), len(values)
    if n < 3:
        return mean, math.nan, math.nan
    half = float(stdtrit(n - 1, 0.975)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return mean, mean - half, mean + half


class _Codes:
    """The settings of all runs as integers, so that equal ones are found at once."""

    def __init__(self, runs: pd.DataFrame):
        auto = runs["model.width"].astype("str") == "auto" if "model.width" in runs else None
        self.auto = np.zeros(len(runs), bool) if auto is None else auto.fillna(False).to_numpy(bool)
        limits = [name for name in SIZES if name in runs]
        self.columns = [*settings(runs), *limits]
        coded = [pd.factorize(_usual(runs[name]))[0] for name in self.columns]
        for name, codes in zip(self.columns, coded, strict=True):
            if name in limits:  # elsewhere they choose which network is trained, and not what it computes
                codes[~self.auto] = -1
        self.codes = np.array(coded, dtype=np.int64).reshape(len(self.columns), len(runs)).T
        self.accuracy = runs["accuracy"].to_numpy(float)
        self.params = runs["params"].to_numpy(float, na_value=np.nan)

    def pairs(self, factor: Factor) -> dict[tuple[Any, Any], list[float]]:
        """Differences in accuracy by (baseline, level), one for each group of runs equal otherwise.

        Groups that differ in parameters, where these ought to be equal, give none.
        """
        given = {*factor.columns, *(SIZES if "model.width" in factor.columns else ())}
        others = [i for i, name in enumerate(self.columns) if name not in given]
        found: dict[tuple[Any, Any], list[float]] = {}
        places = np.flatnonzero([not pd.isna(level) for level in factor.levels])
        groups = np.unique(self.codes[places][:, others], axis=0, return_inverse=True)[1].ravel()
        order = np.argsort(groups, kind="stable")
        for group in np.split(places[order], np.flatnonzero(np.diff(groups[order])) + 1):
            levels: dict[Any, list[int]] = {}
            for place in group:
                levels.setdefault(factor.levels[place], []).append(place)
            for baseline, level in itertools.combinations(sorted(levels, key=ordered), 2):
                a, b = levels[baseline], levels[level]
                if self._in_a_field(factor, a[0], b[0]):
                    continue
                differences = found.setdefault((baseline, level), [])
                if self._comparable(a, b):
                    differences.append(float(self.accuracy[b].mean() - self.accuracy[a].mean()))
        return found

    def _in_a_field(self, factor: Factor, a: int, b: int) -> bool:
        """Whether two blocks of one kind differ in a field of this kind, which is a factor by itself."""
        ours = [(n, i) for i, n in enumerate(self.columns) if n in factor.columns]
        differ = [n for n, i in ours if self.codes[a, i] != self.codes[b, i]]
        one_kind = any(n.endswith(".kind") and n not in differ for n, _ in ours)
        return one_kind and not all(map(in_a_form, differ))

    def _comparable(self, a: list[int], b: list[int]) -> bool:
        if not self.auto[a[0]] or not self.auto[b[0]]:
            return True
        first, second = self.params[a].mean(), self.params[b].mean()
        return bool(abs(first - second) <= EQUAL_PARAMS * max(first, second))


def _usual(values: pd.Series) -> pd.Series:
    """A setting of blocks, where a block without the field counts as one that has it as it usually is."""
    part = in_block(str(values.name))
    usual = OF_EVERY_BLOCK.get(part[1]) if part else None
    return values if usual is None else values.fillna(usual)


def _factors(runs: pd.DataFrame) -> dict[str, list[Factor]]:
    """Every choice in which the runs differ; a name may pool several places where the same choice is made."""
    config = settings(runs)

    def below(*names: str) -> frozenset[str]:
        return frozenset(k for k in config if k.startswith(tuple(f"model.{n}." for n in names)))

    factors = {name: [Factor(runs[name].tolist(), below(name))] for name in TRANSITIONS}
    same = [None if kind == "mixed" else kind for kind in runs["downsample"]]
    factors["t1, t2 and t3"] = [Factor(same, below(*TRANSITIONS))]
    for stage in STAGES:
        kept = {f"model.{stage}.{field}" for field in OF_EVERY_BLOCK}
        factors[stage] = [Factor(_forms(runs, stage), below(stage) - kept)]
    residual = [f"model.{stage}.residual" for stage in STAGES]
    names = {True: "residual", False: "without"}
    factors["residual, at equal layers"] = [
        Factor([None if pd.isna(v) else names[bool(v)] for v in runs[key]], frozenset({key}))
        for key in residual
        if key in config
    ]
    for key in config:
        if (
            not in_a_form(key)
            and key not in ("seed", "data")
            and varies(runs, key)
            and runs[key].nunique() <= 50
        ):
            factors[key] = [Factor(levels_of(runs, key), frozenset({key}))]
    return factors


def _forms(runs: pd.DataFrame, stage: str) -> list[Any]:
    """plain, plain_residual, ...; with what is not the usual of its layers and of its kind's own fields."""
    forms = runs[stage].tolist()
    usual_layers = np.where(runs[stage].str.endswith("_residual").fillna(False).astype(bool), 2, 1)
    for name in (name for name in runs if name.startswith(f"model.{stage}.")):
        field = name.rpartition(".")[2]
        if field in OF_EVERY_BLOCK or (field in IN_FORM and field != "layers"):
            continue
        usual = usual_layers if field == "layers" else usual_of_kind(runs, stage, field)
        shown = "{} x{}" if field == "layers" else f"{{}} {field}={{}}"
        forms = [
            form if pd.isna(form) or pd.isna(n) or n == u else shown.format(form, n)
            for form, n, u in zip(forms, runs[name].astype(object), usual, strict=True)
        ]
    return forms


def repeats(runs: pd.DataFrame) -> pd.DataFrame:
    """Configurations that were run with several seeds: mean, std and n of their accuracy, of which images it
    is, what they differ in, and sizes; the best first."""
    done = comparable(runs)
    chosen = swept(done)
    done = done.assign(**{name: levels_of(done, name) for name in chosen if nulls(done, name).any()})
    kept = ("accuracy_of", *chosen, "params", "receptive_field", "macs", "folder")
    means = over_seeds(done, *kept).rename(columns={"accuracy": "mean"})
    means = means[["mean", "std", "n", *dict.fromkeys(kept)]]
    return means[means["n"] > 1].sort_values("mean", ascending=False, ignore_index=True)


def over_seeds(runs: pd.DataFrame, *kept: str) -> pd.DataFrame:
    """A row for each configuration: the first of the `kept` columns, mean, std and n of the accuracies.

    Runs of an equal seed as well are no independent ones: they count once, with their mean.
    """
    # The same settings with width=auto are other networks under other limits.
    columns = [*(name for name in settings(runs) if name != "seed"), "architecture"]
    once = runs.groupby([*columns, "seed"], dropna=False, sort=False, as_index=False)
    once = once.agg({**{name: "first" for name in kept if name not in columns}, "accuracy": "mean"})
    groups = once.groupby(columns, dropna=False, sort=False)
    accuracy = groups["accuracy"]
    found = {"accuracy": accuracy.mean(), "std": accuracy.std(), "n": accuracy.size()}
    return pd.DataFrame({**{name: groups[name].first() for name in kept}, **found}).reset_index(drop=True)


def importances(runs: pd.DataFrame) -> pd.DataFrame:
    """How much of the accuracy's variance each setting accounts for by itself, the most first.

    That is the adjusted R^2 of the group means (numbers with many values in quarters): having many values
    is no advantage, and 0 means no more than chance. Columns: setting, share (0 to 1), runs.
    """
    done = main_part(comparable(runs))
    rows = [(name, _share(done[name], done["accuracy"].to_numpy(float)), len(done)) for name in swept(done)]
    frame = pd.DataFrame(rows, columns=["setting", "share", "runs"]).dropna()
    return frame.sort_values("share", ascending=False, ignore_index=True)


def _share(column: pd.Series, accuracy: np.ndarray) -> float:
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > 8:
        column = pd.qcut(column.astype(float), 4, duplicates="drop")
    codes, values = pd.factorize(column)
    groups = [accuracy[codes == code] for code in range(-1, len(values)) if (codes == code).any()]
    n, k = len(accuracy), len(groups)
    total = ((accuracy - accuracy.mean()) ** 2).sum()
    if n <= k or total == 0:
        return math.nan
    within = sum(((group - group.mean()) ** 2).sum() for group in groups)
    return float(max(0.0, 1 - (within / (n - k)) / (total / (n - 1))))
