"""Warm-up, a plateau, and a linear decay over the last ``decay`` of the horizon (Hu et al., 2024; Hägele et al., 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.training.schedules._shared import FINAL_FACTOR, WARMUP, Schedule

SPACE = Space.of(warmup=WARMUP, decay=Float(0.05, 0.6, initial=0.2), final_factor=FINAL_FACTOR)


def build(config: Mapping[str, Value]) -> Schedule:
    return WarmupStableDecay(float(config["warmup"]), float(config["decay"]), float(config["final_factor"]))


@dataclass(frozen=True)
class WarmupStableDecay:
    warmup: float
    decay: float
    final_factor: float

    def __call__(self, progress: float, val_losses: Sequence[float]) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        left = min(1.0, (1.0 - progress) / self.decay)
        return self.final_factor + (1.0 - self.final_factor) * left
