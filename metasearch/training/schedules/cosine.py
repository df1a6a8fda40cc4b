"""Half a cosine down to ``final_factor`` at the horizon (Loshchilov and Hutter, 2017, equation 5, without restarts)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from metasearch.core.config import Value
from metasearch.core.space import Space
from metasearch.training.schedules._shared import FINAL_FACTOR, WARMUP, Schedule, WarmedUp

SPACE = Space.of(warmup=WARMUP, final_factor=FINAL_FACTOR)


def build(config: Mapping[str, Value]) -> Schedule:
    final_factor = float(config["final_factor"])
    half = 0.5 * (1.0 - final_factor)
    return WarmedUp(float(config["warmup"]), lambda progress: final_factor + half * (1.0 + math.cos(math.pi * progress)))
