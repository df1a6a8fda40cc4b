"""Contracts of gradient clipping, and the values that the papers' formulas give."""

import pytest
import torch

from metasearch.models import lstm
from metasearch.training.clipping._shared import global_norm, gradients
from metasearch.training.clipping.adaptive import clip_units
from tests.training.trials import config_of, plugin, plugins

CLIPPINGS = plugins("clipping")
STRICT = {"clip_norm": 0.05, "clip_value": 1e-4, "clip_ratio": 1e-3, "clip_percentile": 1.0}
EARLIER_NORMS = torch.arange(1.0, 11.0)


def model_with_gradients(size=1.0):
    torch.manual_seed(0)
    model = lstm.build(config_of(model="lstm"), 20)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) * size
    return model


def clip(name, model, scale=1.0, **changes):
    """Applies a plug-in once; whether it clipped, and the gradients' norms before and after."""
    module = plugin("clipping", name)
    before = global_norm(gradients(model.parameters()))
    norms_N = torch.cat((EARLIER_NORMS, before[None]))
    clipped = module.build({**module.SPACE.default(), **changes}, model)(norms_N, scale)
    return bool(clipped), before, global_norm(gradients(model.parameters()))


@pytest.mark.parametrize("name", CLIPPINGS)
def test_a_strict_threshold_shortens_the_gradient_and_says_so(name):
    clipped, before, after = clip(name, model_with_gradients(), **STRICT)
    assert clipped == (name != "none")
    assert (after < before) == clipped


@pytest.mark.parametrize("name", CLIPPINGS)
def test_a_tiny_gradient_is_left_as_it_is(name):
    model = model_with_gradients(size=1e-9)
    originals = [p.grad.clone() for p in model.parameters()]
    clipped, _, _ = clip(name, model)
    assert not clipped
    assert all(torch.equal(p.grad, original) for p, original in zip(model.parameters(), originals, strict=True))


@pytest.mark.parametrize("name", sorted(set(CLIPPINGS) - {"none"}))
def test_the_scale_moves_the_threshold(name):
    lengths = [clip(name, model_with_gradients(), scale, **STRICT)[2] for scale in (1.0, 2.0)]
    assert lengths[0] < lengths[1]


@pytest.mark.parametrize("name", CLIPPINGS)
def test_a_gradient_that_is_not_finite_is_no_error(name):
    model = model_with_gradients()
    model.head.bias.grad[0] = torch.nan
    clip(name, model, **STRICT)


def test_norm_clips_as_torch_does():
    ours, theirs = model_with_gradients(), model_with_gradients()
    _, before, after = clip("norm", ours, clip_norm=0.7)
    torch.testing.assert_close(before, torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.7))
    assert after.item() == pytest.approx(0.7, rel=1e-4)
    torch.testing.assert_close(gradients(ours.parameters()), gradients(theirs.parameters()))


def test_value_holds_each_component_within_the_bound():
    model = model_with_gradients()
    expected = [g.clamp(-0.3, 0.3) for g in gradients(model.parameters())]
    clip("value", model, clip_value=0.3)
    torch.testing.assert_close(gradients(model.parameters()), expected)


def test_adaptive_clips_unit_by_unit_as_equation_3_says():
    weight = torch.tensor([[3.0, 4.0], [0.0, 0.0], [30.0, 40.0]])
    gradient = torch.tensor([[6.0, 8.0], [0.6, 0.8], [0.3, 0.4]])
    assert clip_units(weight, gradient, clip_ratio=0.1)
    # ‖W‖ = 5, 0 (raised to 1e-3) and 50: at most 0.5, 1e-4 and 5 are allowed.
    torch.testing.assert_close(gradient, torch.tensor([[0.3, 0.4], [0.6e-4, 0.8e-4], [0.3, 0.4]]))


def test_adaptive_leaves_the_head_alone():
    model = model_with_gradients()
    head, hidden = model.head.weight.grad.clone(), model.body.kernel.weight_hh_l0.grad.clone()
    clip("adaptive", model, clip_ratio=1e-3)
    assert torch.equal(model.head.weight.grad, head)
    assert not torch.equal(model.body.kernel.weight_hh_l0.grad, hidden)


def test_percentile_takes_the_threshold_from_the_norms_so_far():
    model = model_with_gradients()
    _, before, after = clip("percentile", model, clip_percentile=50.0)
    assert before > 10
    # The median of 1 … 10 and one larger norm.
    assert after.item() == pytest.approx(6.0, rel=1e-4)
