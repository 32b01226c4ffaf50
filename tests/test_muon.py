from typing import Any

import pytest
import torch
from conftest import tiny_architecture
from torch import nn

from cifar_arch.muon import Muon, orthogonal, orthogonalised
from cifar_arch.network import build
from cifar_arch.optim import build_optimizer
from cifar_arch.recipe import Recipe
from cifar_arch.spec import Architecture


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 144), (2, 96, 64), (1, 1, 27)])
def test_singular_values_come_near_1_and_the_vectors_stay(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    found = orthogonal(matrices)
    assert found.dtype == matrices.dtype
    values = torch.linalg.svdvals(found)
    assert ((values > 0.6) & (values < 1.3)).all()
    # U V^T is the nearest orthogonal matrix; what is left between the two lies in the singular values.
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    inner = u.mT @ found @ v.mT
    off = inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))
    assert off.abs().max() < 0.1


def test_it_agrees_with_torch_on_one_matrix() -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(16, 24), torch.randn(3, 16, 24)
    ours = nn.Parameter(start * 16**0.5 / start.norm())  # the norm that ours keeps
    theirs = nn.Parameter(ours.detach().clone())
    steppers = (
        Muon([ours], [], lr=0.01, sgd_lr=1.0, momentum=0.9),
        torch.optim.Muon([theirs], lr=0.01, momentum=0.9, weight_decay=0.0),
    )
    for gradient in gradients:
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        for stepper in steppers:
            stepper.step()
    torch.testing.assert_close(ours, theirs, atol=5e-4, rtol=0)  # what has moved by 0.01


def test_the_norm_of_filters_does_not_grow() -> None:
    torch.manual_seed(0)
    p = nn.Parameter(torch.randn(8, 4, 3, 3))
    stepper = Muon([p], [], lr=0.1, sgd_lr=1.0, momentum=0.9)
    for _ in range(20):
        p.grad = torch.randn_like(p)
        stepper.step()
    assert p.norm().item() == pytest.approx(8**0.5, rel=0.2)


def test_equal_shapes_in_one_batch_move_as_alone() -> None:
    torch.manual_seed(0)
    starts, gradients = torch.randn(3, 8, 4, 3, 3), torch.randn(3, 8, 4, 3, 3)

    def moved(indices: list[int]) -> list[torch.Tensor]:
        params: list[torch.Tensor] = [nn.Parameter(starts[i].clone()) for i in indices]
        for p, i in zip(params, indices, strict=True):
            p.grad = gradients[i].clone()
        Muon(params, [], lr=0.1, sgd_lr=1.0, momentum=0.9).step()
        return [p.detach() for p in params]

    together = moved([0, 1, 2])
    for index in range(3):
        torch.testing.assert_close(together[index], moved([index])[0], atol=5e-3, rtol=0)


def test_the_rest_moves_as_with_sgd() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(5)) for _ in range(2))
    steppers = (
        Muon([], [{"params": [ours], "weight_decay": 0.1}], lr=1.0, sgd_lr=0.2, momentum=0.9),
        torch.optim.SGD([theirs], lr=0.2, momentum=0.9, nesterov=True, weight_decay=0.1),
    )
    for _ in range(4):
        ours.grad = torch.randn(5)
        theirs.grad = ours.grad.clone()
        for stepper in steppers:
            stepper.step()
    torch.testing.assert_close(ours, theirs)


FILTERS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "not the first, depthwise, or the fully connected one": (
        {},
        {"t1.conv1", "c2_1.conv1", "t2.conv1", "c3_1.conv1", "t3.conv1", "c4_1.conv2"},
    ),
    "nor those of squeeze-and-excitation, which no norm follows": (
        {"c2": {"kind": "plain", "squeeze": 2}},
        {"t1.conv1", "c2_1.conv1", "t2.conv1", "c3_1.conv1", "t3.conv1", "c4_1.conv2"},
    ),
    "nor a convolution that is the classifier": (
        {"head": "conv"},
        {"t1.conv1", "c2_1.conv1", "t2.conv1", "c3_1.conv1", "t3.conv1", "c4_1.conv2"},
    ),
}


@pytest.mark.parametrize(("changes", "expected"), FILTERS.values(), ids=list(FILTERS))
def test_which_filters_it_takes(changes: dict[str, Any], expected: set[str]) -> None:
    net = build(Architecture.from_dict(tiny_architecture(**changes)).plan())
    taken = {id(p) for p in orthogonalised(net)}
    names = {name.removesuffix(".weight") for name, p in net.named_parameters() if id(p) in taken}
    assert names == expected


def test_every_parameter_is_in_one_group_with_its_rate() -> None:
    net = build(Architecture.from_dict(tiny_architecture()).plan())
    groups = build_optimizer(net, Recipe(optimizer="muon", lr=0.03, sgd_lr=0.2)).param_groups
    assert [group["lr"] for group in groups] == [0.03, 0.2, 0.2]
    assert sorted(id(p) for g in groups for p in g["params"]) == sorted(map(id, net.parameters()))


def test_weight_decay_is_of_the_other_weights_alone() -> None:
    net = build(Architecture.from_dict(tiny_architecture()).plan())
    groups = build_optimizer(net, Recipe(optimizer="muon", weight_decay=0.3)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.0, 0.3, 0.0]


def test_a_captured_step_moves_each_group_at_its_own_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    for captured in (False, True):
        filters, others = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4))
        groups = [{"params": [others], "weight_decay": 0.0}]
        stepper = Muon([filters], groups, lr=0.01, sgd_lr=0.5, momentum=0.9, captured=captured)
        if captured:
            monkeypatch.setattr(stepper, "captured", stepper._move)  # as the graph, without a GPU
        filters.grad, others.grad = torch.eye(4), torch.ones(4)
        stepper.param_groups[1]["lr"] = 0.3
        stepper.step()
        moved.append((filters.detach(), others.detach()))
    torch.testing.assert_close(moved[0], moved[1])


def test_a_gradient_of_nothing_moves_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 4, 4)), torch.zeros(1, 4, 4))
