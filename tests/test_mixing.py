"""Mixup and cutmix against what their definitions say of any batch."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st

from cifar_arch.augment import Augment, CutMix, MixUp
from cifar_arch.data import Split
from cifar_arch.loader import BatchLoader, Loader
from cifar_arch.mixing import Mixing, _box
from cifar_arch.schema import ConfigError

LABELS = torch.arange(10)
# Each image is of one colour, that of its label, so that what is left of it can be counted.
IMAGES = (LABELS * 20).to(torch.uint8).view(10, 1, 1, 1).expand(10, 3, 32, 32)
BOTH = st.sampled_from([Augment(mixup=MixUp(p=1.0)), Augment(cutmix=CutMix(p=1.0))])


def mixed(
    augment: Augment, seed: int = 0, count: int = 1, images: torch.Tensor = IMAGES
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(Mixing(augment, seed)([(images, LABELS)] * count, epoch=3))


def colours_of(image: torch.Tensor) -> set[float]:
    return set(np.unique(image).tolist())


@cases(60)
@given(BOTH, st.integers(0, 10_000))
def test_labels_hold_the_shares_of_the_images(augment: Augment, seed: int) -> None:
    ((images, labels),) = mixed(augment, seed)
    assert (images.dtype, labels.dtype, labels.shape) == (torch.float32, torch.float32, (10, 10))
    assert torch.allclose(labels.sum(1), torch.ones(10))
    kept = labels[LABELS, LABELS]
    assert torch.allclose(kept, kept[:1].expand(10))
    assert torch.allclose(labels[LABELS, LABELS.roll(1)], 1 - kept, atol=1e-6)
    colours = 20 * LABELS.float()
    means = kept * colours + (1 - kept) * colours.roll(1)
    assert torch.allclose(images.mean((1, 2, 3)), means, atol=1e-3)


def test_cutmix_puts_in_one_square_of_any_side_that_the_edges_may_cut() -> None:
    whole = set()
    for seed in range(300):
        ((images, _),) = mixed(Augment(cutmix=CutMix(p=1.0)), seed)
        foreign = images[1, 0] == 0  # the colour of its partner
        rows, columns = foreign.any(1), foreign.any(0)
        assert foreign.sum() == rows.sum() * columns.sum()
        assert colours_of(images[1]) <= {0.0, 20.0}
        if not any(line[end] for line in (rows, columns) for end in (0, -1)):
            assert rows.sum() == columns.sum()
            whole.add(int(rows.sum()))
    assert {side % 2 for side in whole} == {0, 1}


def test_mixup_is_one_weight_for_the_whole_image() -> None:
    ((images, _),) = mixed(Augment(mixup=MixUp(p=1.0, alpha=1.0)))
    assert [len(colours_of(image)) for image in images] == [1] * 10


@pytest.mark.parametrize(("alpha", "variance"), [(0.2, 0.25 / 1.4), (1.0, 1 / 12)])
def test_the_share_that_is_kept_has_the_distribution(alpha: float, variance: float) -> None:
    batches = mixed(Augment(mixup=MixUp(p=1.0, alpha=alpha)), count=3000, images=IMAGES[..., :1, :1])
    kept = np.array([labels[0, 0].item() for _, labels in batches])
    assert abs(kept.mean() - 0.5) < 0.03
    assert abs(kept.var() - variance) < 0.01


def test_a_share_of_the_batches_is_mixed_in_either_way() -> None:
    batches = mixed(Augment(mixup=MixUp(p=0.2, alpha=1.0), cutmix=CutMix(p=0.3)), count=3000)
    smooth = np.mean([len(colours_of(i[1])) == 1 and bool(labels[1, 1] < 1) for i, labels in batches])
    cut = np.mean([len(colours_of(images[1])) == 2 for images, _ in batches])
    assert abs(smooth - 0.2) < 0.03
    assert 0.25 < cut < 0.33  # a square may be cut away whole


def test_none_leaves_the_batches_alone() -> None:
    ((images, labels),) = mixed(Augment())
    assert images is IMAGES
    assert labels is LABELS


def test_an_epoch_repeats_itself_and_another_epoch_or_seed_does_not() -> None:
    augment = Augment(mixup=MixUp(p=1.0, alpha=1.0))

    def shares(seed: int, epoch: int) -> list[torch.Tensor]:
        return [labels for _, labels in Mixing(augment, seed)([(IMAGES, LABELS)] * 4, epoch)]

    first = shares(1, 3)
    assert all(map(torch.equal, first, shares(1, 3)))
    for seed, epoch in ((2, 3), (1, 4)):
        assert not any(map(torch.equal, first, shares(seed, epoch)))


@pytest.mark.parametrize("kind", [Loader, BatchLoader])
def test_both_loaders_mix(kind: type[Loader] | type[BatchLoader]) -> None:
    generator = np.random.default_rng(0)
    split = Split(generator.integers(256, size=(40, 32, 32, 3)).astype(np.uint8), np.arange(40) % 10)
    loader = kind(split, Augment(cutmix=CutMix(p=1.0)), (1, 2, 3), batch_size=20, seed=0)
    batches = [(images, labels) for images, labels in loader.epoch(1)]
    assert [(images.dtype, labels.shape) for images, labels in batches] == [(torch.float32, (20, 10))] * 2


def test_more_than_every_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^augment.cutmix.p: .*, got 0.6 and 0.5$"):
        Augment(mixup=MixUp(p=0.5), cutmix=CutMix(p=0.6))


@pytest.mark.parametrize(
    ("kept", "centre", "box"),
    [
        (0.75, (16, 10), (8, 24, 2, 18)),  # a quarter of the image: half of its side
        (0.75, (0, 31), (0, 8, 23, 32)),  # cut by the edges
        (1.0, (5, 5), (5, 5, 5, 5)),
        (0.0, (16, 16), (0, 32, 0, 32)),
    ],
)
def test_the_square_has_its_share_of_the_image(
    kept: float, centre: tuple[int, int], box: tuple[int, ...]
) -> None:
    generator = SimpleNamespace(integers=lambda *_, **__: centre)
    assert _box(32, kept, generator) == box  # type: ignore[arg-type]


def test_a_large_alpha_cuts_half_of_the_image() -> None:
    sides = set()
    for seed in range(150):
        ((images, _),) = mixed(Augment(cutmix=CutMix(p=1.0, alpha=1000.0)), seed)
        foreign = images[1, 0] == 0
        rows, columns = foreign.any(1), foreign.any(0)
        if not any(line[end] for line in (rows, columns) for end in (0, -1)):  # no edge has cut it
            sides.add(int(rows.sum()))
    assert sides
    assert sides <= {22, 23}
