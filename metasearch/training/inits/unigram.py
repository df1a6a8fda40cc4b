"""The output bias starts at the log frequencies of the tokens; all other weights stay as the model made them.

An untrained model then already guesses as well as one can without context, and training need not spend its first steps on that.
"""

from __future__ import annotations

from collections.abc import Mapping

from metasearch.core.config import Value
from metasearch.core.space import Space
from metasearch.training.inits._shared import Initialisation, set_unigram_bias

SPACE = Space.of()


def build(config: Mapping[str, Value]) -> Initialisation:
    return set_unigram_bias
