"""Text from a model, token by token.

Shapes: B = 1 row, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metasearch.core.errors import UserError
from metasearch.models._language_model import LanguageModel


@dataclass(frozen=True)
class Sampling:
    """``temperature``: divides the logits; 0 always takes the likeliest token. ``top_k``: only so many of the
    likeliest; all if None.

    Raises UserError with every number that does not work.
    """

    temperature: float = 1.0
    top_k: int | None = None

    def __post_init__(self) -> None:
        faults = []
        if not 0.0 <= self.temperature < float("inf"):
            faults.append(f"the temperature must be a number from 0 up, found {self.temperature:g}")
        if self.top_k is not None and self.top_k < 1:
            faults.append(f"top k must be at least 1, found {self.top_k}")
        if faults:
            raise UserError("Text cannot be drawn so:", faults)

    def draw(self, logits_V: Tensor, generator: torch.Generator) -> int:
        """One token."""
        if self.temperature == 0.0:
            return int(logits_V.argmax())
        if self.top_k is not None and self.top_k < len(logits_V):
            least = logits_V.topk(self.top_k).values[-1]
            logits_V = logits_V.masked_fill(logits_V < least, float("-inf"))
        return int(torch.multinomial((logits_V / self.temperature).softmax(0), 1, generator=generator))


@torch.no_grad()
def continuation(model: LanguageModel, prompt: Sequence[int], *, context: int, sampling: Sampling, seed: int) -> Iterator[int]:
    """Tokens that follow ``prompt``, which has at least one, for ever. The model is left in evaluation mode.

    A model that carries state reads each token once; one that remembers nothing between calls reads the last ``context`` tokens
    each time: positions beyond those it was trained on mean nothing to it.
    """
    assert len(prompt) > 0, "a model predicts what follows at least one token"
    model.eval()
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    state, known, unread = model.initial_state(1), list(prompt), list(prompt)
    while True:
        if not state:
            unread = known[-context:]
        logits_BTV, state = model(torch.tensor([unread], device=device), state)
        unread = [sampling.draw(logits_BTV[0, -1].cpu(), generator)]
        known.append(unread[0])
        yield unread[0]
