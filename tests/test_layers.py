"""A layer that a reader of plans does not know is an error, and passed over by none."""

from collections.abc import Callable
from typing import Any

import pytest

from cifar_arch.analysis import analyse
from cifar_arch.latency import graph
from cifar_arch.layers import Layer, Section
from cifar_arch.network import build


class Fold(Layer, frozen=True, kw_only=True):
    """A layer that somebody added, and forgot to have read."""


READERS: dict[str, Callable[[Any], object]] = {"analysis": analyse, "torch module": build}


@pytest.mark.parametrize("what", [*READERS, pytest.param("ONNX node", marks=pytest.mark.extra)])
def test_a_layer_that_a_reader_does_not_know_is_named(what: str) -> None:
    if what == "ONNX node":
        pytest.importorskip("onnx")
    read: Callable[[Any], object] = READERS.get(what, graph)
    with pytest.raises(TypeError, match=rf"^no {what} for Fold\(\)$"):
        read((Section(name="c1", layers=(Fold(),)),))
