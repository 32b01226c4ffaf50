"""What the table of trained networks says, as docs/findings.md.

    python -m benchmarks.findings

It gives two estimates of each choice, in points of validation accuracy: the coefficient of an additive model,
which uses every network, and the mean over pairs of networks that differ in nothing else. Both have 95 % t
intervals, and are given within each kind of T1 too, since they differ there. Spearman's rank correlation says
how soon an epoch predicts the final order, and how well the fast recipe predicts that of the full schedule.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from cifar_arch.report.effects import interval
from cifar_arch.results import load_table
from cifar_arch.runfolder import atomic

PAGE = Path(__file__).parent.parent / "docs" / "findings.md"
# Choice -> its column in the table and the level that the others are compared with.
CHOICES = {
    "T1": ("t1", "strided"),
    "T2": ("t2", "strided"),
    "T3": ("t3", "strided"),
    "C2": ("c2", "plain"),
    "C3": ("c3", "dilated_residual"),
    "C4": ("c4", "plain_residual"),
    "depth": ("model.depth", "1"),
}

# What a network has before it is trained, by its column in the table.
SIZES = {
    "multiply-adds": "macs",
    "width": "width",
    "receptive field": "receptive_field",
    "parameters": "params",
}


Effects = dict[tuple[str, str], str]  # by choice and the level it changes to, as text


def main() -> None:
    table = networks()
    with atomic(PAGE) as temporary:
        temporary.write_text("\n".join(page(table)) + "\n", encoding="utf-8")
    print(f"{PAGE.relative_to(PAGE.parent.parent)}: {len(table)} trainings")


def networks() -> pd.DataFrame:
    """The table with one row for each network: its training with the fast recipe and seed 0."""
    table = load_table()
    return table[(table["seed"] == 0) & (table["epochs"] == table["epochs"].min())]


def both_schedules(table: pd.DataFrame) -> pd.DataFrame:
    """Networks that were also trained with the full schedule, `full`: the mean over its seeds."""
    every = load_table()
    full = every[every["epochs"] == every["epochs"].max()].groupby("architecture")["val_accuracy"].mean()
    return table.set_index("architecture").join(full.rename("full"), how="inner")


def page(table: pd.DataFrame) -> Iterator[str]:
    """The lines of the page."""
    yield "# What the table of trained networks says\n"
    yield (
        f"Written by `python -m benchmarks.findings` from [{len(table)} networks](../results/cifar10-table): "
        "every feasible one of `+search=table`,\nall with about 100,000 parameters, trained with "
        "`training=fast`. Accuracies are on 5,000 validation images.\nAn effect whose interval contains 0 "
        "has not been shown to exist."
    )
    yield from each_choice(table)
    yield from the_best(table)
    yield from with_several_seeds()
    yield from known_before(table)
    yield from of_the_full_schedule(both_schedules(table))


def each_choice(table: pd.DataFrame) -> Iterator[str]:
    """What each choice changes, by both estimates."""
    parts = {"all": table} | {f"T1 {kind}": table[table["t1"] == kind] for kind in ("strided", "dilated")}
    params = table["params"]
    (alone, _), (whole, _), (strided, left) = (
        explained(part, choices)
        for part, choices in ((table, ["T1"]), (table, [*CHOICES]), (parts["T1 strided"], [*CHOICES]))
    )
    yield "\n## Each choice, everything else equal\n"
    yield (
        "Differences in points of accuracy with 95 % intervals. Each network is as wide as 100,000 "
        f"parameters allow, and has {params.min():,} to {params.max():,}.\nThe coefficients of an additive "
        "model, fitted to all networks and to those with each kind of T1:\n"
    )
    yield from as_table(parts, additive)
    yield (
        f"\nT1 by itself explains {alone:.0%} of the variance (adjusted R²), all choices together "
        f"{whole:.0%}. A search has to choose among the {len(parts['T1 strided'])} networks\nwith T1 "
        f"strided. Among these, the choices explain {strided:.0%} and leave a standard deviation of "
        f"{left:.1f} points. That is more\nthan seeds cause, so the effects are not entirely additive.\n"
        "The mean differences over pairs of networks that differ in this choice alone, and the number of "
        "pairs:\n"
    )
    yield from as_table(parts, pairs)


def the_best(table: pd.DataFrame) -> Iterator[str]:
    """The five most accurate networks."""
    yield "\n## The best\n"
    yield "| accuracy | parameters | million multiply-adds | T1, T2, T3 | C2 | C3 | C4 | depth |"
    yield "|---:|---:|---:|---|---|---|---|---|"
    for _, best in table.sort_values("val_accuracy", ascending=False).head(5).iterrows():
        yield (
            f"| {best['val_accuracy']:.2%} | {best['params']:,} | {best['macs'] / 1e6:.1f} "
            f"| {best['t1']}, {best['t2']}, {best['t3']} | {best['c2']} | {best['c3']} | {best['c4']} "
            f"| {best['model.depth']} |"
        )


def with_several_seeds() -> Iterator[str]:
    """The networks that were trained with several seeds, by their means."""
    every = load_table()
    fast = every[every["epochs"] == every["epochs"].min()]
    several = fast[fast.groupby("architecture")["seed"].transform("nunique") > 1]
    found = several.groupby(["t1", "t2", "t3", "c2", "c3", "c4", "model.depth"])["val_accuracy"]
    means = found.agg(["mean", "std", "count"]).sort_values("mean", ascending=False)
    yield (
        f"\n{len(means)} networks were trained with {means['count'].min()} seeds each: those with T1 strided "
        "and separable residual blocks in C3 and C4.\nThe standard deviation over seeds is "
        f"{100 * float((means['std'] ** 2).mean()) ** 0.5:.2f} points (root of the mean variance), so one "
        "training of each\nis enough to tell apart networks that differ by a point:\n"
    )
    yield "| mean | standard deviation | T1, T2, T3 | C2 | depth |\n|---:|---:|---|---|---|"
    for (t1, t2, t3, c2, _, _, depth), row in means.iterrows():
        yield f"| {row['mean']:.2%} | {100 * row['std']:.2f} | {t1}, {t2}, {t3} | {c2} | {depth} |"


def known_before(table: pd.DataFrame) -> Iterator[str]:
    """What predicts the accuracy: sizes before training, and the epochs of it."""
    strided = table[table["t1"] == "strided"]
    yield "\n## What is known before training\n"
    yield "Spearman's correlation of the accuracy with what `check` prints:\n"
    yield "| | all | T1 strided |\n|---|---:|---:|"
    for name, column in SIZES.items():
        among = (part["val_accuracy"].corr(part[column], "spearman") for part in (table, strided))
        yield "| {} | {:.2f} | {:.2f} |".format(name, *among)
    yield "\n## How soon the order shows\n"
    yield (
        "Spearman's correlation of the accuracy after an epoch with that after the last. The two kinds of T1 "
        f"are so far apart\nthat T1 alone orders most of the networks. The {len(strided)} with T1 strided, "
        "among which a search has to choose, are harder to order:\n"
    )
    yield "| epoch | all | T1 strided |\n|---:|---:|---:|"
    for (epoch, value), (_, among_strided) in zip(
        order_by_epoch(table), order_by_epoch(strided), strict=True
    ):
        yield f"| {epoch} | {value:.2f} | {among_strided:.2f} |"


def of_the_full_schedule(both: pd.DataFrame) -> Iterator[str]:
    """How well the order of the fast recipe predicts that of the full schedule."""
    low, high = bootstrapped(both)
    fast, full = both["val_accuracy"], both["full"]
    yield "\n## How the fast recipe predicts the full schedule\n"
    yield (
        f"{len(both)} networks with T1 strided, drawn at random, were also trained with `training=standard` "
        f"(15 epochs), most with another seed.\nThey reach {full.mean():.1%} on average, "
        f"{fast.mean():.1%} with the fast recipe. Spearman's correlation of the two is\n"
        f"**{fast.corr(full, 'spearman'):.2f}** (95 % bootstrap interval {low:.2f} "
        f"to {high:.2f}). Of these {len(both)}, the network that is best under the\nfast recipe is "
        f"number {place_of_best(both)} under the full schedule. After each epoch of the fast recipe:\n"
    )
    yield "| epoch | correlation with the full schedule |\n|---:|---:|"
    for epoch in range(1, both["epochs"].max() + 1):
        yield f"| {epoch} | {both[f'val_accuracy_{epoch}'].corr(full, 'spearman'):.2f} |"


def bootstrapped(both: pd.DataFrame, draws: int = 2000) -> tuple[float, float]:
    """The 95 % interval of Spearman's correlation over networks drawn again."""
    seeds = np.random.default_rng(0).integers(2**32, size=draws)
    drawn = (both.sample(frac=1, replace=True, random_state=int(seed)) for seed in seeds)
    found = [again["val_accuracy"].corr(again["full"], "spearman") for again in drawn]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def place_of_best(both: pd.DataFrame) -> int:
    return int(both["full"].rank(ascending=False)[both["val_accuracy"].idxmax()])


def as_table(parts: dict[str, pd.DataFrame], estimate: Callable[[pd.DataFrame], Effects]) -> Iterator[str]:
    """The estimated effects within each part of the table, in points, as Markdown."""
    found = {name: estimate(part) for name, part in parts.items()}
    yield f"| choice | from | to | {' | '.join(found)} |\n|---|---|---|{'---:|' * len(found)}"
    for choice, level in dict.fromkeys(key for effects in found.values() for key in effects):
        shown = (effects.get((choice, level), "") for effects in found.values())
        yield f"| {choice} | `{CHOICES[choice][1]}` | `{level}` | {' | '.join(shown)} |"


def pairs(table: pd.DataFrame) -> Effects:
    """The mean difference over pairs of networks that differ in one choice alone, where there are three."""
    columns = [column for column, _ in CHOICES.values()]
    found = {}
    for choice, (column, baseline) in CHOICES.items():
        others = [name for name in columns if name != column]
        accuracy = table.pivot(index=others, columns=column, values="val_accuracy")
        for level in accuracy.columns.drop(baseline, errors="ignore") if baseline in accuracy else []:
            differences = (accuracy[level] - accuracy[baseline]).dropna()
            if len(differences) > 2:
                found[choice, level] = f"{in_points(*interval(differences))}, {len(differences)}"
    return found


def additive(table: pd.DataFrame) -> Effects:
    """The coefficients of the additive model."""
    levels, design = coded(table, [*CHOICES])
    accuracy = table["val_accuracy"].to_numpy(float)
    fitted, variance = least_squares(design, accuracy)
    free = len(table) - design.shape[1]
    half = stdtrit(free, 0.975) * np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    bounds = zip(fitted[1:], (fitted - half)[1:], (fitted + half)[1:], strict=True)
    return {level: in_points(*values) for level, values in zip(levels, bounds, strict=True)}


def explained(table: pd.DataFrame, choices: list[str]) -> tuple[float, float]:
    """Adjusted R² of an additive model of these choices, and the standard deviation left, in points."""
    accuracy = table["val_accuracy"].to_numpy(float)
    _, variance = least_squares(coded(table, choices)[1], accuracy)
    return 1 - variance / float(accuracy.var(ddof=1)), 100 * variance**0.5


def coded(table: pd.DataFrame, choices: list[str]) -> tuple[list[tuple[str, str]], np.ndarray]:
    """The levels that have a coefficient, and the design matrix: a constant, then a column for each."""
    levels = [
        (choice, level)
        for choice in choices
        for level in sorted(set(table[CHOICES[choice][0]]) - {CHOICES[choice][1]})
        if table[CHOICES[choice][0]].nunique() > 1
    ]
    columns = [(table[CHOICES[choice][0]] == level).to_numpy(float) for choice, level in levels]
    return levels, np.stack([np.ones(len(table)), *columns], axis=1)


def least_squares(design: np.ndarray, accuracy: np.ndarray) -> tuple[np.ndarray, float]:
    """The coefficients, and the variance that they leave."""
    free = len(accuracy) - design.shape[1]
    if free < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        raise SystemExit(
            f"findings: {len(accuracy)} trainings are too few for {design.shape[1]} coefficients"
        )
    fitted = np.linalg.lstsq(design, accuracy)[0]
    residual = accuracy - design @ fitted
    return fitted, float(residual @ residual) / free


def in_points(effect: float, low: float, high: float) -> str:
    return f"{100 * effect:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def order_by_epoch(table: pd.DataFrame) -> list[tuple[int, float]]:
    names = [f"val_accuracy_{epoch}" for epoch in range(1, table["epochs"].max() + 1)]
    return [
        (epoch, float(table[name].corr(table[names[-1]], method="spearman")))
        for epoch, name in enumerate(names[:-1], 1)
    ]


if __name__ == "__main__":
    main()
