"""What a sweep would choose among: points, the feasible share, which rules bind, and how long it takes."""

import random
import statistics
from collections import Counter
from collections.abc import Sequence

from hydra import compose as hydra_compose
from omegaconf import DictConfig, OmegaConf

from cifar_arch.compose import as_config_errors, composing, plain
from cifar_arch.config import Experiment
from cifar_arch.feasibility import judge
from cifar_arch.hydra_mistakes import no_plugin
from cifar_arch.overrides import at_home, expanded, read_override
from cifar_arch.plugins import load_plugins_of
from cifar_arch.schema import ConfigError
from cifar_arch.search.algorithms import working_pruner
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.composer import Composer, read_space, require_text
from cifar_arch.search.options import (
    Options,
    bounds_of,
    each_experiment,
    refuse_hydra_settings,
    target_accuracy,
)
from cifar_arch.search.space import Point, Space
from cifar_arch.search.speed import training_speed
from cifar_arch.search.storage import quiet_optuna, sqlite_file
from cifar_arch.terminal import counted, duration

SAMPLE = 2000  # points looked at in a space that is larger
MEASURED = 200  # the same where each has its latency measured, which takes a tenth of a second
PER_TRIAL = 1.5  # seconds beside training: asking, making the plots


def preview(arguments: Sequence[str], config_dir: str | None = None) -> str:
    """The text of `check -m`. Raises ConfigError where the space or its configs cannot be read."""
    arguments = at_home(arguments)
    quiet_optuna()

    def load(chosen: list[str]) -> DictConfig:
        with as_config_errors([*arguments, *chosen]):
            return hydra_compose("config", chosen, return_hydra_config=True)

    with composing(config_dir), as_config_errors(arguments):
        typed = [expanded(argument) for argument in arguments]
        base = load([text for text in typed if not read_override(text).is_sweep_override()])
        load_plugins_of(base)
        _require_plugins(base.hydra)
        bounds_of(base.hydra.sweeper)
        space, fixed = read_space(base.hydra.sweeper.params, typed)
        refuse_hydra_settings(OmegaConf.to_container(base.hydra, resolve=False), space)
        composer, options = Composer(load, fixed, space), Options.from_dict(plain(base))
        experiments = each_experiment(composer, options.objectives)
        target_accuracy(experiments[0], options.prefer)
        require_text(options.study or "named")
        sqlite_file(options.storage)  # is the address of any database?
        working_pruner(base.hydra.sweeper.sampler, base.hydra.sweeper.pruner)
        measured = any(experiment.limits.latency_ms_below is not None for experiment in experiments)
        most = MEASURED if measured else SAMPLE
        looked_at = [(p, composer.assess(p)) for p in space.some(most, random.Random(0))]
        return _text(space, looked_at, composer)


def _require_plugins(hydra: DictConfig) -> None:
    """Raises ConfigError where Hydra has nothing to sweep with."""
    for kind in ("launcher", "sweeper"):
        if not isinstance(hydra[kind], DictConfig):
            raise ConfigError(no_plugin(kind))


def _text(space: Space, looked_at: Sequence[tuple[Point, Candidate]], composer: Composer) -> str:
    config = composer.config_at(looked_at[0][0])  # not the base: what is swept may make it no experiment
    size, count = space.size(), len(looked_at)
    feasible = [c for _, c in looked_at if not c.violations]
    share, different = len(feasible) / count, len({c.key for c in feasible})
    points = "endless, for it holds an interval" if size is None else f"{size:,}"
    sample = "" if size == count else f" ({count:,} drawn at random)"
    lines = [f"{'points':15}  {points}", f"{'feasible':15}  {share:.1%} of {count:,}{sample}"]
    if Experiment.from_dict(config).limits.checks_nothing():
        lines.append("nothing is checked: no limit is set")
    if feasible:
        for name in ("params", "receptive_field"):
            values = [c.totals[name] for c in feasible]
            least, most = f"{min(values):,}", f"{max(values):,}"
            lines.append(f"{name:15}  {least}" + (f" to {most}" if most != least else ""))
    rules = Counter(v.rule for _, c in looked_at for v in c.violations)
    lines += [f"rule {rule} is broken by {n / count:.1%}" for rule, n in rules.most_common()]
    if not feasible:
        lines.append("nothing to train: widen the space or the limits")
    elif trials := _trials(config["n_trials"], different if size == count else size and round(size * share)):
        macs = statistics.mean(c.totals["macs"] for c in feasible)
        typical_first = sorted(
            (pair for pair in looked_at if not pair[1].violations),
            key=lambda pair: abs(pair[1].totals["macs"] - macs),
        )
        configs = (composer.config_at(point) for point, _ in typical_first)
        lines.append(_estimate(trials, [Experiment.from_dict(c) for c in configs]))
    else:
        lines.append("give n_trials to see how long it takes")
    return "\n".join(lines)


def _trials(wanted: int | None, feasible: int | None) -> int | None:
    """How many trials there will be: those `wanted`, or the `feasible` points if fewer; None: unknown."""
    return min((number for number in (wanted, feasible) if number), default=None)


def _estimate(trials: int, experiments: Sequence[Experiment]) -> str:
    """How long the trials take: at the speed of the first experiment, for the images of a mean one."""
    typical, epochs = experiments[0], [e.training.epochs for e in experiments]
    images = statistics.mean(e.training.epochs * e.data.epoch_work for e in experiments)
    plan = judge(typical.model, typical.limits, repairs=False).plan
    speed, busy = training_speed(plan, typical.training)
    each = counted(max(epochs), "epoch", min(epochs))
    return (
        f"about {duration(trials * (images / speed + PER_TRIAL))} for {counted(trials, 'trial')} of {each}"
        f" without pruning,\nat {speed:,.0f} images a second, measured here with a network of average size"
        + (", beside other programs: a quiet machine is faster" if busy else "")
    )
