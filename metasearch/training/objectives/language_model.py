"""Text that runs on: predict each next token, by truncated backpropagation through time with carried state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

from torch import Tensor

from metasearch.core.space import Int, Space
from metasearch.models._language_model import LanguageModel, State
from metasearch.models._text_model import TextModel
from metasearch.training.corpus import Stream, TokenizedCorpus, check_corpus
from metasearch.training.evaluation import bits_per_byte, cross_entropy, validation_loss
from metasearch.training.objectives._shared import Score, Setting

SPACE = Space.of(batch_size=Int(8, 64, log=True, initial=16), context=Int(32, 128, log=True, initial=64))
"""``batch_size``: rows read side by side. ``context``: tokens of a row per step, through which gradients flow."""


class Continue:
    """Raises UserError if the corpus is too small."""

    def __init__(self, corpus: TokenizedCorpus, setting: Setting) -> None:
        check_corpus(corpus)
        self.corpus, self.setting = corpus, setting
        self.guess = math.log(corpus.vocab_size)
        self._stream = Stream(corpus.train, setting.rows)
        self.rows, self.tokens_per_step = setting.rows, setting.rows * setting.context

    def model(self, build: Callable[[], LanguageModel]) -> TextModel:
        return build()

    def initial_state(self, model: TextModel) -> State:
        return cast(LanguageModel, model).initial_state(self.rows)

    def loss(self, model: TextModel, tokens: int, state: State) -> tuple[Tensor, State]:
        inputs_BT, targets_BT = self._stream.read(tokens // self.rows, self.setting.context)
        logits_BTV, state = model(inputs_BT.to(self.setting.device), state)
        state = tuple(tensor.detach() for tensor in state)
        return cross_entropy(logits_BTV, targets_BT.to(self.setting.device)), state

    def evaluate(self, model: TextModel) -> Score:
        """``val_bpb``: bits per byte."""
        corpus, setting = self.corpus, self.setting
        whole = cast(LanguageModel, model)
        most = setting.most_tokens
        loss = validation_loss(whole, corpus.valid, context=setting.context, most_tokens=most, device=setting.device)
        return Score(loss, {"val_bpb": bits_per_byte(loss, len(corpus.valid), corpus.valid_bytes)})
