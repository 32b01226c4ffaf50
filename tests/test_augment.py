from typing import Any

import pytest

from cifar_arch.augment import Augment, CoarseDropout, HorizontalFlip
from cifar_arch.schema import ConfigError, checked

WRONG: dict[str, dict[str, Any]] = {
    r"augment\.horizontal_flip\.p: .* got 1\.5": {"horizontal_flip": {"p": 1.5}},
    r"augment\.horizontal_flip\.p: .* got -0\.1": {"horizontal_flip": {"p": -0.1}},
    r"augment\.pad_crop\.padding: .* got 0": {"pad_crop": {"padding": 0}},
    r"augment\.pad_crop\.padding: .* got 32": {"pad_crop": {"padding": 32}},
    r"augment\.colour_jitter\.contrast: .* got 1": {"colour_jitter": {"contrast": 1}},
    r"augment\.colour_jitter\.saturation: .* got -0\.1": {"colour_jitter": {"saturation": -0.1}},
    r"augment\.colour_jitter\.hue: .* got 0\.6": {"colour_jitter": {"hue": 0.6}},
    r"augment\.mixup\.alpha: .* got 0": {"mixup": {"alpha": 0}},
    r"augment\.cutmix\.alpha: .* got 1001": {"cutmix": {"alpha": 1001}},
    r"augment\.coarse_dropout\.size: .* got 0": {"coarse_dropout": {"size": 0}},
    r"augment\.coarse_dropout\.size: .* got 33": {"coarse_dropout": {"size": 33}},
    r"augment\.shift_scale_rotate\.rotate: .* got -1": {"shift_scale_rotate": {"rotate": -1}},
    r"augment\.blur: unknown field; choose from pad_crop, .*coarse_dropout": {"blur": {"p": 1}},
}


@pytest.mark.parametrize(("message", "transforms"), WRONG.items(), ids=map(str, WRONG.values()))
def test_wrong_fields_are_named(message: str, transforms: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=message):
        checked(Augment, transforms, "augment")


def test_the_active_transforms_are_those_above_0_in_the_order_of_application() -> None:
    assert Augment().active() == {}
    chosen = Augment(coarse_dropout=CoarseDropout(p=0.1), horizontal_flip=HorizontalFlip(p=1))
    assert list(chosen.active()) == ["horizontal_flip", "coarse_dropout"]
    assert chosen.active()["horizontal_flip"] == HorizontalFlip(p=1)
