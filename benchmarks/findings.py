"""What the table of trained networks says, as docs/findings.md.

    python -m benchmarks.findings

Two estimates of each choice, in points of validation accuracy: the mean over pairs of networks that differ in
nothing else, and the coefficient of an additive model of all choices, which uses every network. Both with
95 % t intervals. How soon an epoch tells the final order, and the fast recipe that of the full schedule:
Spearman's rank correlation.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from cifar_arch.report.effects import paired_effects
from cifar_arch.results import load_table
from cifar_arch.runfolder import atomic

PAGE = Path(__file__).parent.parent / "docs" / "findings.md"
# Choice -> its column in the table and the level that the others are compared with.
CHOICES = {
    "T1": ("t1", "strided"),
    "T2": ("t2", "strided"),
    "T3": ("t3", "strided"),
    "C2": ("c2", "plain_residual"),
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
        "every feasible one of `+search=table`,\nall of about 100,000 parameters, trained with "
        "`training=fast`. Accuracies are of 5,000 validation images;\nan effect whose interval holds 0 is "
        "not shown to exist."
    )
    yield "\n## Each choice, everything else equal\n"
    effects, fit, left = additive(table)
    yield (
        f"A model in which the choices add up, {len(effects) + 1} coefficients fitted to {len(table)} "
        f"trainings, explains {fit:.0%} of the variance\n(adjusted R²) and leaves a standard deviation of "
        f"{left:.1f} points. Differences in points of accuracy, at equal parameters:\n"
    )
    yield from as_table(effects, "networks")
    pairs = paired(table)
    if len(pairs):
        yield "\nPairs of networks that differ in this choice alone, where there are three or more:\n"
        yield from as_table(pairs, "pairs")
    yield from the_best(table)
    yield from with_several_seeds()
    yield from known_before(table)
    yield from of_the_full_schedule(both_schedules(table))


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
        f"{100 * float((means['std'] ** 2).mean()) ** 0.5:.2f} points (root of the mean variance), so that a "
        "training of each tells apart\nwhat lies a point apart:\n"
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
        f"lie so far apart\nthat they alone order most of the networks; the {len(strided)} with T1 strided, "
        "among which a search has to choose, are harder to tell:\n"
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
        f"(15 epochs), most with another seed:\n{full.mean():.1%} on average, "
        f"{fast.mean():.1%} with the fast recipe. Spearman's correlation of the two is\n"
        f"**{fast.corr(full, 'spearman'):.2f}** (95 % bootstrap interval {low:.2f} "
        f"to {high:.2f}); the network that the fast recipe finds best\nis number {place_of_best(both)} under "
        "the full schedule. After each epoch of the fast recipe:\n"
    )
    yield "| epoch | correlation with the full schedule |\n|---:|---:|"
    for epoch in range(1, both["epochs"].max() + 1):
        yield f"| {epoch} | {both[f'val_accuracy_{epoch}'].corr(full, 'spearman'):.2f} |"


def bootstrapped(both: pd.DataFrame, draws: int = 2000) -> tuple[float, float]:
    """The 95 % interval of Spearman's correlation over networks drawn anew."""
    seeds = np.random.default_rng(0).integers(2**32, size=draws)
    drawn = (both.sample(frac=1, replace=True, random_state=int(seed)) for seed in seeds)
    found = [again["val_accuracy"].corr(again["full"], "spearman") for again in drawn]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def place_of_best(both: pd.DataFrame) -> int:
    return int(both["full"].rank(ascending=False)[both["val_accuracy"].idxmax()])


def as_table(effects: pd.DataFrame, counted: str) -> Iterator[str]:
    """The effects in points as Markdown; the column `counted` says how many there are."""
    yield f"| choice | from | to | difference | 95 % interval | {counted} |\n|---|---|---|---:|---:|---:|"
    for _, row in effects.iterrows():
        effect, low, high = (100 * row[name] for name in ("effect", "low", "high"))
        yield (
            f"| {row['factor']} | `{row['baseline']}` | `{row['level']}` | {effect:+.1f} "
            f"| {low:+.1f} to {high:+.1f} | {row[counted]} |"
        )


def additive(table: pd.DataFrame) -> tuple[pd.DataFrame, float, float]:
    """Ordinary least squares: the effect of each level, in the form of `paired_effects`; adjusted R²; the
    standard deviation that is left, in points.
    """
    rows, columns = [], [np.ones(len(table))]
    for choice, (column, baseline) in CHOICES.items():
        values = table[column].astype(str)
        for level in sorted(set(values) - {baseline}):
            here = (values == level).to_numpy()
            rows.append((choice, baseline, level, f"{(values == baseline).sum()} and {here.sum()}"))
            columns.append(here.astype(float))
    design, accuracy = np.stack(columns, axis=1), table["val_accuracy"].to_numpy(float)
    free = len(table) - np.linalg.matrix_rank(design)
    if free < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        raise SystemExit(f"findings: {len(table)} trainings are too few for {design.shape[1]} coefficients")
    fitted = np.linalg.lstsq(design, accuracy)[0]
    residual = accuracy - design @ fitted
    variance = float(residual @ residual) / free
    half = stdtrit(free, 0.975) * np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    found = pd.DataFrame(rows, columns=["factor", "baseline", "level", "networks"]).assign(
        effect=fitted[1:], low=(fitted - half)[1:], high=(fitted + half)[1:]
    )
    return found, 1 - variance / float(accuracy.var(ddof=1)), 100 * variance**0.5


def paired(table: pd.DataFrame) -> pd.DataFrame:
    """The report's paired effects with three or more pairs."""
    same = (table["t1"] == table["t2"]) & (table["t2"] == table["t3"])
    runs = table.assign(
        status="completed",
        accuracy=table["val_accuracy"],
        accuracy_of="validation",
        data=table["data.name"],
        downsample=table["t1"].where(same, "mixed"),
    )
    # A number that follows from the order of training, not a setting of the network.
    runs = runs.drop(columns=[name for name in runs if name.startswith("trial.")])
    effects = paired_effects(runs)
    # Only C2 is there with and without its sum, so that the row of c2 has the same pairs.
    return effects[(effects["pairs"] >= 3) & (effects["factor"] != "residual, at equal layers")]


def order_by_epoch(table: pd.DataFrame) -> list[tuple[int, float]]:
    names = [f"val_accuracy_{epoch}" for epoch in range(1, table["epochs"].max() + 1)]
    return [
        (epoch, float(table[name].corr(table[names[-1]], method="spearman")))
        for epoch, name in enumerate(names[:-1], 1)
    ]


if __name__ == "__main__":
    main()
