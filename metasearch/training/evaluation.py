"""How good a model is on text it was not trained on.

Shapes: B rows, T tokens per row, V vocabulary.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metasearch.models._language_model import LanguageModel
from metasearch.training.corpus import Tokens

ROWS = 16
"""Stretches of the validation text that are read side by side; the same for every config, as each begins without memory."""


@torch.no_grad()
def validation_loss(model: LanguageModel, valid: Tokens, *, context: int, most_tokens: int, device: torch.device) -> float:
    """Mean nats per token over at most ``most_tokens`` tokens in stretches at equal distances, with carried state.

    Every model predicts the same tokens, whatever its ``context``: that only sets how much is read at once.
    The model is left in evaluation mode.
    """
    model.eval()
    targets = len(valid) - 1
    rows = min(ROWS, targets, most_tokens)
    length = min(targets, most_tokens) // rows
    start_B1 = (np.arange(rows) * (targets // rows))[:, None]
    text_BT = torch.from_numpy(valid[start_B1 + np.arange(length + 1)].astype(np.int64)).to(device)
    state = model.initial_state(rows)
    nats = torch.zeros((), dtype=torch.float64, device=device)
    for begin in range(0, length, context):
        end = min(begin + context, length)
        logits_BTV, state = model(text_BT[:, begin:end], state)
        nats += cross_entropy(logits_BTV, text_BT[:, begin + 1 : end + 1], reduction="sum")
    return nats.item() / (rows * length)


def cross_entropy(logits_BTV: Tensor, targets_BT: Tensor, reduction: str = "mean") -> Tensor:
    """Nats, per token or in all, 0-d."""
    return functional.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction=reduction)


def bits_per_byte(nats_per_token: float, tokens: int, text_bytes: int) -> float:
    """Loss in a unit that does not depend on the tokenizer: ``tokens`` tokens stand for ``text_bytes`` bytes of UTF-8."""
    return nats_per_token / math.log(2) * tokens / text_bytes


def exploded(loss: float, guess: float) -> bool:
    """Is a loss not finite, or above three times that of a uniform ``guess`` and 1? The nat makes room for easy guesses."""
    return not math.isfinite(loss) or loss > 3.0 * guess + 1.0


def parameter_count(model: nn.Module) -> int:
    """Trainable numbers; a matrix that is used twice counts once."""
    return sum(p.numel() for p in model.parameters())
