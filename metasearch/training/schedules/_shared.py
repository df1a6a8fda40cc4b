"""What a schedule is, and the warm-up that all of them begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from metasearch.core.space import Float

WARMUP = Float(0.0, 0.3, initial=0.05)
"""``warmup``: share of the horizon over which the factor rises linearly from 0."""

FINAL_FACTOR = Float(0.0, 0.3, initial=0.05)
"""``final_factor``: what is left of the learning rate at the horizon."""


class Schedule(Protocol):
    """The factor on the learning rate at ``progress`` (tokens / horizon, in [0, 1]), given the validation losses so far.

    A pure function of what happened: there is nothing to save or to restore.
    """

    def __call__(self, progress: float, val_losses: Sequence[float]) -> float: ...


@dataclass(frozen=True)
class WarmedUp:
    """Rises linearly to 1 over ``warmup``, then follows ``shape`` over the rest, stretched to [0, 1]."""

    warmup: float
    shape: Callable[[float], float]

    def __call__(self, progress: float, val_losses: Sequence[float]) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        return self.shape((progress - self.warmup) / (1.0 - self.warmup) if self.warmup < 1.0 else 0.0)
