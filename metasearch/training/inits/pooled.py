"""Weights that all tasks share which the meta-network learned from: its answer when nothing is known of a task.

All have the log frequencies of the tokens in the output bias. A model that the meta-network knows no weights for gets those alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from metasearch.core.config import Value
from metasearch.core.space import Space
from metasearch.training.inits._shared import Initialisation, generated

SPACE = Space.of()


def build(config: Mapping[str, Value]) -> Initialisation:
    return generated(config, "pooled")
