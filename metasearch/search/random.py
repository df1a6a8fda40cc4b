"""Random search (Bergstra and Bengio, 2012): every config is drawn from the priors, whatever was seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metasearch.core.drawing import draw
from metasearch.core.history import History
from metasearch.core.protocols import Proposal


@dataclass(frozen=True)
class Random:
    """Proposes for ever; in a finite space each candidate once."""

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        config = draw(history, rng)
        return None if config is None else Proposal(config, "random")


SEARCHER = Random
