"""What a validation loss means."""

import math

import numpy as np
import pytest
import torch

from metasearch.models import gru
from metasearch.models._language_model import LanguageModel
from metasearch.training.evaluation import bits_per_byte, exploded, parameter_count, validation_loss
from tests.training.trials import CORPUS, CPU, config_of


@pytest.fixture
def model():
    torch.manual_seed(0)
    return gru.build(config_of(model="gru", dropout=0.3), CORPUS.vocab_size)


def test_a_uniform_guess_over_bytes_costs_8_bits_per_byte():
    assert bits_per_byte(math.log(256), tokens=1000, text_bytes=1000) == pytest.approx(8.0)


def test_bits_per_byte_do_not_depend_on_how_text_is_cut_into_tokens():
    whole_words, letters = bits_per_byte(6.0, tokens=100, text_bytes=500), bits_per_byte(1.2, tokens=500, text_bytes=500)
    assert whole_words == pytest.approx(letters)


def test_the_loss_of_a_model_with_memory_does_not_depend_on_how_much_is_read_at_once(model):
    losses = [validation_loss(model, CORPUS.valid, context=c, most_tokens=1000, device=CPU) for c in (7, 32, 500)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] == pytest.approx(losses[2], rel=1e-6)


def test_the_same_weights_always_get_the_same_loss(model):
    losses = {validation_loss(model.train(), CORPUS.valid, context=32, most_tokens=500, device=CPU) for _ in range(2)}
    assert len(losses) == 1


class Remembering(torch.nn.Module):
    """A uniform guess that notes which tokens it was asked about."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def initial_state(self, batch):
        return ()

    def forward(self, tokens_BT, state):
        self.seen += tokens_BT.flatten().tolist()
        return torch.zeros(*tokens_BT.shape, 5), state


@pytest.mark.parametrize(("length", "most_tokens"), [(2, 100), (10, 100), (17, 16), (100, 16), (1000, 33), (1000, 5000)])
def test_no_more_tokens_are_read_than_allowed_and_no_fewer_than_the_rows_can_share(length, most_tokens):
    model: LanguageModel = Remembering()
    loss = validation_loss(model, np.arange(length) % 5, context=3, most_tokens=most_tokens, device=CPU)
    assert loss == pytest.approx(math.log(5))
    allowed = min(most_tokens, length - 1)
    assert allowed - 16 < len(model.seen) <= allowed


@pytest.mark.parametrize(("loss", "answer"), [(5.5, False), (17.0, False), (18.0, True), (math.nan, True), (math.inf, True)])
def test_a_loss_far_above_a_uniform_guess_or_not_finite_is_an_explosion(loss, answer):
    assert exploded(loss, math.log(256)) is answer


def test_a_tied_matrix_counts_once():
    tied, untied = (gru.build(config_of(model="gru", tied=tied), 128) for tied in (True, False))
    assert parameter_count(untied) - parameter_count(tied) == 128 * 32
