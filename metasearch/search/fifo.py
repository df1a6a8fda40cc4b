"""First in, first out: every trial trains to the horizon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metasearch.core.event import CONTINUE, TrialId, Verdict
from metasearch.core.history import History, Trial


@dataclass(frozen=True)
class Fifo:
    """Stops nothing and pauses nothing."""

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        return CONTINUE

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        return None


SCHEDULER = Fifo
