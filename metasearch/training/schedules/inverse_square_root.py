"""Decay with the inverse square root of the tokens seen, from the end of the warm-up on (Vaswani et al., 2017, section 5.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.training.schedules._shared import Schedule

SHORTEST_WARMUP = 0.005
"""The warm-up sets the time scale of the decay, so there has to be one, even in a sweep that sets it to 0."""

SPACE = Space.of(warmup=Float(SHORTEST_WARMUP, 0.3, initial=0.05))


def build(config: Mapping[str, Value]) -> Schedule:
    return InverseSquareRoot(max(float(config["warmup"]), SHORTEST_WARMUP))


@dataclass(frozen=True)
class InverseSquareRoot:
    warmup: float

    def __call__(self, progress: float, val_losses: Sequence[float]) -> float:
        return progress / self.warmup if progress < self.warmup else math.sqrt(self.warmup / progress)
