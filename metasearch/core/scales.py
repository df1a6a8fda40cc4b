"""What the numbers of a parameter mean: the fixed scale on which two values are compared, in every sweep alike."""

from __future__ import annotations

import math
from enum import Enum


class Scale(Enum):
    """``log``: decades matter. ``complement``: the distance from one matters (momentum, beta2), as -log10(1 - x)."""

    LINEAR = "linear"
    LOG = "log"
    COMPLEMENT = "complement"

    def encode(self, number: float) -> float:
        if self is Scale.LOG:
            return math.log10(max(number, 1e-300))
        return -math.log10(max(1.0 - number, 1e-12)) if self is Scale.COMPLEMENT else number

    def decode(self, code: float) -> float:
        if self is Scale.LOG:
            return math.pow(10.0, code)
        return 1.0 - math.pow(10.0, -code) if self is Scale.COMPLEMENT else code


LEARNING_RATES = ("lr", "learning_rate", "initial_lr", "base_lr", "peak_lr", "max_lr", "learning_rate_init")
"""What a learning rate is called."""

MEANING: dict[str, Scale] = {
    **dict.fromkeys((*LEARNING_RATES, "weight_decay", "l1", "l2", "eps", "epsilon", "batch_size"), Scale.LOG),
    **dict.fromkeys(("width", "embedding_width", "context", "clip_norm", "clip_value", "clip_ratio", "init_gain"), Scale.LOG),
    **dict.fromkeys(("momentum", "beta1", "beta2", "beta3"), Scale.COMPLEMENT),
}
"""Scales of the field's standard parameters. They hold however a sweep spells the range, pinned values included."""
