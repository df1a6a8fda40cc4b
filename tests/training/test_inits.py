"""Where training starts: statistics of the text, or weights that the meta-network learned."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from metasearch.training.evaluation import validation_loss
from metasearch.training.inits import race
from tests.training.trials import CORPUS, CPU, config_of, finish, plugin, plugins, trainer

INITS = plugins("init")
LEARNED = ("meta", "nearest", "pooled", "reptile")
RECURRENT = [("lstm", 2, 48, True), ("gru", 1, 96, False)]


def started(init, seed=0, corpus=CORPUS, **changes):
    return trainer(seed=seed, corpus=corpus, init=init, **changes).model


def loss_of(model, corpus=CORPUS):
    return validation_loss(model, corpus.valid, context=32, most_tokens=2048, device=CPU)


@pytest.mark.parametrize("init", INITS)
def test_a_trial_is_the_same_twice_and_learns(init):
    one, other = finish(trainer(init=init, tokens=4096, reports=2)), finish(trainer(init=init, tokens=4096, reports=2))
    assert one == other
    assert one[1]["val_loss"] < loss_of(started(init))


@pytest.mark.parametrize("model", plugins("model"))
def test_with_the_unigram_bias_a_model_begins_near_the_entropy_of_single_tokens(model):
    share_V = np.bincount(CORPUS.train, minlength=CORPUS.vocab_size) / len(CORPUS.train)
    entropy = -(share_V * np.log(np.maximum(share_V, 1e-12))).sum()
    unigram, default = (
        np.mean([loss_of(started(init, seed, model=model)) for seed in range(3)]) for init in ("unigram", "default")
    )
    assert entropy - 0.1 < unigram < entropy + 1.25 < default


@pytest.mark.parametrize(("model", "depth", "width", "tied"), RECURRENT)
def test_learned_weights_begin_below_the_unigram_bias_on_text_like_the_sources(model, depth, width, tied):
    structure = {"model": model, "depth": depth, "width": width, "tied": tied}
    losses = {init: loss_of(started(init, **structure)) for init in ("unigram", *LEARNED)}
    assert all(losses[init] < losses["unigram"] - 0.1 for init in ("meta", "pooled")), losses


def test_a_model_that_the_network_knows_nothing_of_gets_the_unigram_bias():
    for changes in ({"model": "transformer"}, {"model": "lstm", "width": 24}):
        plain, learned = (started(init, **changes).state_dict() for init in ("unigram", "meta"))
        assert all(torch.equal(plain[name], learned[name]) for name in plain)


def test_a_vocabulary_that_is_not_bytes_gets_weights_too():
    spellings = (b"", *(bytes([byte]) for byte in range(1, 126)), b"self.", b"def ")
    model = started("meta", corpus=replace(CORPUS, spellings=spellings), width=40)
    assert np.isfinite(loss_of(model))


def test_a_race_takes_one_of_the_starts_as_it_was_before_it_was_tried():
    config = config_of(init="race")
    with torch.random.fork_rng():
        fresh = plugin("model", "lstm").build(config, CORPUS.vocab_size)
        torch.manual_seed(0)
        won = copy.deepcopy(fresh)
        race.build(config)(won, CORPUS)
    candidates = []
    for runner in race.PLAIN + race.LEARNED:
        candidates.append(copy.deepcopy(fresh))
        runner.build(config)(candidates[-1], CORPUS)
    assert any(all(torch.equal(a, b) for a, b in zip(won.parameters(), c.parameters(), strict=True)) for c in candidates)
    assert loss_of(won) < loss_of(fresh)
