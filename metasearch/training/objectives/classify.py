"""Examples of classes: predict the label of a text."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metasearch.corpora import ExampleCorpus
from metasearch.models._assembled import assembled
from metasearch.models._language_model import LanguageModel, State
from metasearch.models._text_model import TextModel
from metasearch.training.objectives._shared import Batches, Score, Setting, tensors

AT_ONCE = 64


class Classify:
    def __init__(self, corpus: ExampleCorpus, setting: Setting) -> None:
        self.corpus, self.setting, self._batches = corpus, setting, Batches.of(corpus, setting)
        self.guess = math.log(len(corpus.classes))
        self.rows, self.tokens_per_step = setting.rows, self._batches.tokens_per_step

    def model(self, build: Callable[[], LanguageModel]) -> TextModel:
        return assembled(self.corpus.kind, build, self.corpus.vocab_size, len(self.corpus.classes))

    def initial_state(self, model: TextModel) -> State:
        return ()

    def loss(self, model: TextModel, tokens: int, state: State) -> tuple[Tensor, State]:
        logits_BC, labels_B = self._read(model, "train", self._batches.numbers(tokens))
        return functional.cross_entropy(logits_BC, labels_B), state

    @torch.no_grad()
    def evaluate(self, model: TextModel) -> Score:
        """``accuracy``, and ``macro_f1``: the mean of the classes' F1; a class that is neither there nor predicted has none."""
        model.eval()
        nats, parts = 0.0, []
        numbers_N = self._batches.held_out()
        for begin in range(0, len(numbers_N), AT_ONCE):
            logits_BC, labels_B = self._read(model, "valid", numbers_N[begin : begin + AT_ONCE])
            nats += functional.cross_entropy(logits_BC.double(), labels_B, reduction="sum").item()
            parts.append(torch.stack([logits_BC.argmax(-1), labels_B]).cpu().numpy())
        told_N, truth_N = np.concatenate(parts, axis=1)
        return Score(nats / len(numbers_N), {"accuracy": float((told_N == truth_N).mean()), "macro_f1": macro_f1(told_N, truth_N)})

    def _read(self, model: TextModel, split: str, numbers_B: np.ndarray) -> tuple[Tensor, Tensor]:
        """Logits (B, C) and labels (B,)."""
        tokens_BT, lengths_B = self.corpus.inputs[split].padded(numbers_B, self.setting.context)
        device = self.setting.device
        tokens, lengths, labels = tensors(device, tokens_BT, lengths_B, self.corpus.labels[split][numbers_B])
        return model(tokens, lengths), labels


def macro_f1(told_N: np.ndarray, truth_N: np.ndarray) -> float:
    """
    >>> macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1]))
    0.6666666666666666
    """
    classes = np.union1d(told_N, truth_N)
    right = np.array([((told_N == c) & (truth_N == c)).sum() for c in classes])
    named = np.array([(told_N == c).sum() + (truth_N == c).sum() for c in classes])
    return float((2 * right / named).mean())
