import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT

from cifar_arch import drawing
from cifar_arch.compose import compose
from cifar_arch.experiment import Experiment
from cifar_arch.feasibility import Verdict, judge
from cifar_arch.limits import Limits


def verdict(*overrides: str) -> Verdict:
    experiment = Experiment.from_dict(compose(overrides))
    return judge(experiment.model, experiment.limits, repairs=False)


def test_parts_say_kind_shape_parameters_and_field() -> None:
    found = {p.name: p for p in drawing.parts(verdict("t2=dilated", "depth=[1,2,1,1]", "width=24"))}
    assert list(found) == ["c1", "t1", "c2", "t2", "c3", "t3", "c4", "o"]
    assert (found["c1"].kind, found["c2"].kind, found["t2"].kind) == (
        "plain",
        "plain\nresidual x2",
        "dilated",
    )
    assert (found["c1"].out_shape, found["c4"].out_shape, found["o"].out_shape) == (
        (24, 32, 32),
        (72, 4, 4),
        (10,),
    )
    assert found["c1"].receptive_field == 3


@pytest.mark.parametrize("overrides", [(), ("model.head=conv",), ("model=reference",), ("width=auto",)])
def test_the_parts_add_up_to_the_network(overrides: tuple[str, ...]) -> None:
    judged = verdict(*overrides)
    found = drawing.parts(judged)
    assert sum(part.params for part in found) == judged.analysis.params
    assert found[-1].receptive_field == found[-2].receptive_field == judged.analysis.receptive_field


def texts(axes: Any) -> str:
    return " ".join(text.get_text() for text in axes.texts)


def test_the_drawing_shows_them() -> None:
    judged = verdict("model=reference")
    figure = drawing.draw(judged, Limits(receptive_field_above=44))
    figure.draw_without_rendering()
    stages, growth, image = figure.axes
    for words in ("C1", "T3", "custom", "64 ch", "32x32", "58,272"):
        assert words in texts(stages)
    boxes: Any = stages.patches
    drawn = [(part.out_shape, box) for part, box in zip(drawing.parts(judged)[:-1], boxes, strict=False)]
    for axis, measure in ((0, "get_width"), (1, "get_height")):  # channels, side of the map
        sizes = sorted({(shape[axis], getattr(box, measure)()) for shape, box in drawn})
        assert all(a < c and b < d for (a, b), (c, d) in itertools.pairwise(sizes))
    (line,) = [line for line in growth.lines if line.get_drawstyle() == "steps-mid"]
    fields: Any = line.get_ydata()
    assert (fields[0], fields[-1]) == (1, 75)
    squares: Any = image.patches
    assert all(tuple(square.get_center()) == (0, 0) for square in squares)
    legend = image.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][-1] == "C4  75 px"
    assert any("limit: more than 44 px" in str(line.get_label()) for line in growth.lines)


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_network_gives_the_same_file(tmp_path: Path, kind: str) -> None:
    for name in ("a", "b"):
        drawing.save(verdict(), Limits(), str(tmp_path / f"{name}.{kind}"))
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_the_picture_in_readme_is_of_the_network_above_it(tmp_path: Path) -> None:
    overrides = ("c3=dilated", "t2=dilated", "width=24")
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    before, found, _ = readme.partition("](docs/network.svg)")
    assert found
    assert f"check {' '.join(overrides)}" in before
    limits = Experiment.from_dict(compose(list(overrides))).limits
    [drawn] = drawing.save(verdict(*overrides), limits, str(tmp_path / "drawn.svg"))
    words = [
        re.findall(r"<!-- (.*?) -->", file.read_text(encoding="utf-8"))
        for file in (drawn, CHECKOUT / "docs/network.svg")
    ]
    assert words[0] == words[1], "draw it again: check ... --plot docs/network.svg"


@pytest.mark.parametrize("depth", ["[1,3,3,2]", "[1,1,1,20]"])
def test_nothing_overlaps_the_edges_nor_a_name_another(depth: str) -> None:
    figure = drawing.draw(verdict(f"depth={depth}", "model.stem=1"), Limits())
    figure.draw_without_rendering()
    whole = figure.bbox
    for axes in figure.axes:
        for text in axes.texts:
            box = text.get_window_extent()
            assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, text.get_text()
    for axes in figure.axes[:2]:
        words = [text.get_window_extent() for text in axes.texts if text.get_text()]
        assert all(box.count_overlaps(words) == 1 for box in words)  # each with itself alone


def test_the_name_of_an_own_block_stays_in_its_box(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = verdict("model.stem=1")
    *parts, output = drawing.parts(judged)
    named = [part._replace(kind="squeezedbottleneck\nresidual x2") for part in parts]
    monkeypatch.setattr(drawing, "parts", lambda _: [*named, output])
    figure = drawing.draw(judged, Limits())
    figure.draw_without_rendering()
    stages = figure.axes[0]
    kinds = [text.get_window_extent() for text in stages.texts if text.get_text() == named[0].kind]
    boxes = [box.get_window_extent() for box in stages.patches[: len(named)]]
    assert all(b.x0 <= k.x0 <= k.x1 <= b.x1 for k, b in zip(kinds, boxes, strict=True))
