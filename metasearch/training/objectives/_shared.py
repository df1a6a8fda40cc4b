"""What an objective offers to the training loop, and how examples are put into batches.

Shapes: B rows, T tokens per row, N examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from metasearch.core.rng import derive
from metasearch.core.space import Int, Space
from metasearch.corpora import ExampleCorpus
from metasearch.models._language_model import LanguageModel, State
from metasearch.models._text_model import TextModel

SPACE = Space.of(batch_size=Int(8, 64, log=True, initial=16), context=Int(32, 512, log=True, initial=128))
"""Of examples. ``batch_size``: examples per step. ``context``: tokens of a text that are read; the rest is left out."""

GENEROUS = 4
"""An example is one prediction, or a few, however many tokens it has."""


@dataclass(frozen=True)
class Setting:
    """``rows``: texts read side by side. ``context``: tokens of a row per step. ``most_tokens``: read for one evaluation."""

    rows: int
    context: int
    seed: int
    most_tokens: int
    device: torch.device


@dataclass(frozen=True)
class Score:
    """``loss``: nats per prediction. ``others``: further metrics by name."""

    loss: float
    others: Mapping[str, float]


class Objective(Protocol):
    """A function of corpus, config and seed; where training stands is the number of tokens trained on.

    ``guess``: the loss of whoever knows nothing, in nats.
    """

    @property
    def rows(self) -> int: ...
    @property
    def tokens_per_step(self) -> int: ...
    @property
    def guess(self) -> float: ...

    def model(self, build: Callable[[], LanguageModel]) -> TextModel:
        """What is trained, made of as many language models as it takes."""
        ...

    def initial_state(self, model: TextModel) -> State:
        """What is carried from step to step, before the first."""
        ...

    def loss(self, model: TextModel, tokens: int, state: State) -> tuple[Tensor, State]:
        """The mean loss of the step that begins after ``tokens``, and the state for the next, detached."""
        ...

    def evaluate(self, model: TextModel) -> Score:
        """On the validation text, the same part of it every time. The model is left in evaluation mode."""
        ...


@dataclass
class Batches:
    """The training examples in an order that is drawn anew for each pass, ``rows`` at a time without end.

    A step counts for as many tokens as its texts have in the mean over all, so that the tokens trained on tell the step.
    """

    corpus: ExampleCorpus
    setting: Setting
    tokens_per_step: int
    _orders: dict[int, np.ndarray] = field(default_factory=dict)

    @staticmethod
    def of(corpus: ExampleCorpus, setting: Setting) -> Batches:
        sides = [texts["train"].lengths for texts in (corpus.inputs, corpus.outputs) if texts]
        mean = sum(float(np.minimum(lengths, setting.context).mean()) for lengths in sides)
        return Batches(corpus, setting, setting.rows * max(round(mean), 1))

    def numbers(self, tokens: int) -> np.ndarray:
        """Which examples the step that begins after ``tokens`` reads."""
        count = len(self.corpus.inputs["train"])
        place_B = tokens // self.tokens_per_step * self.setting.rows + np.arange(self.setting.rows)
        return np.array([self._order(place // count)[place % count] for place in place_B.tolist()])

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            self._orders = {number: order for number, order in self._orders.items() if number == epoch - 1}
            drawn = derive(self.setting.seed, "order", epoch).permutation(len(self.corpus.inputs["train"]))
            self._orders[epoch] = drawn
        return self._orders[epoch]

    def held_out(self) -> np.ndarray:
        """The validation examples that are read: the first, up to ``GENEROUS`` times the tokens of other tasks; at least one."""
        sides = [np.minimum(t["valid"].lengths, self.setting.context) for t in (self.corpus.inputs, self.corpus.outputs) if t]
        fits = int(np.searchsorted(np.cumsum(np.sum(sides, axis=0)), GENEROUS * self.setting.most_tokens, side="right"))
        return np.arange(max(fits, 1))


def tensors(device: torch.device, *arrays: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(np.asarray(array, dtype=np.int64)).to(device) for array in arrays]
