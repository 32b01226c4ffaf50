"""CUDA graphs without a GPU: what was captured is done again operation by operation, where its tensors lay in
memory, and with the numbers that Python had."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from cifar_arch import batches
from cifar_arch.device import Execution

Operation = tuple[Any, tuple[Any, ...], dict[str, Any], Any]
WAITS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)


class Stream:
    """One that does its work at once."""

    def wait_stream(self, other: "Stream") -> None: ...


class Graph:
    """Of a capture, which computes here, in place of the first replay."""

    def __init__(self) -> None:
        self.captured, self.replays = list[Operation](), 0

    @torch.no_grad()
    def replay(self) -> None:
        self.replays += 1
        for operation, given, options, results in self.captured if self.replays > 1 else []:
            alias = [place.alias_info for place in [*operation._schema.arguments, *operation._schema.returns]]
            writes = any(info is not None and info.is_write for info in alias)
            if writes or not any(alias):  # no view, whose numbers are those of what it is a view of
                new = operation(*given, **options)
                pairs = [] if writes else zip(tree_leaves(results), tree_leaves(new), strict=True)
                for kept, found in pairs:
                    if isinstance(kept, Tensor):
                        kept.copy_(found)


class _Capture(TorchDispatchMode):
    def __init__(self, into: list[Operation]):
        super().__init__()  # type: ignore[no-untyped-call]
        self.into = into

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in WAITS:
            raise RuntimeError(f"{func} would wait for the GPU")
        results = func(*args, **(kwargs or {}))
        # As they lie in memory now, wherever the same variables lie later.
        self.into.append(tree_map_only(Tensor, Tensor.detach, (func, args, kwargs or {}, results)))
        return results


def emulate(monkeypatch: pytest.MonkeyPatch) -> list[Stream | None]:
    """Has a CPU capture what is to be compiled; the streams of the captures that follow."""
    found: list[Stream | None] = []

    @contextlib.contextmanager
    def capture(graph: Graph, stream: Stream | None = None) -> Iterator[None]:
        found.append(stream)
        with _Capture(graph.captured):
            yield

    def where(chosen: Tensor, change: batches.Change, images: Tensor, parameters: Tensor) -> Tensor:
        return torch.where(chosen[:, None, None, None], change(images, parameters), images)

    ours = {"Stream": Stream, "current_stream": Stream, "CUDAGraph": Graph, "graph": capture}
    for name, ourselves in {**ours, "stream": contextlib.nullcontext}.items():
        monkeypatch.setattr(torch.cuda, name, ourselves)
    monkeypatch.setattr(Execution, "captured", property(lambda execution: execution.compiled))
    monkeypatch.setattr(batches, "_where", where)  # as it is for a GPU
    return found
