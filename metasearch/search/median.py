"""Median stopping rule.

Golovin, Solnik, Moitra, Kochanski, Karro and Sculley (2017), "Google Vizier: A Service for Black-Box Optimization", section 3.2.1.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from metasearch.core.errors import UserError
from metasearch.core.event import CONTINUE, Action, TrialId, Verdict
from metasearch.core.history import History, Trial
from metasearch.search._rungs import Rungs, even_rungs, grace_steps


@dataclass(frozen=True)
class Median:
    """Stops a trial whose best loss so far is above the median of the other trials' running averages at the same step.

    Trials are compared where full trials report, from ``grace`` on (a share of the horizon if below 1, else steps) and once
    ``least`` others got there. Unlike in Vizier, trials that still run count too, so that the rule can act early.
    """

    grace: float = 0.1
    least: int = 3

    def __post_init__(self) -> None:
        if self.least < 1 or not self.grace > 0:
            found = f"least must be at least 1 and grace above 0, found {self.least} and {self.grace}"
            raise UserError("The scheduler median cannot be set up so:", [found])

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        averages = history.view(self, self._averages)
        rung = averages.reached(trial)
        if rung is None or len(averages.scores[rung]) <= self.least:
            return CONTINUE
        median = median_of_others(averages.scores[rung], running_average(trial.losses))
        if trial.best_loss <= median:
            return CONTINUE
        return Verdict(Action.STOP, f"best loss above {median:.6g}, the median of the running averages at {averages.steps[rung]}")

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        return None

    def _averages(self, history: History) -> Rungs:
        sweep = history.sweep
        least_step = grace_steps(sweep.horizon, self.grace)
        steps = [step for step in even_rungs(sweep.horizon, sweep.horizon / sweep.reports) if step >= least_step]
        return Rungs(history, steps, running_average)


def running_average(losses: Sequence[float]) -> float:
    """Of those that are finite: a trial may have been sent back from others."""
    return fmean(filter(math.isfinite, losses))


def median_of_others(ascending: Sequence[float], own: float) -> float:
    """The median of all but one occurrence of ``own``, without copying.

    >>> median_of_others([1.0, 2.0, 3.0, 9.0], 2.0)
    3.0
    """
    place, others = bisect_left(ascending, own), len(ascending) - 1
    low, high = (others - 1) // 2, others // 2
    return (ascending[low + (low >= place)] + ascending[high + (high >= place)]) / 2


SCHEDULER = Median
