"""What the optimizers share: parameters of one meaning, and which weights decay."""

from __future__ import annotations

from typing import Any

from torch import nn

from metasearch.core.space import Float
from metasearch.models._text_model import TextModel

BETA1 = Float(0.5, 0.98, complement=True, initial=0.9)
BETA2 = Float(0.9, 0.9999, complement=True, initial=0.99)
MOMENTUM = Float(0.5, 0.99, complement=True, initial=0.9)

WEIGHT_DECAY = Float(1e-4, 1.0, log=True, initial=0.01)
"""Decoupled decay, multiplied by the learning rate (Loshchilov and Hutter, 2019)."""

L2_PENALTY = Float(1e-8, 1e-2, log=True, initial=1e-6)
"""``weight_decay`` of the optimizers that add it to the gradient."""


def decay_groups(model: TextModel, weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups: matrices decay; vectors and the embedding do not.

    Decay shrinks the rows of rare tokens, which get next to no gradient to hold against it.
    """
    decaying = [p for p in model.parameters() if decays(model, p)]
    others = [p for p in model.parameters() if not decays(model, p)]
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def decays(model: TextModel, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and parameter is not model.embedding.weight
