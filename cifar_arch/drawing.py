"""An analysed architecture -> a drawing for a slide. No torch."""

import itertools
import math
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.ticker import MaxNLocator

from cifar_arch.analysis import Row
from cifar_arch.feasibility import Verdict
from cifar_arch.layers import IMAGE_SIZE
from cifar_arch.limits import Limits
from cifar_arch.outputs import typed_path
from cifar_arch.runfolder import atomic
from cifar_arch.schema import ConfigError

STAGE, TRANSITION, OUTPUT = "#3b7dc4", "#b45f06", "#6b7280"
SUFFIXES = (".svg", ".png")


class Part(NamedTuple):
    """A stage, a transition or the output, as it is drawn."""

    name: str
    kind: str  # plain_residual x2, dilated, ...
    out_shape: tuple[int, ...]  # (C, H, W) or (C,)
    params: int
    receptive_field: int  # pixels, after it


def draw(verdict: Verdict, limits: Limits) -> Figure:
    """Stages with kinds, widths and map sizes above, the growth of the receptive field below."""
    found = parts(verdict)
    figure = Figure(figsize=(12, 6.75), layout="constrained")
    rows: Any = figure.subfigures(2, 1, height_ratios=(1.05, 1))
    above, below = rows
    a = verdict.analysis
    figure.suptitle(
        f"{a.params:,} parameters, {a.macs / 1e6:.2f} million multiply-adds, "
        f"receptive field {a.receptive_field} px",
        fontsize=15,
    )
    _draw_stages(above.subplots(), found)
    field, image = below.subplots(1, 2, width_ratios=(2.6, 1))
    _draw_growth(field, verdict, limits)
    _draw_image(image, found)
    return figure


def parts(verdict: Verdict) -> list[Part]:
    """The parts of the network in the order of computation."""
    spec = verdict.architecture.to_dict()
    groups = itertools.groupby(verdict.analysis.layers, lambda row: row.name.partition(".")[0])
    spec["stem"] = {"kind": "stem"}
    found = [_part(name, list(rows), spec.get(name)) for name, rows in groups]
    before_pooling = found[-1]._replace(receptive_field=verdict.analysis.receptive_field)
    return [*found[:-1], before_pooling]


def _part(name: str, rows: list[Row], variant: dict[str, object] | None) -> Part:
    params = sum(row.params for row in rows)
    if variant is None:
        kind = "pool\nlinear" if any(row.kind == "linear" for row in rows) else "pool"
    else:
        forms = [form for form in ("residual", "separable") if variant.get(form)]
        kind = "\n".join([str(variant["kind"]), *forms])
        repeats = len({row.name.split(".")[1] for row in rows}) if name.startswith("c") else 1
        kind += f" x{repeats}" if repeats > 1 else ""
    return Part(name, kind, rows[-1].out_shape, params, rows[-1].receptive_field)


def _draw_stages(axes: Axes, found: list[Part]) -> None:
    """A box for each part: as high as its map, as wide as it has channels."""
    widest = max(part.out_shape[0] for part in found)
    x = 0.0
    tallest = 1.0
    for place, part in enumerate(found):
        side = part.out_shape[1] if len(part.out_shape) == 3 else 1
        height = 0.25 + 0.75 * (side / IMAGE_SIZE) ** 0.5
        width = 0.75 + 0.75 * part.out_shape[0] / widest
        colour = OUTPUT if part.name == "o" else TRANSITION if part.name.startswith("t") else STAGE
        style = "round,pad=0,rounding_size=0.04"
        box = FancyBboxPatch((x, -height / 2), width, height, boxstyle=style, color=colour, linewidth=0)
        axes.add_patch(box)
        middle = x + width / 2
        longest = max(map(len, part.kind.split("\n")))  # of an own block, its class's name
        points = min(9, 94 / longest)  # as many points of letters as the narrowest box holds
        axes.text(
            middle, 0, part.kind, ha="center", va="center", color="white", fontsize=points, fontweight="bold"
        )
        axes.text(middle, tallest / 2 + 0.06, part.name.upper(), ha="center", fontsize=13, fontweight="bold")
        shape = "x".join(map(str, part.out_shape[1:]))
        size = f"{part.out_shape[0]} ch\n{shape}" if shape else f"{part.out_shape[0]}\nclasses"
        axes.text(middle, -tallest / 2 - 0.06, size, ha="center", va="top", fontsize=10)
        axes.text(
            middle, -tallest / 2 - 0.42, f"{part.params:,}", ha="center", va="top", fontsize=8, color="grey"
        )
        if place < len(found) - 1:
            arrow = {"arrowstyle": "-|>", "color": "grey"}
            axes.annotate("", (x + width + 0.22, 0), (x + width + 0.02, 0), arrowprops=arrow)
        x += width + 0.25
    axes.text(x - 0.2, -tallest / 2 - 0.42, "parameters", ha="left", va="top", fontsize=8, color="grey")
    axes.set(xlim=(-0.1, x + 0.7), ylim=(-1.1, 0.75))
    axes.axis("off")


def _draw_growth(axes: Axes, verdict: Verdict, limits: Limits) -> None:
    """Steps of the receptive field over the convolutions, with the parts marked."""
    convs = [row for row in verdict.analysis.layers if row.kind == "conv"]
    fields = [1, *(row.receptive_field for row in convs)]
    axes.step(range(len(fields)), fields, where="mid", color=STAGE, linewidth=2.2)
    axes.plot(range(len(fields)), fields, "o", color=STAGE, markersize=4)
    names = [row.name.partition(".")[0] for row in convs]
    taken = -math.inf  # by names, up to this convolution
    for name, places in itertools.groupby(range(1, len(fields)), lambda place: names[place - 1]):
        span = list(places)
        if name.startswith("t"):
            axes.axvspan(span[0] - 0.5, span[-1] + 0.5, color=TRANSITION, alpha=0.15, linewidth=0)
        middle, half = (span[0] + span[-1]) / 2, 0.0075 * len(fields) * len(name)
        if middle - half >= taken:  # else it would stand on the name before it
            taken = middle + half
            axes.text(
                middle, 1.01, name.upper(), ha="center", va="bottom", transform=axes.get_xaxis_transform()
            )
    axes.axhline(IMAGE_SIZE, color=OUTPUT, linestyle=":", label=f"the image, {IMAGE_SIZE} px")
    if limits.receptive_field_above is not None:
        above = limits.receptive_field_above
        axes.axhline(
            above, color="#b3261e", linestyle="--", linewidth=1, label=f"limit: more than {above} px"
        )
    axes.set(xlabel="convolution", ylabel="receptive field (px)", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    axes.legend(loc="upper left", fontsize=9)
    axes.grid(alpha=0.25)


def _draw_image(axes: Axes, found: list[Part]) -> None:
    """The image, and what one unit in the middle of each part's map sees of it."""
    edge = -IMAGE_SIZE / 2
    axes.add_patch(Rectangle((edge, edge), IMAGE_SIZE, IMAGE_SIZE, facecolor="#e5e7eb", edgecolor=OUTPUT))
    shades = matplotlib.colormaps["viridis"]
    seen = [part for part in found if part.name != "o"]
    for place, part in enumerate(seen):
        half, colour = part.receptive_field / 2, shades(place / len(seen))
        square = Rectangle((-half, -half), 2 * half, 2 * half, fill=False, edgecolor=colour, linewidth=1.8)
        square.set_label(f"{part.name.upper()}  {part.receptive_field} px")
        axes.add_patch(square)
    reach = max(IMAGE_SIZE, *(part.receptive_field for part in seen)) / 2 + 2
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set_title(f"seen of the {IMAGE_SIZE}x{IMAGE_SIZE} image (grey)", fontsize=10)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9, frameon=False)
    axes.axis("off")


def files(text: str) -> list[Path]:
    """The files that `--plot` asks for: FILE.svg, FILE.png, or both. Raises ConfigError for others."""
    path = typed_path(text)
    if path.is_dir() or not path.name:
        raise ConfigError(f"--plot: expected a file, got the folder {text!r}")
    if not path.suffix:
        return [path.with_suffix(suffix) for suffix in SUFFIXES]
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--plot: choose {' or '.join(SUFFIXES)}, or no ending for both, got {text!r}")
    return [path]


def save(verdict: Verdict, limits: Limits, text: str) -> list[Path]:
    """Draws into the files that `text` names and returns them. Raises ConfigError for other endings."""
    wanted = files(text)
    figure = draw(verdict, limits)
    for path in wanted:
        kind = path.suffix.lower().lstrip(".")
        dated = {"Date": None} if kind == "svg" else {}  # the same network gives the same file
        try:
            with atomic(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "cifar_arch"}):
                figure.savefig(temporary, format=kind, dpi=150, metadata=dated)
        except OSError as error:
            raise ConfigError(f"--plot: {str(path)!r} cannot be written ({error.strerror})") from error
    return wanted
