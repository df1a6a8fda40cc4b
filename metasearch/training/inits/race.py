"""Every other initialisation starts, the best few train a little, and the one with the lowest loss is taken.

It pays before training begins, on the training text only: all are measured, then the ``FINALISTS`` best are trained for ``STEPS``
steps by Adam. That is about the work of 60 steps of a batch of 8 rows, and no tokens of the budget.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch

from metasearch.core.config import Value
from metasearch.core.space import Space
from metasearch.models._language_model import LanguageModel
from metasearch.training.corpus import Stream, TokenizedCorpus
from metasearch.training.evaluation import cross_entropy, validation_loss
from metasearch.training.inits import default, meta, nearest, pooled, reptile, unigram
from metasearch.training.inits._shared import Initialisation, structure_of, take

SPACE = Space.of()

PLAIN, LEARNED = (default, unigram), (pooled, nearest, reptile, meta)
FINALISTS, STEPS = 3, 20
ROWS, LENGTH, RATE = 8, 64, 3e-3
MEASURED_TOKENS = 2048


def build(config: Mapping[str, Value]) -> Initialisation:
    runners = PLAIN if structure_of(config) is None else PLAIN + LEARNED

    def initialise(model: LanguageModel, corpus: TokenizedCorpus) -> None:
        starts = []
        for runner in runners:
            start = copy.deepcopy(model)
            runner.build(config)(start, corpus)
            starts.append(start)
        finalists = sorted(starts, key=lambda start: _loss(start, corpus))[:FINALISTS]
        best = min(finalists, key=lambda start: _loss(_trained(start, corpus), corpus))
        take(model, {name: value.detach() for name, value in best.named_parameters()})

    return initialise


def _loss(model: LanguageModel, corpus: TokenizedCorpus) -> float:
    """On the end of the training text: the validation text stays unseen."""
    return validation_loss(
        model, corpus.train[-(MEASURED_TOKENS + 1) :], context=LENGTH, most_tokens=MEASURED_TOKENS, device=torch.device("cpu")
    )


def _trained(start: LanguageModel, corpus: TokenizedCorpus) -> LanguageModel:
    model = copy.deepcopy(start).train()
    stream, state = Stream(corpus.train, ROWS), model.initial_state(ROWS)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for step in range(STEPS):
        inputs_BT, targets_BT = stream.read(step * LENGTH, LENGTH)
        logits_BTV, state = model(inputs_BT, state)
        state = tuple(tensor.detach() for tensor in state)
        optimizer.zero_grad()
        cross_entropy(logits_BTV, targets_BT).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model
