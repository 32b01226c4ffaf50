"""The synthetic data set: ten classes of geometric shapes, 32x32 in colour, the same on every machine.

Shapes vary in position, size, angle and colour on a shaded, noisy background with a stray line and a
blob, so that a tiny network needs several epochs to tell them apart.
"""

import functools

import numpy as np

from cifar_arch.layers import IMAGE_SIZE

Array = np.ndarray

_PIXELS = (np.mgrid[0:IMAGE_SIZE, 0:IMAGE_SIZE] - (IMAGE_SIZE - 1) / 2).astype(np.float32)  # rows, columns


@functools.lru_cache(maxsize=2)  # a training set, which takes one or two seconds, and a test set
def generate(count: int, seed: int) -> tuple[Array, Array]:
    """`count` images (N, 32, 32, 3) uint8 and labels (N,) int64; every class equally often.

    Remembered: whoever gets them must not change them.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % len(CLASSES))
    x, y = _shape_coordinates(rng, count)
    inside = np.zeros((count, IMAGE_SIZE, IMAGE_SIZE), np.float32)
    for label, shape in enumerate(_SHAPES.values()):
        chosen = labels == label
        inside[chosen] = shape(x[chosen], y[chosen])
    background, foreground = _colours(rng, count)
    shade = 1 + _uniform(rng, -0.3, 0.3, (count, 1, 1)) * _PIXELS[0] / IMAGE_SIZE * 2
    image = background[:, None, None, :] * shade[..., None]
    image = _mix(image, _clutter(rng, count), _uniform(rng, 0, 255, (count, 3)))
    image = _mix(image, _soft(inside), foreground)
    image += rng.standard_normal(image.shape, np.float32) * _uniform(rng, 2, 12, (count, 1, 1, 1))
    return image.clip(0, 255).round().astype(np.uint8), labels.astype(np.int64)


def _uniform(rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...] | int) -> Array:
    return rng.uniform(low, high, shape).astype(np.float32)


def _shape_coordinates(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Pixel centres (N, 32, 32) in units of each shape's own radius, moved and turned."""
    row, column = _PIXELS
    offset = _uniform(rng, -4, 4, (2, count, 1, 1))
    radius = _uniform(rng, 8, 12, (count, 1, 1))
    angle = _uniform(rng, 0, 2 * np.pi, (count, 1, 1))
    dx, dy = (column - offset[0]) / radius, (row - offset[1]) / radius
    return dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)


def _colours(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Background and foreground (N, 3), at least 110 grey levels apart in one channel."""
    background = _uniform(rng, 20, 235, (count, 3))
    foreground = _uniform(rng, 0, 255, (count, 3))
    channel = rng.integers(0, 3, count)
    chosen = np.arange(count), channel
    away = np.where(background[chosen] < 128, 1, -1) * _uniform(rng, 110, 140, count)
    foreground[chosen] = background[chosen] + away
    return background, foreground


def _clutter(rng: np.random.Generator, count: int) -> Array:
    """Coverage (N, 32, 32) of a line and a blob that belong to no shape."""
    row, column = _PIXELS
    angle = _uniform(rng, 0, np.pi, (count, 1, 1))
    distance = row * np.cos(angle) + column * np.sin(angle) - _uniform(rng, -14, 14, (count, 1, 1))
    line = 0.8 - abs(distance)
    blob = _uniform(rng, 1, 3, (count, 1, 1)) - np.hypot(
        row - _uniform(rng, -14, 14, (count, 1, 1)), column - _uniform(rng, -14, 14, (count, 1, 1))
    )
    return _soft(np.maximum(line, blob) / 4)


def _soft(inside: Array) -> Array:
    """Signed depth below an edge, in shape radii -> coverage of 0 to 1 with a soft edge."""
    return (0.5 + 4 * inside).clip(0, 1)


def _mix(image: Array, coverage: Array, colour: Array) -> Array:
    weight = coverage[..., None]
    return image * (1 - weight) + colour[:, None, None, :] * weight


def _disc(x: Array, y: Array) -> Array:
    return 1 - np.hypot(x, y)


def _box(x: Array, y: Array, width: float, height: float) -> Array:
    return np.minimum(width - abs(x), height - abs(y))


def _ring(x: Array, y: Array) -> Array:
    return 0.3 - abs(np.hypot(x, y) - 0.75)


def _square(x: Array, y: Array) -> Array:
    return _box(x, y, 0.85, 0.85)


def _frame(x: Array, y: Array) -> Array:
    return 0.25 - abs(_box(x, y, 0.7, 0.7))


def _triangle(x: Array, y: Array) -> Array:
    sides = [0.5 - (x * np.cos(a) + y * np.sin(a)) for a in (np.pi / 2, 7 * np.pi / 6, 11 * np.pi / 6)]
    return np.minimum(np.minimum(sides[0], sides[1]), sides[2])


def _cross(x: Array, y: Array) -> Array:
    return np.maximum(_box(x, y, 1, 0.3), _box(x, y, 0.3, 1))


def _star(x: Array, y: Array) -> Array:
    return 0.62 + 0.38 * np.cos(5 * np.arctan2(y, x)) - np.hypot(x, y)


def _bar(x: Array, y: Array) -> Array:
    return _box(x, y, 1.1, 0.4)


def _crescent(x: Array, y: Array) -> Array:
    return np.minimum(_disc(x, y), np.hypot(x - 0.55, y) - 0.8)


def _pair(x: Array, y: Array) -> Array:
    return np.maximum(0.5 - np.hypot(x - 0.6, y), 0.5 - np.hypot(x + 0.6, y))


_SHAPES = {
    **{"disc": _disc, "ring": _ring, "square": _square, "frame": _frame, "triangle": _triangle},
    **{"cross": _cross, "star": _star, "bar": _bar, "crescent": _crescent, "pair": _pair},
}
CLASSES = tuple(_SHAPES)
