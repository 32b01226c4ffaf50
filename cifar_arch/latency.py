"""Plan -> ONNX graph, without torch; and the time of one image in it on this machine.

The weights are drawn: what they are does not change how long they take.
"""

import functools
import math
import statistics
import time
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from cifar_arch.layers import (
    IMAGE_CHANNELS,
    IMAGE_SIZE,
    Activation,
    Conv,
    Dropout,
    GlobalPool,
    Layer,
    Linear,
    Norm,
    Plan,
    Shuffle,
    SqueezeExcite,
    Sum,
    named,
)
from cifar_arch.schema import ConfigError, install

NOT_INSTALLED = f"needs onnx and onnxruntime, which are not installed; type {install('onnx')}"
WARM_UP, TIMED = 20, 200  # images
OPSET = 20  # the first with Gelu
EPSILON = 1e-5  # of batch norms, as torch has it


def measurable() -> bool:
    """Whether the packages are installed that a measurement needs."""
    return all(find_spec(name) for name in ("onnx", "onnxruntime"))


@functools.lru_cache(maxsize=10_000)
def latency_ms(plan: Plan) -> float:
    """The median time of one image in milliseconds, by onnxruntime with one thread of this machine's CPU.

    Raises ConfigError where onnx or onnxruntime is not installed.
    """
    if not measurable():
        raise ConfigError(f"latency: {NOT_INSTALLED}")
    image = np.zeros((1, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE), np.float32)
    return one_image_ms(session(graph(plan).SerializeToString(), threads=1), image)


def session(model: bytes, threads: int = 0) -> Any:
    """An ONNX model, ready to run on this machine's CPU; `threads`: 0 for as many as onnxruntime likes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def one_image_ms(ready: Any, images: np.ndarray) -> float:
    """The median time of a session for one image in milliseconds; `images` (N, 3, 32, 32) take turns."""
    name, seconds = ready.get_inputs()[0].name, []
    for turn in range(WARM_UP + TIMED):
        one = images[turn % len(images)][None]
        start = time.perf_counter()
        ready.run(None, {name: one})
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[WARM_UP:])


def graph(plan: Plan, weights: Mapping[str, np.ndarray] | None = None) -> Any:
    """An ONNX model: normalised images (N, 3, 32, 32) -> (N, 10).

    `weights`: those of `network.build(plan).state_dict()` as arrays; None: drawn.
    """
    from onnx import TensorProto, helper, numpy_helper

    writer = _Writer(weights)
    last = "images"
    for section in plan:
        last = writer.chain(section.layers, section.name.replace(".", "_"), last)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in (("images", (IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)), (last, (None,)))
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in writer.tensors.items()]
    nodes = [helper.make_node(kind, inputs, [name], **fields) for kind, inputs, name, fields in writer.nodes]
    made = helper.make_graph(nodes, "plan", ends[:1], ends[1:], tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


class _Writer:
    """Nodes and tensors of a graph, layer by layer; names are those of torch's modules."""

    def __init__(self, weights: Mapping[str, np.ndarray] | None):
        self.given = weights
        self.generator = np.random.default_rng(0)
        self.nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self.tensors: dict[str, np.ndarray] = {}

    def chain(self, layers: Iterable[Layer], place: str, given: str) -> str:
        """Writes layers that read `given`; the name of what they make."""
        for name, layer in named(layers):
            given = self._layer(layer, f"{place}.{name}", given)
        return given

    def _layer(self, layer: Layer, name: str, given: str) -> str:
        match layer:
            case Conv():
                return self._conv(layer, name, given)
            case Norm():
                ones = ("weight", "bias", "running_mean", "running_var")
                inputs = [self._tensor(f"{name}.{part}", (layer.channels,)) for part in ones]
                return self._node("BatchNormalization", [given, *inputs], name, epsilon=EPSILON)
            case Activation():
                return self._activation(layer, name, given)
            case Dropout():
                return given
            case Shuffle():
                return self._shuffle(layer, name, given)
            case SqueezeExcite():
                return self._squeeze_excite(layer, name, given)
            case Sum():
                return self._node("Add", [given, self.chain(layer.body, f"{name}.body", given)], name)
            case GlobalPool():
                return self._node("Flatten", [self._node("GlobalAveragePool", [given], f"{name}.mean")], name)
            case Linear():
                shape = (layer.out_features, layer.in_features)
                inputs = [self._tensor(f"{name}.weight", shape), self._tensor(f"{name}.bias", shape[:1])]
                return self._node("Gemm", [given, *inputs], name, transB=1)
        raise TypeError(f"no ONNX node for {layer!r}")

    def _conv(self, conv: Conv, name: str, given: str) -> str:
        shape = (conv.out_channels, conv.in_channels // conv.groups, conv.kernel, conv.kernel)
        inputs = [given, self._tensor(f"{name}.weight", shape)]
        if conv.bias:
            inputs.append(self._tensor(f"{name}.bias", shape[:1]))
        return self._node(
            "Conv",
            inputs,
            name,
            kernel_shape=[conv.kernel] * 2,
            strides=[conv.stride] * 2,
            pads=[conv.padding] * 4,
            dilations=[conv.dilation] * 2,
            group=conv.groups,
        )

    def _activation(self, layer: Activation, name: str, given: str) -> str:
        match layer.function:
            case "relu":
                return self._node("Relu", [given], name)
            case "leaky_relu":
                return self._node("LeakyRelu", [given], name, alpha=0.01)
            case "silu":
                return self._node("Mul", [given, self._node("Sigmoid", [given], f"{name}.sigmoid")], name)
            case "gelu":
                return self._node("Gelu", [given], name)
            case "hardswish":
                return self._node("HardSwish", [given], name)

    def _shuffle(self, layer: Shuffle, name: str, given: str) -> str:
        self.tensors[f"{name}.apart"] = np.array(
            [0, layer.groups, layer.channels // layer.groups, -1], np.int64
        )
        size = self._node("Shape", [given], f"{name}.shape")
        apart = self._node("Reshape", [given, f"{name}.apart"], f"{name}.split")
        turned = self._node("Transpose", [apart], f"{name}.turned", perm=[0, 2, 1, 3])
        return self._node("Reshape", [turned, size], name)

    def _squeeze_excite(self, layer: SqueezeExcite, name: str, given: str) -> str:
        """Modules 1 and 3 of the gate are its convolutions."""
        narrow = Conv(in_channels=layer.channels, out_channels=layer.squeezed, kernel=1, bias=True)
        wide = Conv(in_channels=layer.squeezed, out_channels=layer.channels, kernel=1, bias=True)
        means = self._node("GlobalAveragePool", [given], f"{name}.gate.0")
        hidden = self._node("Relu", [self._conv(narrow, f"{name}.gate.1", means)], f"{name}.gate.2")
        factors = self._node("Sigmoid", [self._conv(wide, f"{name}.gate.3", hidden)], f"{name}.gate.4")
        return self._node("Mul", [given, factors], name)

    def _node(self, kind: str, inputs: list[str], name: str, **fields: Any) -> str:
        self.nodes.append((kind, inputs, name, fields))
        return name

    def _tensor(self, name: str, shape: tuple[int, ...]) -> str:
        if self.given is None:
            scale = 1 / math.prod(shape[1:])
            drawn = scale * self.generator.random(shape)  # positive, as a variance has to be
            self.tensors[name] = drawn.astype(np.float32)
        else:
            self.tensors[name] = self.given[name]
        return name
