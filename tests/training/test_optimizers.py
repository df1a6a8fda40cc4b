"""Contracts of an optimizer, and the values that the papers' formulas give."""

import pytest
import torch
from torch import nn

from metasearch.models import lstm
from metasearch.training.optimizers import muon
from metasearch.training.optimizers.hypergradient_adamw import HypergradientAdamW
from metasearch.training.optimizers.lion import Lion
from metasearch.training.optimizers.muon import Muon, orthogonalise
from tests.training.trials import config_of, finish, plugin, plugins, trainer

OPTIMIZERS = plugins("optimizer")


def follow(optimizer, weight, gradients):
    """The weight after each of the gradients in turn."""
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_loss_on_real_text_falls(name):
    reports = finish(trainer(optimizer=name, tokens=20_000, reports=2))
    assert reports[-1]["val_loss"] < reports[0]["val_loss"] < 4.85
    assert not reports[-1]["diverged"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_only_matrices_other_than_the_embedding_decay(name):
    config = config_of(optimizer=name, weight_decay=0.1, tied=False)
    model = lstm.build(config, 20)
    groups = plugin("optimizer", name).build(config, model).param_groups
    decaying = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    assert id(model.body.kernel.weight_hh_l0) in decaying
    assert not decaying & {id(model.embedding.weight), id(model.head.bias), id(model.body.kernel.bias_hh_l0)}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_parameter_is_optimised_once(name):
    config = config_of(optimizer=name)
    model = lstm.build(config, 20)
    groups = plugin("optimizer", name).build(config, model).param_groups
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_corner_of_the_space_builds(name):
    space = plugin("optimizer", name).SPACE
    for config in space.grid(2):
        plugin("optimizer", name).build(config, lstm.build(config_of(), 20))


def test_lion_takes_the_steps_of_algorithm_2():
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    optimizer = Lion([{"params": [weight], "weight_decay": 0.5}], lr=0.1, betas=(0.9, 0.99))
    gradients = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    expected, momentum = weight.detach().clone(), torch.zeros(3)
    for gradient in gradients:
        direction = (0.9 * momentum + 0.1 * gradient).sign()
        expected -= 0.1 * (direction + 0.5 * expected)
        momentum = 0.99 * momentum + 0.01 * gradient
    torch.testing.assert_close(follow(optimizer, weight, gradients), expected)


def test_a_hypergradient_speeds_up_downhill_and_slows_down_in_a_zigzag():
    paces = []
    for gradients in (torch.ones(8, 3), torch.tensor([[1.0], [-1.0]]).repeat(4, 3)):
        weight = nn.Parameter(torch.zeros(3))
        optimizer = HypergradientAdamW([{"params": [weight], "weight_decay": 0.0}], lr=0.1, betas=(0.0, 0.9), hyper_rate=0.1)
        follow(optimizer, weight, gradients)
        paces.append(optimizer.param_groups[0]["pace"])
        assert optimizer.param_groups[0]["lr"] == 0.1
    # The cosine is 1 in the first case and -1 in the second, from the second step on.
    assert paces == pytest.approx([1.1**7, 0.9**7])


@pytest.mark.parametrize("shape_MN", [(64, 16), (16, 64), (32, 32)])
def test_muon_makes_updates_nearly_orthogonal(shape_MN):
    matrix_MN = torch.randn(shape_MN, generator=torch.Generator().manual_seed(0))
    left, singular_values, right = torch.linalg.svd(matrix_MN, full_matrices=False)
    update_MN = orthogonalise(matrix_MN)
    assert update_MN.shape == shape_MN
    values = torch.linalg.svdvals(update_MN)
    significant = values[singular_values > 0.05 * singular_values[0]]
    assert significant.min() > 0.6
    assert significant.max() < 1.3
    # The singular vectors stay: turned back by them, the update is diagonal.
    turned = left.mT @ update_MN @ right.mT
    torch.testing.assert_close(turned, torch.diag(turned.diagonal()), atol=1e-4, rtol=0)


def test_muon_moves_tall_matrices_further():
    tall, square = nn.Parameter(torch.zeros(64, 16)), nn.Parameter(torch.zeros(16, 16))
    hidden = {"params": [tall, square], "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0}
    optimizer = Muon(hidden, {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.1})
    tall.grad, square.grad = torch.eye(64, 16), torch.eye(16)
    optimizer.step()
    torch.testing.assert_close(tall[:16], 2 * square)


def test_muon_moves_everything_else_as_adam_does():
    vectors = [nn.Parameter(torch.ones(4)) for _ in range(2)]
    hidden = {"params": [nn.Parameter(torch.zeros(1, 1))], "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0}
    ours = Muon(hidden, {"params": [vectors[0]], "lr": 0.03})
    theirs = torch.optim.Adam([vectors[1]], lr=0.03, betas=muon.ADAM_BETAS)
    gradients = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(follow(ours, vectors[0], gradients), follow(theirs, vectors[1], gradients))


def test_muon_orthogonalises_the_hidden_matrices_only():
    config = config_of(optimizer="muon", lr=0.02, adam_lr_ratio=0.5, tied=False)
    model = lstm.build(config, 20)
    hidden, others = plugin("optimizer", "muon").build(config, model).param_groups
    assert {id(p) for p in hidden["params"]} == {id(model.body.kernel.weight_ih_l0), id(model.body.kernel.weight_hh_l0)}
    assert (hidden["lr"], others["lr"]) == (0.02, 0.01)
