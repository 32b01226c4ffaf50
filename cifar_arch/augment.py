"""The albumentations pipeline: typed transforms with a probability each, seeded per sample.

albumentations is imported where a pipeline is built and not before: it takes seconds, and `check`
only asks which transforms are on.
"""

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from cifar_arch.layers import IMAGE_SIZE
from cifar_arch.schema import Strict

if TYPE_CHECKING:
    import albumentations as A

Probability = Annotated[float, Meta(ge=0, le=1)]
Strength = Annotated[float, Meta(ge=0, lt=1)]
Colour = tuple[float, float, float]  # of 0 to 255


class Transform(Strict, frozen=True, kw_only=True):
    """A transform that is applied to a share `p` of the images; 0 is off."""

    p: Probability = 0.0

    def build(self, mean: Colour) -> "A.BasicTransform | A.Sequential":
        """The albumentations transform for (32, 32, 3) uint8 images whose training mean is `mean`."""
        raise NotImplementedError


class HorizontalFlip(Transform, frozen=True, kw_only=True):
    def build(self, mean: Colour) -> "A.BasicTransform":
        import albumentations as A

        return A.HorizontalFlip(p=self.p)


class ShiftScaleRotate(Transform, frozen=True, kw_only=True):
    """One affine map as in albumentations 1.x: equal scale on both axes, borders mirrored.

    Shifts are whole pixels, because `translate_percent` is cut to -1, 0 or 1 px on such images.
    """

    shift: Strength = 0.0625  # of the side
    scale: Strength = 0.05
    rotate: Annotated[float, Meta(ge=0, le=180)] = 15.0  # degrees

    def build(self, mean: Colour) -> "A.BasicTransform":
        import albumentations as A
        import cv2

        pixels = round(IMAGE_SIZE * self.shift)
        return A.Affine(
            scale=(1 - self.scale, 1 + self.scale),
            keep_ratio=True,
            rotate=(-self.rotate, self.rotate),
            shear=(0, 0),
            translate_px={"x": (-pixels, pixels), "y": (-pixels, pixels)},
            interpolation=cv2.INTER_LINEAR,
            border_mode=cv2.BORDER_REFLECT_101,
            p=self.p,
        )


class CoarseDropout(Transform, frozen=True, kw_only=True):
    """One square hole, wholly inside the image, filled with the training mean."""

    size: Annotated[int, Meta(ge=1, le=IMAGE_SIZE)] = 16  # pixels

    def build(self, mean: Colour) -> "A.BasicTransform":
        import albumentations as A

        return A.CoarseDropout(
            num_holes_range=(1, 1),
            hole_height_range=(self.size, self.size),
            hole_width_range=(self.size, self.size),
            fill=tuple(round(channel) for channel in mean),
            fill_mask=None,
            p=self.p,
        )


class Grayscale(Transform, frozen=True, kw_only=True):
    def build(self, mean: Colour) -> "A.BasicTransform":
        import albumentations as A

        return A.ToGray(p=self.p)


class ColourJitter(Transform, frozen=True, kw_only=True):
    brightness: Strength = 0.3
    contrast: Strength = 0.3
    saturation: Strength = 0.3
    hue: Annotated[float, Meta(ge=0, le=0.5)] = 0.2

    def build(self, mean: Colour) -> "A.BasicTransform":
        import albumentations as A

        low_high = [(1 - s, 1 + s) for s in (self.brightness, self.contrast, self.saturation)]
        return A.ColorJitter(*low_high, hue=(-self.hue, self.hue), p=self.p)


class PadCrop(Transform, frozen=True, kw_only=True):
    """Mirrored borders of `padding` pixels, then a random crop of the image's own size."""

    padding: Annotated[int, Meta(ge=1, lt=IMAGE_SIZE)] = 4

    def build(self, mean: Colour) -> "A.Sequential":
        import albumentations as A
        import cv2

        pad = A.Pad(padding=self.padding, border_mode=cv2.BORDER_REFLECT_101, p=1)
        return A.Sequential([pad, A.RandomCrop(IMAGE_SIZE, IMAGE_SIZE, p=1)], p=self.p)


class Augment(Strict, frozen=True, kw_only=True):
    """The transforms in the order in which they are applied."""

    pad_crop: PadCrop = PadCrop()
    horizontal_flip: HorizontalFlip = HorizontalFlip()
    shift_scale_rotate: ShiftScaleRotate = ShiftScaleRotate()
    colour_jitter: ColourJitter = ColourJitter()
    grayscale: Grayscale = Grayscale()
    coarse_dropout: CoarseDropout = CoarseDropout()

    def active(self) -> dict[str, Transform]:
        """The transforms that are on, by name."""
        transforms = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: transform for name, transform in transforms.items() if transform.p > 0}
