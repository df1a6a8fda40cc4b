"""Examples of translations: predict each next token of the target, given the source and what came before.

Shapes: B pairs, S tokens of the source, T of the target.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metasearch.corpora import ExampleCorpus
from metasearch.models._assembled import assembled
from metasearch.models._language_model import LanguageModel, State
from metasearch.models._text_model import TextModel
from metasearch.models._translator import Memory, Translator
from metasearch.training.objectives._shared import Batches, Score, Setting, tensors

AT_ONCE = 32
MOST_TRANSLATED = 64
"""So many validation sources are translated for BLEU; of all that are read the loss is measured."""

NOT_COUNTED = -100


class Translate:
    def __init__(self, corpus: ExampleCorpus, setting: Setting) -> None:
        import sacrebleu

        self._bleu = sacrebleu.corpus_bleu
        self.corpus, self.setting, self._batches = corpus, setting, Batches.of(corpus, setting)
        self.guess = math.log(corpus.vocab_size)
        self.rows, self.tokens_per_step = setting.rows, self._batches.tokens_per_step
        self._first, self._last = corpus.vocab_size - 2, corpus.vocab_size - 1

    def model(self, build: Callable[[], LanguageModel]) -> TextModel:
        return assembled(self.corpus.kind, build, self.corpus.vocab_size)

    def initial_state(self, model: TextModel) -> State:
        return ()

    def loss(self, model: TextModel, tokens: int, state: State) -> tuple[Tensor, State]:
        return self._lost(cast(Translator, model), "train", self._batches.numbers(tokens), "mean")[0], state

    @torch.no_grad()
    def evaluate(self, model: TextModel) -> Score:
        """``bleu``: of greedy translations, by sacrebleu's own tokenizer (Post, 2018)."""
        model.eval()
        translator, numbers_N = cast(Translator, model), self._batches.held_out()
        nats, predicted = 0.0, 0
        for begin in range(0, len(numbers_N), AT_ONCE):
            lost, counted = self._lost(translator, "valid", numbers_N[begin : begin + AT_ONCE], "sum")
            nats, predicted = nats + lost.item(), predicted + counted
        told = [text for begin in range(0, min(len(numbers_N), MOST_TRANSLATED), AT_ONCE) for text in self._told(translator, begin)]
        truth = [self._wanted(number) for number in range(len(told))]
        return Score(nats / predicted, {"bleu": float(self._bleu(told, [truth]).score)})

    def _lost(self, model: Translator, split: str, numbers_B: np.ndarray, reduction: str) -> tuple[Tensor, int]:
        """The loss of the targets' tokens and of their ends, and how many these are."""
        memory = self._read(model, split, numbers_B)
        written_BT, lengths_B = self.corpus.outputs[split].padded(numbers_B, self.setting.context)
        place_BT = np.arange(written_BT.shape[1] + 1)[None]
        behind_BT = np.pad(written_BT, ((0, 0), (0, 1)))
        wanted_BT = np.where(place_BT < lengths_B[:, None], behind_BT, NOT_COUNTED)
        wanted_BT[np.arange(len(numbers_B)), lengths_B] = self._last
        given_BT = np.pad(written_BT, ((0, 0), (1, 0)), constant_values=self._first)
        given, wanted = tensors(self.setting.device, given_BT, wanted_BT)
        logits_BTV, _ = model(given, memory, model.initial_state(len(numbers_B)))
        lost = functional.cross_entropy(logits_BTV.flatten(0, 1), wanted.flatten(), ignore_index=NOT_COUNTED, reduction=reduction)
        return lost, int((wanted_BT != NOT_COUNTED).sum())

    def _read(self, model: Translator, split: str, numbers_B: np.ndarray) -> Memory:
        source_BS, lengths_B = self.corpus.inputs[split].padded(numbers_B, self.setting.context)
        return model.encode(*tensors(self.setting.device, source_BS, lengths_B))

    def _told(self, model: Translator, begin: int) -> list[str]:
        numbers_B = np.arange(begin, min(begin + AT_ONCE, len(self.corpus.inputs["valid"]), MOST_TRANSLATED))
        memory = self._read(model, "valid", numbers_B)
        longest = int(np.minimum(self.corpus.outputs["valid"].lengths, self.setting.context).max())
        found = model.translate(memory, self._last, longest)
        known = self.corpus.tokenizer.vocab_size
        return [self.corpus.tokenizer.decode(np.array([i for i in ids if i < known], dtype=np.int64)) for ids in found]

    def _wanted(self, number: int) -> str:
        """The target of a validation example, as far as it is read."""
        tokens_BT, lengths_B = self.corpus.outputs["valid"].padded(np.array([number]), self.setting.context)
        return self.corpus.tokenizer.decode(tokens_BT[0, : lengths_B[0]])
