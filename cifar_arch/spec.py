"""What the user writes about a network, checked, and expanded into its plan."""

import functools
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cifar_arch.blocks import BLOCKS, Block, Custom, described, norm_act, require_layers, require_multiples
from cifar_arch.downsample import DOWNSAMPLERS, Downsampler
from cifar_arch.layers import (
    IMAGE_CHANNELS,
    IMAGE_SIZE,
    NUM_CLASSES,
    Activation,
    ActivationName,
    Conv,
    Dropout,
    GlobalPool,
    Layer,
    Linear,
    Norm,
    Plan,
    Section,
    Shuffle,
    SqueezeExcite,
    Sum,
    content_key,
)
from cifar_arch.schema import ConfigError, Strict, checked, variant

STAGES = ("c1", "c2", "c3", "c4")
TRANSITIONS = ("t1", "t2", "t3")  # between two of them

WIDEST = 4096  # channels; no search for a width goes beyond
Width = Annotated[int, Meta(ge=1, le=WIDEST)]
DEEPEST = 32  # blocks in a stage
Depth = Annotated[int, Meta(ge=1, le=DEEPEST)]
Multiplier = Annotated[float, Meta(gt=0, le=64)]
# A fixed-length tuple would say it better, but msgspec 0.22 crashes on int | tuple[int, int, int, int].
FourDepths = Annotated[tuple[Depth, ...], Meta(min_length=4, max_length=4)]
# linear: pool, then a fully connected layer; conv: 1x1 onto the classes, then pool;
# none: pool alone, for a C4 that ends in the classes
Head = Literal["linear", "conv", "none"]

if TYPE_CHECKING:
    AnyBlock = Block
    AnyDownsampler = Downsampler | Block
else:  # one of a table that may grow, looked up when an architecture is made
    AnyBlock = AnyDownsampler = Any
_VARIANTS = (Block, Downsampler)
# The kinds by name that each of these may be of.
KINDS: dict[str, dict[str, Any]] = dict.fromkeys(STAGES, BLOCKS) | dict.fromkeys(TRANSITIONS, DOWNSAMPLERS)
_NOT_WRITTEN_OUT = (  # fields that a network of custom blocks alone has to leave: field, value, how to say it
    ("width", None, "null"),
    ("stem", None, "null"),
    ("depth", 1, "out"),
    ("multipliers", (1.0,) * 4, "out"),
)


class Architecture(Strict, frozen=True, kw_only=True):
    """Stages C1 to C4 with a transition T1 to T3 between two of them, then the output O.

    Stage n has `width * multipliers[n]` channels, rounded, and repeats its block `depth[n]` times.
    A custom block has channels of its own and ignores both. A `stem` is a convolution before C1, with
    norm and activation, that brings the image to the channels of C1.
    """

    c1: AnyBlock
    c2: AnyBlock
    c3: AnyBlock
    c4: AnyBlock
    t1: AnyDownsampler
    t2: AnyDownsampler
    t3: AnyDownsampler
    width: Width | Literal["auto"] | None = None  # channels of C1
    multipliers: tuple[Multiplier, Multiplier, Multiplier, Multiplier] = (1.0, 1.0, 1.0, 1.0)
    depth: Depth | FourDepths = 1
    activation: ActivationName = "relu"
    stem: Literal[1, 3] | None = None  # its kernel
    head: Head = "linear"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Architecture":
        """The architecture in plain `data`. Raises ConfigError, which names the wrong field."""
        return checked(cls, data, "model")

    def __post_init__(self) -> None:
        for name, table in KINDS.items():
            given = getattr(self, name)
            if not isinstance(given, _VARIANTS):
                msgspec.structs.force_setattr(self, name, variant(table, given, f"model.{name}"))
        written_out = all(isinstance(each, Custom) for each in self.variants())
        for name, usual, advice in _NOT_WRITTEN_OUT if written_out else ():
            if (given := getattr(self, name)) != usual:
                numbers = isinstance(given, tuple)
                shown = f"[{', '.join(f'{number:g}' for number in given)}]" if numbers else repr(given)
                raise ConfigError(
                    f"model.{name}: has no effect on a network written out layer by layer, got {shown}; "
                    f"leave it {advice}"
                )
        if not written_out and self.width is None:
            raise ConfigError("model.width: expected a number of channels or auto, got null")

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` takes."""
        return msgspec.to_builtins(self)

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks of each stage."""
        return (self.depth,) * len(STAGES) if isinstance(self.depth, int) else self.depth

    def variants(self) -> tuple[Block | AnyDownsampler, ...]:
        """The seven variants in the order of computation."""
        return self.c1, self.t1, self.c2, self.t2, self.c3, self.t3, self.c4

    def key(self) -> str:
        """Equal for networks with equal layers, however they were written."""
        return content_key(self.plan())

    def plan(self) -> Plan:
        """The primitive layers in sections (stem,) c1.1, c1.2, ..., t1, ..., c4.1, ..., o.

        Raises ConfigError where a map collapses or a variant cannot work on what it is given.
        """
        if self.width == "auto":
            raise ConfigError("model.width: auto has to be solved for limits before it is planned")
        wanted = [max(1, round((self.width or 1) * m)) for m in self.multipliers]
        plan = _Planner(self.activation)
        if self.stem is not None:
            plan.add("stem", Stem(kernel=self.stem), wanted[0])
        variants = self.variants()
        for index, (stage, depth) in enumerate(zip(variants[::2], self.depths, strict=True)):
            if index:
                plan.add(f"t{index}", variants[2 * index - 1], wanted[index])
            for repeat in range(1 if isinstance(stage, Custom) else depth):
                plan.add(f"c{index + 1}.{repeat + 1}", stage, wanted[index])
        return plan.finish(self.head)


class Stem(Block, frozen=True, kw_only=True):
    """A convolution, norm, activation; the map keeps its size."""

    kernel: Literal[1, 3]

    def expand(self, in_channels: int, out_channels: int, act: ActivationName) -> tuple[Layer, ...]:
        pad = self.kernel // 2
        conv = Conv(in_channels=in_channels, out_channels=out_channels, kernel=self.kernel, padding=pad)
        return conv, *norm_act(out_channels, act)


_BLOCK_LAYERS: Any = Conv | Norm | Activation | Dropout | Shuffle | SqueezeExcite  # and sums of them


class _Planner:
    """Strings variants together and keeps track of what each is given."""

    def __init__(self, activation: ActivationName):
        self.activation = activation
        self.channels = IMAGE_CHANNELS
        self.size = IMAGE_SIZE
        self.sections: list[Section] = []

    def add(self, name: str, variant: Any, wanted: int) -> None:
        given = (variant, self.channels, self.size, wanted, self.activation)
        try:
            try:
                layers, self.channels, self.size = _expanded(*given)
            except TypeError:  # a variant made in Python, with a list where a tuple is meant
                layers, self.channels, self.size = _expanded.__wrapped__(*given)
        except ConfigError as error:
            raise ConfigError(f"model.{name.partition('.')[0]}: {error}") from error.__cause__
        self.sections.append(Section(name=name, layers=layers))

    def finish(self, head: Head) -> Plan:
        return (*self.sections, _output(head, self.channels))


@functools.lru_cache(maxsize=WIDEST)
def _output(head: Head, channels: int) -> Section:
    layers: tuple[Layer, ...] = (GlobalPool(),)
    if head == "linear":
        layers += (Linear(in_features=channels, out_features=NUM_CLASSES),)
    elif head == "conv":
        layers = (Conv(in_channels=channels, out_channels=NUM_CLASSES, kernel=1, bias=True), *layers)
    elif channels != NUM_CLASSES:
        raise ConfigError(
            f"model.head: none needs a C4 that ends in {NUM_CLASSES} channels, got {channels}; "
            "use linear or conv"
        )
    return Section(name="o", layers=layers)


@functools.lru_cache(maxsize=100_000)  # a search asks for the same sections in ever new combinations
def _expanded(
    variant: Any, channels: int, size: int, wanted: int, activation: ActivationName
) -> tuple[tuple[Layer, ...], int, int]:
    """The layers of a variant, with the channels and the side of the map that they make.

    Raises ConfigError where the map collapses or the variant cannot work on what it is given.
    """
    given = (channels, wanted, *(() if isinstance(variant, Block) else (size,)), activation)
    ours = type(variant).__module__.startswith("cifar_arch.")
    layers = variant.expand(*given) if ours else _expand_users(variant, given)
    return layers, *_shape_after(layers, channels, size)


def _expand_users(variant: Any, given: tuple[Any, ...]) -> tuple[Layer, ...]:
    """The layers of a block of the user's own. Raises ConfigError for whatever is wrong with it."""
    try:
        return _checked_layers(require_layers(variant, "expand", variant.expand(*given)), "layers")
    except ConfigError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
        what = said + _raised_at(error, type(variant).__module__)
        raise ConfigError(f"{described(variant)} cannot be expanded ({what})") from error


def _raised_at(error: BaseException, module: str) -> str:
    """The file and the line in the user's module at which an error came up, where it did so there."""
    steps = traceback.walk_tb(error.__traceback__)
    places = [(frame, line) for frame, line in steps if frame.f_globals.get("__name__") == module]
    return "".join(f" at {Path(frame.f_code.co_filename).name}:{line}" for frame, line in places[-1:])


def _checked_layers(layers: Iterable[Any], where: str) -> tuple[Layer, ...]:
    """The layers of a block. Raises ConfigError for what is none, or has a field that cannot be."""
    return tuple(_checked_layer(layer, f"{where}[{place}]") for place, layer in enumerate(layers))


def _checked_layer(layer: Any, where: str) -> Layer:
    if isinstance(layer, Sum):
        return Sum(body=_checked_layers(layer.body, f"{where}.body"))
    found: Layer = checked(_BLOCK_LAYERS, msgspec.to_builtins(layer), where)
    match found:
        case Conv():
            require_multiples(found.in_channels, found.out_channels, found.groups, where)
        case Shuffle():
            require_multiples(found.channels, found.channels, found.groups, where)
    return found


def _shape_after(layers: Iterable[Layer], channels: int, size: int) -> tuple[int, int]:
    """The channels and the side of the map that layers make of one. Raises ConfigError where it collapses."""
    for layer in layers:
        match layer:
            case Conv():
                _require_channels(layer, layer.in_channels, channels)
                smaller = layer.out_size(size)
                if smaller < 1:
                    raise ConfigError(
                        f"the {layer.kernel}x{layer.kernel} convolution with stride {layer.stride}, "
                        f"dilation {layer.dilation} and padding {layer.padding} collapses the "
                        f"{size}x{size} map; allowed are those that leave at least 1x1"
                    )
                channels, size = layer.out_channels, smaller
            case Norm() | Shuffle() | SqueezeExcite():
                _require_channels(layer, layer.channels, channels)
            case Sum():
                after = _shape_after(layer.body, channels, size)
                if after != (channels, size):
                    raise ConfigError(
                        f"a residual sum needs equal shapes, got {_shape(channels, size)} in and "
                        f"{_shape(*after)} out; set residual=false"
                    )
    return channels, size


def _require_channels(layer: Layer, taken: int, given: int) -> None:
    if taken != given:  # of a block of the user's own
        what = "convolution" if isinstance(layer, Conv) else layer.kind
        raise ConfigError(
            f"a {what} of {taken} channels cannot follow {given}; "
            "let the first one of a block take in_channels, and each other what the one before makes"
        )


def _shape(channels: int, size: int) -> str:
    return f"{channels}x{size}x{size}"
