"""python -m cifar_arch.check [overrides] [--json] [--plot FILE]: analysis and verdict, without torch."""

import argparse
import json
import re
import sys
from collections.abc import Collection
from shlex import quote

from cifar_arch.analysis import Analysis, Row, table_rows
from cifar_arch.compose import compose
from cifar_arch.config import Experiment
from cifar_arch.feasibility import Verdict, judge
from cifar_arch.idle_choices import refuse_idle_rate, refuse_search
from cifar_arch.limits import Limits
from cifar_arch.overrides import aliases, config_groups, typed_key
from cifar_arch.plugins import refuse_plugin_option
from cifar_arch.schema import ConfigError
from cifar_arch.terminal import exit_on_errors, table


def main() -> None:
    """Exits with 0 within the limits, 1 outside, 2 for an invalid config."""
    parser = argparse.ArgumentParser(prog="python -m cifar_arch.check", description=__doc__)
    parser.add_argument("overrides", nargs="*", help="as for run: width=24 c3=dilated limits=eva6_hard")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="preview the space of a sweep: -m +search=blocks"
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the network too: FILE.svg, FILE.png, or FILE for both"
    )
    parser.add_argument("--config-dir", help="a folder whose configs precede the tool's own")
    with exit_on_errors():
        refuse_plugin_option(sys.argv[1:])
        arguments = parser.parse_intermixed_args()
        if arguments.multirun:
            if arguments.json or arguments.plot:
                raise ConfigError("--json and --plot take one network, got -m as well; leave one of them out")
            from cifar_arch.device import limit_spinning
            from cifar_arch.search.preview import preview

            limit_spinning()
            print(preview(arguments.overrides, arguments.config_dir))
            return
        refuse_search(arguments.overrides)
        config = compose(arguments.overrides, arguments.config_dir)
        if arguments.plot:
            _require_file(arguments.plot, [*config, *aliases(), *config_groups()])
        experiment = Experiment.from_dict(config)
        refuse_idle_rate(arguments.overrides, experiment.training.optimizer)
        verdict = judge(experiment.model, experiment.limits, experiment.augment.active())
        drawn = _plot(verdict, experiment.limits, arguments.plot) if arguments.plot else []
        shown = text(verdict, unchecked=experiment.limits.checks_nothing())
        print(json.dumps(verdict.to_dict(), indent=2) if arguments.json else shown)
        if drawn and not arguments.json:
            print(f"\ndrawn: {', '.join(drawn)}")
    sys.exit(0 if verdict.ok else 1)


def _require_file(file: str, keys: Collection[str]) -> None:
    """Raises ConfigError for an override where the file of the drawing is expected."""
    key = typed_key(file)
    if "=" in file and re.split("[.@]", key)[0] in keys:
        raise ConfigError(f"--plot: names a file, got the override {file}; type --plot network {quote(file)}")


def _plot(verdict: Verdict, limits: Limits, file: str) -> list[str]:
    """The files that the drawing was written to."""
    from cifar_arch.drawing import save

    return [str(path) for path in save(verdict, limits, file)]


def text(verdict: Verdict, *, unchecked: bool = False) -> str:
    """The layer table, the totals and the verdict, for a terminal; `unchecked` where no limit is set."""
    a, width = verdict.analysis, verdict.architecture.width
    lines = [layer_table(a), "", totals(a) + (f"; width {width}" if width else ""), ""]
    if verdict.latency_ms is not None:
        lines.insert(-1, f"one image takes {verdict.latency_ms:.3f} ms on one thread of this machine's CPU")
    lines += [f"outside its limits: {violation.message}" for violation in verdict.violations]
    within = "nothing was checked: no limit is set" if unchecked else "within its limits"
    return "\n".join([*lines, within] if verdict.ok else lines)


def totals(a: Analysis) -> str:
    return (
        f"{a.params:,} parameters, {a.macs / 1e6:.2f} million multiply-adds, "
        f"receptive field {a.receptive_field} px ({a.receptive_field_with_pooling} px with pooling)\n"
        f"layers: {a.separable} depthwise-separable, {a.dilated} dilated, {a.downsamplers} downsampling"
    )


def layer_table(a: Analysis) -> str:
    """A line for each layer that computes or moves something; a norm's parameters join the line above."""
    rows: list[tuple[str, ...]] = [("layer", "output", "kernel", "params", "MACs", "field", "jump")]
    rows += [_cells(row, params) for row, params in table_rows(a.layers)]
    return table(rows, left=range(3))


def _cells(row: Row, params: int) -> tuple[str, ...]:
    kernel = ""
    if row.kind == "conv":
        kernel = f"{row.kernel}x{row.kernel}"
        kernel += f" stride {row.stride}" if row.stride != 1 else ""
        kernel += f" dilation {row.dilation}" if row.dilation != 1 else ""
        if row.groups != 1:
            kernel += " depthwise" if row.groups == row.in_shape[0] else f" groups {row.groups}"
    return (
        row.name,
        "x".join(map(str, row.out_shape)),
        kernel,
        f"{params:,}" if params else "",
        f"{row.macs:,}" if row.macs else "",
        str(row.receptive_field),
        str(row.jump),
    )


if __name__ == "__main__":
    main()
