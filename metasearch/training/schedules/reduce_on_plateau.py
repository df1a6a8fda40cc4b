"""The learning rate falls by ``reduction`` whenever the validation loss has not improved for ``patience`` reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metasearch.core.config import Value
from metasearch.core.space import Float, Int, Space
from metasearch.training.schedules._shared import WARMUP, Schedule

SPACE = Space.of(warmup=WARMUP, reduction=Float(0.1, 0.8, initial=0.5), patience=Int(1, 5))

IMPROVEMENT = 1e-3
"""Nats per token by which a loss must beat the best one to count as better."""


def build(config: Mapping[str, Value]) -> Schedule:
    return ReduceOnPlateau(float(config["warmup"]), float(config["reduction"]), int(config["patience"]))


@dataclass(frozen=True)
class ReduceOnPlateau:
    warmup: float
    reduction: float
    patience: int

    def __call__(self, progress: float, val_losses: Sequence[float]) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        return self.reduction ** self._plateaus(val_losses)

    def _plateaus(self, val_losses: Sequence[float]) -> int:
        """How often ``patience`` reports in a row brought nothing better; the count starts afresh after each time."""
        best, waited, plateaus = math.inf, 0, 0
        for loss in val_losses:
            if loss < best - IMPROVEMENT:
                best, waited = loss, 0
            else:
                waited += 1
            if waited == self.patience:
                waited, plateaus = 0, plateaus + 1
        return plateaus
