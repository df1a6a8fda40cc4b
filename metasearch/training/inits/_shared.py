"""What initialisations have in common: unigram statistics, and weights made by the meta-network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from metasearch.core.config import Value
from metasearch.core.errors import UserError
from metasearch.meta._hypernetwork import GATES
from metasearch.meta.network import Structure, TextTask, Vocabulary, shipped
from metasearch.models._language_model import LanguageModel
from metasearch.training.corpus import TokenizedCorpus, sampled_text, token_counts

Initialisation = Callable[[LanguageModel, TokenizedCorpus], None]
"""What is done to a fresh model before training, in place; torch's generator is seeded when it is called."""

SAMPLED_TOKENS = 1 << 16


@torch.no_grad()
def set_unigram_bias(model: LanguageModel, corpus: TokenizedCorpus) -> None:
    model.head.bias.copy_(torch.from_numpy(vocabulary_of(corpus).log_unigram))


def generated(config: Mapping[str, Value], start: str) -> Initialisation:
    """Weights from the meta-network by one of its starts. A Transformer or a structure outside its range gets the unigram bias."""
    structure = structure_of(config)
    if structure is None:
        return set_unigram_bias

    def initialise(model: LanguageModel, corpus: TokenizedCorpus) -> None:
        seed = int(torch.randint(1 << 31, ()).item())
        take(model, shipped().weights(text_task(corpus), structure, start, vocabulary_of(corpus), seed))

    return initialise


def structure_of(config: Mapping[str, Value]) -> Structure | None:
    """The structure of a config, or None if the meta-network knows no weights for it."""
    if config["model"] not in GATES:
        return None
    try:
        return Structure(str(config["model"]), int(config["depth"]), int(config["width"]), bool(config["tied"]))
    except UserError:
        return None


def vocabulary_of(corpus: TokenizedCorpus) -> Vocabulary:
    return Vocabulary(corpus.spellings, token_counts(corpus))


def text_task(corpus: TokenizedCorpus) -> TextTask:
    """The corpus as the meta-network reads it: bytes. Raises UserError if they are too few, or all the same."""
    return TextTask(corpus.name, sampled_text(corpus, SAMPLED_TOKENS), corpus.descriptor)


@torch.no_grad()
def take(model: LanguageModel, weights: Mapping[str, Tensor]) -> None:
    """The model's parameters become ``weights``, which are all of them."""
    own = dict(model.named_parameters())
    assert own.keys() == weights.keys(), f"weights of another model: {own.keys() ^ weights.keys()}"
    for name, parameter in own.items():
        parameter.copy_(weights[name])
