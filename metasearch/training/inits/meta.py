"""Weights that the meta-network makes for this very text, from its description and a sample of it.

All have the log frequencies of the tokens in the output bias. A model that the meta-network knows no weights for gets those alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from metasearch.core.config import Value
from metasearch.core.space import Space
from metasearch.training.inits._shared import Initialisation, generated

SPACE = Space.of()


def build(config: Mapping[str, Value]) -> Initialisation:
    return generated(config, "meta")
