"""A typed augmentation, read as torch operations on whole batches, on whatever device these lie.

The distribution is that of `pipeline`, which reads the same data as albumentations: tests compare the two.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cifar_arch.augment import (
    Augment,
    CoarseDropout,
    Colour,
    ColourJitter,
    Grayscale,
    HorizontalFlip,
    PadCrop,
    ShiftScaleRotate,
    Transform,
    phase,
)
from cifar_arch.layers import IMAGE_SIZE

CENTRE = (IMAGE_SIZE - 1) / 2  # pixels
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in a grey

# Images (N, 3, 32, 32) uint8 and parameters (N, K) of each -> such images.
Change = Callable[[Tensor, Tensor], Tensor]


class BatchAugment:
    """Augments whole batches; what happens to an image is determined by (seed, epoch, index)."""

    def __init__(
        self, augment: Augment, mean: Colour, seed: int, count: int, device: torch.device | str = "cpu"
    ):
        """`mean` of the `count` training images, per channel, 0 to 255."""
        self.transforms = list(augment.image_transforms().values())
        self.seed, self.count, self.device = seed, count, torch.device(device)
        self.fill = _to_pixels(torch.tensor(mean, device=self.device)).view(1, 3, 1, 1)
        # For each transform, which images it changes in this epoch, (count), and with which parameters,
        # (count, K). They stay where they are in memory, for a capture reads them there.
        self.chosen = [torch.empty(count, dtype=torch.bool, device=self.device) for _ in self.transforms]
        widths = [_parameters(t, 1, _generator(seed, 0)).shape[1] for t in self.transforms]
        self.drawn = [torch.empty(count, width, device=self.device) for width in widths]

    def draw(self, epoch: int) -> None:
        """Draws the parameters of every image for an epoch; before its first batch."""
        # On the CPU wherever the images lie, so that every device gets the same.
        generator = _generator(self.seed, epoch)
        for transform, chosen, drawn in zip(self.transforms, self.chosen, self.drawn, strict=True):
            if isinstance(transform, HorizontalFlip) and transform.alternate:
                phases = phase(self.seed, torch.arange(self.count, dtype=torch.float64))
                chosen.copy_(transform.flipped(phases, epoch))
            else:
                chosen.copy_(torch.rand(self.count, generator=generator) < transform.p)
            drawn.copy_(_parameters(transform, self.count, generator))

    def __call__(self, images: Tensor, indices: Tensor) -> Tensor:
        """The augmented images (N, 3, 32, 32) uint8 whose numbers among the training images are `indices`."""
        for transform, chosen, drawn in zip(self.transforms, self.chosen, self.drawn, strict=True):
            images = _where(chosen[indices], self._change(transform), images, drawn[indices])
        return images

    def _change(self, transform: Transform) -> Change:
        match transform:
            case PadCrop(padding=padding):
                return lambda images, offsets: _moved(images, offsets - padding)
            case HorizontalFlip():
                return lambda images, _: images.flip(3)
            case ShiftScaleRotate():
                return lambda images, parameters: _to_pixels(_affine(images.float(), parameters))
            case ColourJitter():
                return lambda images, parameters: _to_pixels(_jittered(images.float(), parameters))
            case Grayscale():
                return lambda images, _: _to_pixels(_grey(images)).expand_as(images)
            case CoarseDropout(size=size):
                return lambda images, corners: torch.where(_hole(corners, size), self.fill, images)
        raise TypeError(f"no batch transform for {transform!r}")


def _generator(seed: int, epoch: int) -> torch.Generator:
    # torch's own reads 32 bits of its seed alone.
    return torch.Generator().manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0]))


def _where(chosen: Tensor, change: Change, images: Tensor, parameters: Tensor) -> Tensor:
    """The images, those that are chosen changed."""
    if images.device.type == "cpu":  # the work is what counts; on a GPU it is that nobody waits for a count
        rows = chosen.nonzero()[:, 0]
        if not len(rows):
            return images
        images = images.clone()
        images[rows] = change(images[rows], parameters[rows])
        return images
    return torch.where(chosen[:, None, None, None], change(images, parameters), images)


def _to_pixels(images: Tensor) -> Tensor:
    return images.clamp(0, 255).round().to(torch.uint8)


def _parameters(transform: Transform, count: int, generator: torch.Generator) -> Tensor:
    """What is drawn for each of `count` images, (count, K)."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator) * (high - low) + low

    def whole(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (count,), generator=generator).float()

    columns: list[Tensor] = []
    match transform:
        case PadCrop(padding=padding):
            columns = [whole(0, 2 * padding) for _ in range(2)]
        case ShiftScaleRotate(scale=scale, rotate=degrees):
            pixels = transform.pixels
            columns = [whole(-pixels, pixels) for _ in range(2)]
            columns += [uniform(1 - scale, 1 + scale), uniform(-degrees, degrees)]
        case ColourJitter(brightness=b, contrast=c, saturation=s, hue=h):
            columns = [uniform(1 - strength, 1 + strength) for strength in (b, c, s)]
            columns += [uniform(-h, h)]
            order = torch.rand((count, len(_JITTERS)), generator=generator).argsort(1)
            columns += list(order.float().T)
        case CoarseDropout(size=size):
            columns = [whole(0, IMAGE_SIZE - size) for _ in range(2)]
    return torch.stack(columns, 1) if columns else torch.empty(count, 0)


def _per_channel(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """(1, 3, 1, 1), made on the device: a capture takes no copies from the CPU."""
    return torch.stack([torch.full((), value, device=device) for value in values]).view(1, 3, 1, 1)


def _pixels(device: torch.device) -> Tensor:
    return torch.arange(IMAGE_SIZE, device=device, dtype=torch.float32)


def _moved(images: Tensor, offsets: Tensor) -> Tensor:
    """Images that begin `offsets` (N, 2) of y and x into themselves, mirrored beyond their borders."""
    last = IMAGE_SIZE - 1
    places = offsets[:, :, None] + _pixels(images.device)  # (N, 2, 32), from -31 to 62
    y, x = (last - (last - places.abs()).abs()).long().unbind(1)
    rows = images.gather(2, y[:, None, :, None].expand_as(images))
    return rows.gather(3, x[:, None, None, :].expand_as(images))


def _affine(images: Tensor, parameters: Tensor) -> Tensor:
    """Images scaled and turned about their centre, then shifted; borders mirrored, linear in between.

    `parameters` (N, 4): shift in x and y in pixels, scale, degrees.
    """
    shift_x, shift_y, scale, degrees = parameters.unbind(1)
    cos, sin = (f(degrees * (math.pi / 180)) / (scale * CENTRE) for f in (torch.cos, torch.sin))
    # From a place of the result to its source, both from -1 to 1 at the centres of the outer pixels.
    inverse = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
    offset = _pixels(images.device) - CENTRE
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    places = torch.stack([x, y], -1).view(1, -1, 2) - torch.stack([shift_x, shift_y], 1)[:, None]
    grid = (places @ inverse.mT).view(-1, IMAGE_SIZE, IMAGE_SIZE, 2)
    return functional.grid_sample(images, grid, "bilinear", "reflection", align_corners=True)


def _hole(corners: Tensor, size: int) -> Tensor:
    """Where a square of `size` pixels lies whose upper left corner is at y and x, (N, 1, 32, 32)."""
    inside = (_pixels(corners.device) - corners[:, :, None] + 0.5).clamp(0, size)
    y, x = ((inside > 0) & (inside < size)).unbind(1)
    return (y[:, :, None] & x[:, None, :])[:, None]


def _grey(images: Tensor) -> Tensor:
    """(N, 3, 32, 32) -> (N, 1, 32, 32)"""
    return (images * _per_channel(LUMA, images.device)).sum(1, keepdim=True).round()


def _jittered(images: Tensor, parameters: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue changed in an order of each image's own.

    `parameters` (N, 8): the strength of each, then which of them comes first, second, third and last.
    """
    strengths, order = parameters[:, :4], parameters[:, 4:]
    for turn in range(len(_JITTERS)):
        changed = images
        for number, jitter in enumerate(_JITTERS):
            mine = (order[:, turn] == number)[:, None, None, None]
            changed = torch.where(mine, jitter(images, strengths[:, number].view(-1, 1, 1, 1)), changed)
        images = changed.clamp(0, 255).round()
    return images


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return images * factor


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    mean = _grey(images).mean((1, 2, 3), keepdim=True)
    return images * factor + mean * (1 - factor)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    return images * factor + _grey(images) * (1 - factor)


def _hue(images: Tensor, turn: Tensor) -> Tensor:
    """Every colour moved by a share of a turn around the colour wheel, its value and saturation kept."""
    top, low = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    spread = (top - low).clamp(min=1e-6)
    red, green, blue = images.chunk(3, 1)
    sextant = torch.where(
        top == red,
        (green - blue) / spread,
        torch.where(top == green, (blue - red) / spread + 2, (red - green) / spread + 4),
    )
    angle = (sextant / 6 + turn) % 1.0 * 6
    # A channel falls from the highest value to the lowest within the third sextant away from its own.
    peaks = _per_channel((0.0, 2.0, 4.0), images.device)
    away = ((angle - peaks + 3) % 6 - 3).abs()
    return low + (top - low) * (2 - away).clamp(0, 1)


_JITTERS = (_brightness, _contrast, _saturation, _hue)
