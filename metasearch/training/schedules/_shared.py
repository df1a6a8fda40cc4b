"""What a schedule is, and the warm-up that all of them begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from metasearch.core.control import Schedule
from metasearch.core.space import Float

WARMUP = Float(0.0, 0.3, initial=0.05)
"""``warmup``: share of the horizon over which the factor rises linearly from 0."""

FINAL_FACTOR = Float(0.0, 0.3, initial=0.05)
"""``final_factor``: what is left of the learning rate at the horizon."""


@dataclass(frozen=True)
class WarmedUp:
    """Rises linearly to 1 over ``warmup``, then follows ``shape`` over the rest, stretched to [0, 1]."""

    warmup: float
    shape: Callable[[float], float]

    def __call__(self, progress: float, val_losses: Sequence[float]) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        return self.shape((progress - self.warmup) / (1.0 - self.warmup) if self.warmup < 1.0 else 0.0)


__all__ = ["FINAL_FACTOR", "WARMUP", "Schedule", "WarmedUp"]
