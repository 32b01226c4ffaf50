"""Which transforms augment the training images, as checked data.

`pipeline` reads it as albumentations, `batches` and `mixing` as torch.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta

from cifar_arch.layers import IMAGE_SIZE
from cifar_arch.schema import ConfigError, Strict

HOLE = 16  # pixels: the side that the rules ask for
Probability = Annotated[float, Meta(ge=0, le=1)]
Strength = Annotated[float, Meta(ge=0, lt=1)]
Colour = tuple[float, float, float]  # of 0 to 255


class Augmentation(Strict, frozen=True, kw_only=True):
    """What is applied to a share `p` of the images or batches; 0 is off."""

    p: Probability = 0.0

    def lacks(self) -> str:
        """The setting that makes it what the rules mean by its name; "" where it is that already."""
        return ""


class Transform(Augmentation, frozen=True, kw_only=True):
    """A transform of single images; `p` is the share of the images."""


class PadCrop(Transform, frozen=True, kw_only=True):
    """Mirrored borders of `padding` pixels, then a random crop of the image's own size."""

    padding: Annotated[int, Meta(ge=1, lt=IMAGE_SIZE)] = 4


class HorizontalFlip(Transform, frozen=True, kw_only=True):
    """Left and right exchanged; with `alternate` not by chance, but in an even share of an image's epochs.

    With p=0.5 that is every other one, so that no two epochs in a row show the same side. After K. Jordan,
    "94% on CIFAR-10 in 3.29 seconds on a single GPU" (2024).
    """

    alternate: bool = False

    def flipped(self, phase: Any, epoch: int) -> Any:
        """Whether an epoch shows an image turned whose own `phase`, of any array type, is from 0 to 1."""
        return (phase + epoch * self.p) % 1.0 < self.p


class ShiftScaleRotate(Transform, frozen=True, kw_only=True):
    """One affine map as in albumentations 1.x: whole pixels, equal scale on both axes, borders mirrored."""

    shift: Strength = 0.0625  # of the side
    scale: Strength = 0.05
    rotate: Annotated[float, Meta(ge=0, le=180)] = 15.0  # degrees

    @property
    def pixels(self) -> int:
        """The largest shift: 0 where `shift` is less than half a pixel."""
        return round(IMAGE_SIZE * self.shift)

    def lacks(self) -> str:
        return "" if self.pixels or self.scale or self.rotate else "rotate=15"


class ColourJitter(Transform, frozen=True, kw_only=True):
    brightness: Strength = 0.3
    contrast: Strength = 0.3
    saturation: Strength = 0.3
    hue: Annotated[float, Meta(ge=0, le=0.5)] = 0.2  # of a turn of the colour wheel


class Grayscale(Transform, frozen=True, kw_only=True):
    pass


class CoarseDropout(Transform, frozen=True, kw_only=True):
    """One square hole, wholly inside the image, filled with the training mean."""

    size: Annotated[int, Meta(ge=1, le=IMAGE_SIZE)] = HOLE  # pixels

    def lacks(self) -> str:
        return "" if self.size == HOLE else f"size={HOLE}"


class Mix(Augmentation, frozen=True, kw_only=True):
    """Images mixed with others, their labels too; `p` is the share of the batches."""

    # The share that is kept of an image is drawn from Beta(alpha, alpha).
    alpha: Annotated[float, Meta(gt=0, le=1000)] = 1.0


class MixUp(Mix, frozen=True, kw_only=True):
    """The weighted mean of two images (Zhang and others 2018, "mixup")."""

    alpha: Annotated[float, Meta(gt=0, le=1000)] = 0.2


class CutMix(Mix, frozen=True, kw_only=True):
    """A square of another image put in (Yun and others 2019, "CutMix")."""


class Augment(Strict, frozen=True, kw_only=True):
    """The transforms in the order in which they are applied, and what applies them."""

    pad_crop: PadCrop = PadCrop()
    horizontal_flip: HorizontalFlip = HorizontalFlip()
    shift_scale_rotate: ShiftScaleRotate = ShiftScaleRotate()
    colour_jitter: ColourJitter = ColourJitter()
    grayscale: Grayscale = Grayscale()
    coarse_dropout: CoarseDropout = CoarseDropout()
    mixup: MixUp = MixUp()
    cutmix: CutMix = CutMix()
    # Image by image with albumentations, or whole batches with torch, which is faster, and what auto means.
    backend: Literal["auto", "albumentations", "batch"] = "auto"

    def __post_init__(self) -> None:
        if self.mixup.p + self.cutmix.p > 1:
            raise ConfigError(
                "augment.cutmix.p: a batch is mixed in one way, at most 1 with augment.mixup.p, "
                f"got {self.cutmix.p:g} and {self.mixup.p:g}"
            )

    def image_transforms(self) -> dict[str, Transform]:
        """Those of single images that are on, by name."""
        return {name: t for name, t in self.active().items() if isinstance(t, Transform)}

    def active(self) -> dict[str, Augmentation]:
        """All that is on, by name."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: t for name, t in fields.items() if isinstance(t, Augmentation) and t.p > 0}


def phase(seed: int, index: Any) -> Any:
    """A number from 0 to 1 of an image's own, evenly spread over images; `index` may be an array."""
    return (index * 0.6180339887498949 + seed * 0.7548776662466927) % 1.0  # the golden ratio, and another
