"""How `batches` moves places and colours, against OpenCV and the standard library."""

import colorsys

import cv2
import numpy as np
import pytest
import torch

from cifar_arch import batches


def smooth_picture() -> np.ndarray:
    """Not alike in any two directions or channels."""
    few = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    return cv2.resize(few, (32, 32), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("degrees", [0.0, -20.0, 37.0])
@pytest.mark.parametrize("scale", [1.0, 0.8, 1.3])
@pytest.mark.parametrize("shift", [(0, 0), (3, -2)])
def test_an_affine_map_is_the_one_of_opencv(shift: tuple[int, int], scale: float, degrees: float) -> None:
    cos, sin = (scale * f(np.radians(degrees)) for f in (np.cos, np.sin))
    inner = np.array([[cos, sin], [-sin, cos]])
    matrix = np.column_stack([inner, [15.5, 15.5] - inner @ [15.5, 15.5] + shift])
    picture = smooth_picture()
    expected = cv2.warpAffine(picture, matrix, (32, 32), borderMode=cv2.BORDER_REFLECT_101)
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    found = batches._affine(images, torch.tensor([[*shift, scale, degrees]]))[0].permute(1, 2, 0)
    assert abs(found.numpy() - expected).max() < 6  # OpenCV rounds places to 1/32 pixel
    assert abs(found.numpy() - expected).mean() < 0.6


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.1, 0.33, 0.5])
def test_a_hue_is_the_one_of_the_standard_library(turn: float) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (50, 3)).astype(float)
    images = torch.tensor(colours.T, dtype=torch.float32)[None, :, :, None]
    found = batches._hue(images, torch.tensor(turn).view(1, 1, 1, 1))[0, :, :, 0].T
    for colour, result in zip(colours, found, strict=True):
        hue, *others = colorsys.rgb_to_hsv(*colour)
        assert result.tolist() == pytest.approx(colorsys.hsv_to_rgb((hue + turn) % 1, *others), abs=0.05)
