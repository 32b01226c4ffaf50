"""What a GPU is to do, captured once and then launched as a whole.

A step of a tiny network is hundreds of kernels of a few microseconds each: to launch them one by one takes
several times longer than to compute them (LOG.md, 2026-11-27).
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]

WARM_UP = 3  # calls that run as they are, for libraries choose and allocate in the first ones


class CapturedGraph:
    """A function of tensors, called as it is a few times, then captured, and replayed from then on.

    Its inputs keep their shapes and dtypes; what it returns is overwritten by the next call. Everything else
    that it reads and writes must keep its address. It must not synchronise with the GPU, and its side effects
    in Python happen only until the capture.

    It is captured on a stream of its own: cuBLAS has scratch memory for each stream, which graphs that are
    replayed at once must not share.
    """

    def __init__(self, work: Callable[..., Any]):
        self.work, self.calls = work, 0
        self.graph: torch.cuda.CUDAGraph | None = None

    @functools.cached_property
    def stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, *inputs: Tensor) -> Any:
        if self.graph is None and self.calls < WARM_UP:
            self.calls += 1
            return self._aside(inputs)
        if self.graph is None:
            self._capture(inputs)
        for kept, given in zip(self.inputs, inputs, strict=True):
            kept.copy_(given)
        assert self.graph is not None
        self.graph.replay()
        return self.outputs

    def _aside(self, inputs: tuple[Tensor, ...]) -> Any:
        """On that stream, as torch wants it before a capture."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            outputs = self.work(*inputs)
        current.wait_stream(self.stream)
        return outputs

    def _capture(self, inputs: tuple[Tensor, ...]) -> None:
        """Nothing is computed by it."""
        self.inputs = [given.clone() for given in inputs]
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.outputs = self.work(*self.inputs)


class Prefetch:
    """A function of a tensor that makes two, captured, and replayed before the caller asks for them.

    On a stream of its own, where it takes the units that the caller's kernels leave idle.
    """

    def __init__(self, make: Callable[[Tensor], Pair]):
        self.make, self.stream = CapturedGraph(make), torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, inputs: Iterable[Tensor]) -> Iterator[Pair]:
        """What is made of each input, one ahead; not overwritten by the next."""
        made: Pair | None = None
        for given in inputs:
            ready = self._taken(made) if made else None
            made = self._launched(given)
            if ready:
                yield ready
        if made:
            yield self._taken(made)

    def _launched(self, given: Tensor) -> Pair:
        """After all that the caller's stream was given so far: no pair is overwritten before it is taken."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            made: Pair = self.make(given)
        return made

    def _taken(self, made: Pair) -> Pair:
        torch.cuda.current_stream().wait_stream(self.stream)
        return made[0].clone(), made[1].clone()
