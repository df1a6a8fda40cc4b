"""Sobol search: a scrambled low-discrepancy sequence, more even than random points.

Sobol (1967); direction numbers of Joe and Kuo (2008) and Owen's (1998) scrambling, as SciPy has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metasearch.core.drawing import nearest_untried
from metasearch.core.history import History
from metasearch.core.protocols import Proposal
from metasearch.core.rng import derive


@dataclass(frozen=True)
class Sobol:
    """Trial n is point n of the sequence that the sweep's seed scrambles; coordinates of closed parameters go unused."""

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        from scipy.stats import qmc  # a second that only this searcher needs

        space = history.sweep.space
        sequence = qmc.Sobol(max(len(space), 1), scramble=True, rng=derive(history.sweep.seed, "sobol"))
        if len(history):
            sequence.fast_forward(len(history))
        unit_P = np.minimum(sequence.random(1)[0], np.nextafter(1.0, 0.0))[: len(space)]
        config = nearest_untried(history, space.from_unit(unit_P))
        return None if config is None else Proposal(config, "sobol")


SEARCHER = Sobol
