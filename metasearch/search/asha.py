"""Asynchronous successive halving, stopping variant.

Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht and Talwalkar (2020), "A System for Massively Parallel Hyperparameter Tuning".
The stopping variant is Ray Tune's: a trial that is not promoted at a rung is stopped there instead of being paused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metasearch.core.event import CONTINUE, Action, TrialId, Verdict
from metasearch.core.history import History, Trial
from metasearch.search._rungs import Rungs, check_halving, geometric_rungs


@dataclass(frozen=True)
class Asha:
    """At every rung, only a trial among the best 1/``eta`` of those seen there so far goes on; the first one always does.

    Rungs lie at horizon / eta, horizon / eta², … down to ``grace`` (a share of the horizon if below 1, else steps).
    """

    eta: int = 3
    grace: float = 1 / 27

    def __post_init__(self) -> None:
        check_halving("asha", self.eta, self.grace)

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        rungs = history.view(self, self._rungs)
        rung = rungs.reached(trial)
        if rung is None:
            return CONTINUE
        better, seen = rungs.better(rung, trial.loss), len(rungs.scores[rung])
        if better < max(seen // self.eta, 1):
            return CONTINUE
        return Verdict(Action.STOP, f"rank {better + 1} of {seen} at rung {rungs.steps[rung]}")

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        return None

    def _rungs(self, history: History) -> Rungs:
        return Rungs(history, geometric_rungs(history.sweep.horizon, self.eta, self.grace))


SCHEDULER = Asha
