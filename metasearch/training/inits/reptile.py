"""Weights that all tasks share which the meta-network learned from, learned by Reptile: so that a few steps of training lead far.

Nichol, Achiam and Schulman (2018), "On First-Order Meta-Learning Algorithms", algorithm 1, with Adam inside.

All have the log frequencies of the tokens in the output bias. A model that the meta-network knows no weights for gets those alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from metasearch.core.config import Value
from metasearch.core.space import Space
from metasearch.training.inits._shared import Initialisation, generated

SPACE = Space.of()


def build(config: Mapping[str, Value]) -> Initialisation:
    return generated(config, "reptile")
