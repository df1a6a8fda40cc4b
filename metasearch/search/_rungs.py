"""Rungs: the steps at which trials are compared with each other, whenever they get there."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence

from metasearch.core.errors import UserError
from metasearch.core.event import Fact, Reported, TrialId
from metasearch.core.history import History, Trial


def grace_steps(horizon: int, grace: float) -> float:
    """``grace`` is a share of the horizon if it is below 1, else a number of steps."""
    return grace * horizon if grace < 1 else grace


def geometric_rungs(horizon: int, eta: int, grace: float) -> tuple[int, ...]:
    """horizon / eta, horizon / eta², … down to ``grace``, ascending, rounded up to whole steps.

    >>> geometric_rungs(900, 3, 1 / 27)
    (34, 100, 300)
    """
    least = max(grace_steps(horizon, grace) * (1 - 1e-9), 1.0)
    powers = range(1, horizon.bit_length() + 1)
    return tuple(sorted({-(-horizon // eta**power) for power in powers if horizon / eta**power >= least}))


def even_rungs(horizon: int, interval: float) -> tuple[int, ...]:
    """The multiples of ``interval`` steps below the horizon, rounded up to whole steps.

    >>> even_rungs(10, 2.5)
    (3, 5, 8)
    """
    interval = max(interval, 1.0)
    multiples = (math.ceil(k * interval - 1e-9) for k in range(1, math.ceil(horizon / interval)))
    return tuple(step for step in multiples if step < horizon)


def check_halving(algorithm: str, eta: int, grace: float) -> None:
    """Raises UserError unless the options of a halving scheduler make sense."""
    faults = [f"eta must be at least 2, found {eta}"] if eta < 2 else []
    faults += [f"grace must be above 0 (a share of the horizon, or steps from 1 on), found {grace}"] if not grace > 0 else []
    if faults:
        raise UserError(f"The scheduler {algorithm} cannot be set up so:", faults)


def newest(losses: Sequence[float]) -> float:
    return losses[-1]


class Rungs:
    """View: at every rung, the sorted scores of the trials that got there; ``score`` makes one number of a curve up to there.

    A report belongs to the highest rung that it reaches or passes, and to none if its trial was there before. A trial that diverges
    counts at the rung that it was heading for, with an infinite score, until it was sent back and has a loss again: then it counts
    at the rung that it has reached since its last finite loss, so that it is judged there, later than others.
    """

    def __init__(self, history: History, steps: Sequence[int], score: Callable[[Sequence[float]], float] = newest) -> None:
        self.steps = steps
        self.scores: list[list[float]] = [[] for _ in steps]
        self._score = score
        self._lost: dict[TrialId, int] = {}
        for trial in history:
            for count in range(1, len(trial.steps) + 1):
                self._record(trial, count)

    def update(self, history: History, fact: Fact) -> None:
        if isinstance(fact, Reported):
            trial = history[fact.trial]
            self._record(trial, len(trial.steps))

    def reached(self, trial: Trial) -> int | None:
        """The index of the rung to which the newest report of ``trial`` belongs."""
        return self._reached(trial, len(trial.steps))

    def better(self, rung: int, score: float) -> int:
        """How many of the scores at ``rung`` are lower than ``score``."""
        return bisect_left(self.scores[rung], score)

    def _reached(self, trial: Trial, count: int) -> int | None:
        rung = bisect_right(self.steps, trial.steps[count - 1]) - 1
        return rung if rung >= 0 and self.steps[rung] > _step_before(trial, count) else None

    def _record(self, trial: Trial, count: int) -> None:
        rung = self._reached(trial, count)
        finite = math.isfinite(trial.losses[count - 1])
        if not finite and rung is None:
            rung = bisect_right(self.steps, _step_before(trial, count))
        if rung is None or rung == len(self.steps):
            return
        lost = self._lost.pop(trial.number, None)
        if lost is not None:
            self.scores[lost].pop()  # infinite ones are the last
        if not finite:
            self._lost[trial.number] = rung
        insort(self.scores[rung], self._score(trial.losses[:count]) if finite else math.inf)


def _step_before(trial: Trial, count: int) -> int:
    """Where ``trial`` stood with a finite loss before its report number ``count``, from 1."""
    return next((trial.steps[n] for n in reversed(range(count - 1)) if math.isfinite(trial.losses[n])), trial.start)
