"""Linear decay to ``final_factor`` at the horizon."""

from __future__ import annotations

from collections.abc import Mapping

from metasearch.core.config import Value
from metasearch.core.space import Space
from metasearch.training.schedules._shared import FINAL_FACTOR, WARMUP, Schedule, WarmedUp

SPACE = Space.of(warmup=WARMUP, final_factor=FINAL_FACTOR)


def build(config: Mapping[str, Value]) -> Schedule:
    final_factor = float(config["final_factor"])
    return WarmedUp(float(config["warmup"]), lambda progress: 1.0 - (1.0 - final_factor) * progress)
