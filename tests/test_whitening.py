from typing import Any

import pytest
import torch
from conftest import easy_dataset, tiny_architecture
from msgspec.structs import replace
from torch import nn
from torch.nn import functional

from cifar_arch.data import DataConfig, Dataset, load
from cifar_arch.network import Normalised, build
from cifar_arch.spec import Architecture
from cifar_arch.whitening import DAMPING, principal_patterns, whiten


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load(DataConfig(name="shapes", validation=5400))


def first_layer(width: int = 8, **conv: Any) -> tuple[nn.Sequential, nn.Conv2d]:
    c1 = {"kind": "custom", "convs": [{"out": width, **conv}]}
    net = build(Architecture.from_dict(tiny_architecture(c1=c1, width=width)).plan())
    layer = next(m for m in net.modules() if isinstance(m, nn.Conv2d))
    return net, layer


@pytest.mark.parametrize("conv", [{}, {"dilation": 2}, {"kernel": 1}, {"kernel": 5}], ids=str)
def test_what_the_filters_see_has_variance_1_and_no_correlation(
    conv: dict[str, Any], dataset: Dataset
) -> None:
    net, layer = first_layer(4, **conv)
    whiten(net, dataset)
    images = torch.from_numpy(dataset.train.images[::3]).permute(0, 3, 1, 2)
    seen = Normalised(nn.Identity(), dataset.mean, dataset.std)(images)
    maps = functional.conv2d(seen, layer.weight, dilation=layer.dilation)  # no padding: whole patches alone
    responses = maps.transpose(0, 1).flatten(1)[:2]  # of the two strongest patterns
    covariance = responses @ responses.T / responses.shape[1]
    torch.testing.assert_close(covariance, torch.eye(2), atol=0.15, rtol=0)


def test_patterns_are_those_of_the_threads_at_hand(dataset: Dataset) -> None:
    """Another number of them rounds differently: a trial must not have those of the one before."""
    principal_patterns.cache_clear()
    threads = torch.get_num_threads()
    for number in (1, 2, 2):
        torch.set_num_threads(number)
        whiten(first_layer()[0], dataset)
    torch.set_num_threads(threads)
    assert principal_patterns.cache_info().misses == 2


# filters: the place of the first negative, and how many have one; a filter of 3x3 pixels has 27 patterns
NEGATIVES = {60: (27, 27), 8: (4, 4), 3: (2, 1)}


@pytest.mark.parametrize(("filters", "negatives"), NEGATIVES.items())
def test_each_pattern_comes_with_its_negative_and_others_stay(
    filters: int, negatives: tuple[int, int], dataset: Dataset
) -> None:
    net, layer = first_layer(filters)
    before = layer.weight.detach().clone()
    whiten(net, dataset)
    place, count = negatives
    torch.testing.assert_close(layer.weight[:count], -layer.weight[place : place + count])
    assert torch.equal(layer.weight[54:], before[54:])


def test_the_strongest_pattern_comes_first(dataset: Dataset) -> None:
    variances, patterns = principal_patterns(dataset, (3, 3), (1, 1), 1)
    assert variances.tolist() == sorted(variances)
    torch.testing.assert_close(patterns.T @ patterns, torch.eye(27), atol=1e-5, rtol=0)
    assert variances.sum().item() == pytest.approx(27, rel=0.1)  # of 27 normalised pixels


def test_patterns_are_remembered_for_their_own_images_alone(dataset: Dataset) -> None:
    first = principal_patterns(dataset, (3, 3), (1, 1), 1)
    assert principal_patterns(dataset, (3, 3), (1, 1), 1) is first
    other = principal_patterns(easy_dataset(), (3, 3), (1, 1), 1)
    assert not torch.allclose(first[0], other[0], rtol=0.1)


@pytest.mark.parametrize("conv", [{"depthwise": True}, {"dilation": 16}], ids=str)
def test_a_first_layer_of_one_channel_each_or_beyond_the_image_stays(
    conv: dict[str, Any], dataset: Dataset
) -> None:
    net, layer = first_layer(3, **conv)
    before = layer.weight.detach().clone()
    whiten(net, dataset)
    assert torch.equal(layer.weight, before)


def test_it_uses_training_images_alone(dataset: Dataset) -> None:
    nothing = dataset.test._replace(images=dataset.test.images[:0], labels=dataset.test.labels[:0])
    weights = []
    for given in (dataset, replace(dataset, validation=nothing, test=nothing)):
        torch.manual_seed(0)
        net, layer = first_layer()
        whiten(net, given)
        weights.append(layer.weight)
    assert torch.equal(*weights)


def test_patterns_without_variance_are_not_blown_up(dataset: Dataset) -> None:
    grey = dataset.train.images[..., :1].repeat(3, -1)  # two thirds of the patterns have none
    net, layer = first_layer(54)
    whiten(net, replace(dataset, train=dataset.train._replace(images=grey)))
    assert layer.weight.flatten(1).norm(dim=1).max() < 1.01 * DAMPING**-0.5
