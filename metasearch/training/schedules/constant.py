"""The learning rate stays as it is after the warm-up."""

from __future__ import annotations

from collections.abc import Mapping

from metasearch.core.config import Value
from metasearch.core.space import Space
from metasearch.training.schedules._shared import WARMUP, Schedule, WarmedUp

SPACE = Space.of(warmup=WARMUP)


def build(config: Mapping[str, Value]) -> Schedule:
    return WarmedUp(float(config["warmup"]), lambda progress: 1.0)
