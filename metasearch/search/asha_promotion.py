"""Asynchronous successive halving as published: trials pause at every rung, and free slots go to the best of those that wait.

Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht and Talwalkar (2020), "A System for Massively Parallel Hyperparameter Tuning",
algorithm 2.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np

from metasearch.core.drawing import more_may_come
from metasearch.core.event import CONTINUE, Action, Fact, Judged, Thawed, TrialId, Verdict
from metasearch.core.history import History, Trial
from metasearch.search._rungs import Rungs, check_halving, geometric_rungs


@dataclass(frozen=True)
class AshaPromotion:
    """A trial goes on from a rung once it is among the best 1/``eta`` of those seen there; the highest rung is served first.

    Rungs lie at horizon / eta, horizon / eta², … down to ``grace`` (a share of the horizon if below 1, else steps). Once no trials
    can come and none runs, the best at every rung goes on whatever their number, so that a sweep ends with a winner.
    """

    eta: int = 3
    grace: float = 1 / 27

    def __post_init__(self) -> None:
        check_halving("asha_promotion", self.eta, self.grace)

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        ladder = history.view(self, self._ladder)
        rung = ladder.rungs.reached(trial)
        if rung is None:
            return CONTINUE
        better, seen = ladder.rungs.better(rung, trial.loss), len(ladder.rungs.scores[rung])
        if better < seen // self.eta:
            return CONTINUE  # it would be paused and thawed at once
        return Verdict(Action.PAUSE, f"rank {better + 1} of {seen} at rung {ladder.rungs.steps[rung]}")

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        ladder = history.view(self, self._ladder)
        ending = not history.running and not more_may_come(history)
        for rung in reversed(range(len(ladder.waiting))):
            promotable = max(len(ladder.rungs.scores[rung]) // self.eta, int(ending))
            if ladder.waiting[rung]:
                loss, number = ladder.waiting[rung][0]
                if ladder.rungs.better(rung, loss) < promotable:
                    return number
        return None

    def _ladder(self, history: History) -> _Ladder:
        return _Ladder(history, Rungs(history, geometric_rungs(history.sweep.horizon, self.eta, self.grace)))


class _Ladder:
    """View: the rungs and, at each, who waits there, the best first."""

    def __init__(self, history: History, rungs: Rungs) -> None:
        self.rungs = rungs
        self.waiting: list[list[tuple[float, TrialId]]] = [[] for _ in rungs.steps]
        for trial in history.paused.values():
            self._wait(trial)

    def update(self, history: History, fact: Fact) -> None:
        self.rungs.update(history, fact)
        if isinstance(fact, Judged) and fact.action is Action.PAUSE:
            self._wait(history[fact.trial])
        elif isinstance(fact, Thawed):
            self._go_on(history[fact.trial])

    def _wait(self, trial: Trial) -> None:
        rung = self.rungs.reached(trial)
        if rung is not None:
            insort(self.waiting[rung], (trial.loss, trial.number))

    def _go_on(self, trial: Trial) -> None:
        rung = self.rungs.reached(trial) if trial.steps else None
        if rung is not None:
            place = bisect_left(self.waiting[rung], (trial.loss, trial.number))
            if self.waiting[rung][place : place + 1] == [(trial.loss, trial.number)]:
                del self.waiting[rung][place]


SCHEDULER = AshaPromotion
