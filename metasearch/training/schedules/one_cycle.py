"""One cycle (Smith and Topin, 2018): half a cosine up over ``warmup``, half a cosine down to next to nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.training.schedules._shared import Schedule

SPACE = Space.of(warmup=Float(0.1, 0.5, initial=0.3))

START_FACTOR = 1 / 25
END_FACTOR = 1e-5


def build(config: Mapping[str, Value]) -> Schedule:
    return OneCycle(float(config["warmup"]))


@dataclass(frozen=True)
class OneCycle:
    warmup: float

    def __call__(self, progress: float, val_losses: Sequence[float]) -> float:
        if progress < self.warmup:
            return half_cosine(START_FACTOR, 1.0, progress / self.warmup)
        return half_cosine(1.0, END_FACTOR, (progress - self.warmup) / (1.0 - self.warmup))


def half_cosine(start: float, end: float, share: float) -> float:
    """From ``start`` at share 0 to ``end`` at share 1, flat at both."""
    return end + 0.5 * (start - end) * (1.0 + math.cos(math.pi * share))
