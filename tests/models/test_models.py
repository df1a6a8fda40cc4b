"""Contracts of a base model. A new file in metasearch/models is tested by being there."""

import math
import pkgutil
from importlib import import_module

import numpy as np
import pytest
import torch

import metasearch.models
from metasearch.core.errors import UserError
from metasearch.models import lstm, transformer
from metasearch.training.evaluation import cross_entropy

MODELS = [m.name for m in pkgutil.iter_modules(metasearch.models.__path__) if not m.name.startswith("_")]
VOCAB_SIZE = 50


def build(name, vocab_size=VOCAB_SIZE, **changes):
    plugin = import_module(f"metasearch.models.{name}")
    torch.manual_seed(0)
    return plugin.build({**plugin.SPACE.default(), "width": 32, **changes}, vocab_size).eval()


def tokens(rows, length):
    return torch.randint(VOCAB_SIZE, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=MODELS)
def model(request):
    return build(request.param)


def test_a_later_token_never_changes_an_earlier_logit(model):
    tokens_BT = tokens(2, 12)
    changed_BT = tokens_BT.clone()
    changed_BT[:, 7] = (changed_BT[:, 7] + 1) % VOCAB_SIZE
    logits_BTV, _ = model(tokens_BT, model.initial_state(2))
    others_BTV, _ = model(changed_BT, model.initial_state(2))
    assert torch.equal(logits_BTV[:, :7], others_BTV[:, :7])
    assert not torch.allclose(logits_BTV[:, 7:], others_BTV[:, 7:])


def test_rows_do_not_see_each_other(model):
    tokens_BT = tokens(3, 8)
    together_BTV, _ = model(tokens_BT, model.initial_state(3))
    alone_BTV, _ = model(tokens_BT[1:2], model.initial_state(1))
    torch.testing.assert_close(together_BTV[1:2], alone_BTV)


def test_carried_state_gives_the_logits_of_one_long_pass(model):
    if not model.initial_state(1):
        pytest.skip("this model remembers nothing from one call to the next")
    tokens_BT = tokens(2, 15)
    whole_BTV, _ = model(tokens_BT, model.initial_state(2))
    first_BTV, state = model(tokens_BT[:, :6], model.initial_state(2))
    second_BTV, _ = model(tokens_BT[:, 6:], state)
    torch.testing.assert_close(torch.cat((first_BTV, second_BTV), dim=1), whole_BTV)


def test_an_untrained_model_is_close_to_a_uniform_guess(model):
    tokens_BT = tokens(8, 33)
    logits_BTV, _ = model(tokens_BT[:, :-1], model.initial_state(8))
    assert cross_entropy(logits_BTV, tokens_BT[:, 1:]).item() == pytest.approx(math.log(VOCAB_SIZE), abs=1.3)


def test_the_gradient_reaches_every_parameter(model):
    logits_BTV, _ = model(tokens(2, 8), model.initial_state(2))
    logits_BTV.logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_every_config_of_the_space_builds_and_predicts(name):
    space = import_module(f"metasearch.models.{name}").SPACE
    for draw in range(6):
        config = space.sample(np.random.default_rng(draw))
        model = build(name, **config.replace(width=min(int(config["width"]), 64 + draw)))
        logits_BTV, state = model(tokens(2, 4), model.initial_state(2))
        assert logits_BTV.shape == (2, 4, VOCAB_SIZE)
        assert torch.isfinite(logits_BTV).all()
        assert [t.shape for t in state] == [t.shape for t in model.initial_state(2)]


@pytest.mark.parametrize("name", MODELS)
def test_dropout_acts_in_training_only(name):
    model = build(name, dropout=0.5, embedding_dropout=0.5)
    evaluated = [model(tokens(1, 4), model.initial_state(1))[0] for _ in range(2)]
    model.train()
    trained = [model(tokens(1, 4), model.initial_state(1))[0] for _ in range(2)]
    assert torch.equal(*evaluated)
    assert not torch.equal(*trained)


@pytest.mark.parametrize("name", MODELS)
def test_a_tied_head_saves_one_matrix(name):
    counts = [sum(p.numel() for p in build(name, tied=tied).parameters()) for tied in (True, False)]
    assert counts[1] - counts[0] == VOCAB_SIZE * 32


@pytest.mark.parametrize("name", MODELS)
def test_an_empty_vocabulary_is_refused_with_a_remedy(name):
    with pytest.raises(UserError, match=r"at least 1 token, found 0\. Is the corpus empty\?"):
        build(name, vocab_size=0)


def test_the_forget_gate_of_every_layer_begins_at_its_bias():
    model = build("lstm", depth=2, forget_bias=1.5)
    for layer in range(2):
        bias = model.body.kernel.get_parameter(f"bias_ih_l{layer}") + model.body.kernel.get_parameter(f"bias_hh_l{layer}")
        assert torch.all(bias[32:64] == 1.5)
        assert not torch.any(bias[:32] == 1.5)
    assert lstm.SPACE.default()["forget_bias"] == 1.0


def test_a_transformer_takes_any_width_with_any_number_of_heads():
    assert build("transformer", width=33, heads=8).embedding.embedding_dim == 48
    assert build("transformer", width=64, heads=8).embedding.embedding_dim == 64


def test_both_feed_forward_layers_have_about_the_same_number_of_parameters():
    counts = [sum(p.numel() for p in layer(96).parameters()) for layer in (transformer.GELU, transformer.SwiGLU)]
    assert counts[0] == pytest.approx(counts[1], rel=0.05)


def test_rotary_attention_depends_on_the_distance_of_two_positions_only():
    query_D, key_D = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    turn_TD = transformer.rotary_angles(20, 8, torch.device("cpu"))
    queries_BHTD, keys_BHTD = (transformer.rotate(v.expand(1, 1, 20, 8), turn_TD) for v in (query_D, key_D))
    scores_TT = (queries_BHTD @ keys_BHTD.mT)[0, 0]
    torch.testing.assert_close(scores_TT[5, 2], scores_TT[17, 14])
    assert not torch.allclose(scores_TT[5, 2], scores_TT[5, 1])
