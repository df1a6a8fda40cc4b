"""View: what is needed of every trial to decide on the next slice, kept as columns so that a decision need not walk over trials."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metasearch.core.event import Fact, Failed, Judged, Proposed, Reported, Thawed, TrialId
from metasearch.core.history import NEVER_BEST, History, Trial

COLUMNS = ("step", "lowest", "half", "first")

FIRST_RUNG = 1 / 27
ETA = 3


@dataclass(frozen=True)
class Halving:
    """How choosy successive halving is: one of ``one_of[k]`` goes on from rung k; once ``fewest`` came there, the best does."""

    one_of: Sequence[int]
    fewest: int

    def kept(self, rung: int, seen: int) -> int:
        return max(seen // self.one_of[rung], int(seen >= self.fewest))


class Traces:
    """``lows[n]``: the lowest loss up to each report of trial n.

    Columns hold one entry per trial: its last step, its lowest loss, the lowest at half of that step, and its first loss; all NaN
    before the first report.

    ``rungs``: successive halving over shares of a full training (Li et al., 2020): at each, the losses of all that came there.
    """

    def __init__(self, history: History, full: float) -> None:
        self.full = full
        self.lows: list[list[float]] = []
        self.reports = 0
        self._columns = {name: np.full(64, math.nan) for name in COLUMNS}
        self._ended, self._open = np.zeros(64, bool), np.zeros(64, bool)
        self.rungs = [1.0]
        while self.rungs[0] / ETA >= FIRST_RUNG * 0.999:
            self.rungs.insert(0, self.rungs[0] / ETA)
        self._seen: list[list[float]] = [[] for _ in self.rungs]
        self._waiting: list[list[tuple[float, int]]] = [[] for _ in self.rungs]
        self._below: dict[int, None] = {}
        self._height: list[int] = []
        for trial in history:
            self._propose(trial)
            for point in range(len(trial.steps)):
                self._report(trial, point)
            self._move(trial)

    def update(self, history: History, fact: Fact) -> None:
        if isinstance(fact, Proposed):
            self._propose(history[fact.trial])
        elif isinstance(fact, Reported):
            self._report(history[fact.trial], len(history[fact.trial].steps) - 1)
        if isinstance(fact, Proposed | Reported | Judged | Failed | Thawed):
            self._move(history[fact.trial])

    def column(self, name: str) -> np.ndarray:
        return self._columns[name][: len(self.lows)]

    @property
    def ended(self) -> np.ndarray:
        return self._ended[: len(self.lows)]

    @property
    def waits(self) -> np.ndarray:
        """Paused: could be given a slice now."""
        return self._open[: len(self.lows)]

    def promotable(self, able: np.ndarray, halving: Halving) -> int | None:
        """The trial that ``halving`` would give the next slice, of those that are ``able``; the highest rung first."""
        for rung in reversed(range(len(self.rungs) - 1)):
            kept = halving.kept(rung, len(self._seen[rung]))
            for loss, number in self._waiting[rung]:
                if bisect_right(self._seen[rung], loss) > kept:
                    break
                if able[number]:
                    return number
        return next((number for number in self._below if able[number]), None)

    def _propose(self, trial: Trial) -> None:
        number = trial.number
        if number == len(self._ended):
            self._columns = {name: np.concatenate([c, np.full(len(c), math.nan)]) for name, c in self._columns.items()}
            self._ended = np.concatenate([self._ended, np.zeros_like(self._ended)])
            self._open = np.concatenate([self._open, np.zeros_like(self._open)])
        self.lows.append([])
        self._height.append(-1)
        self._below[number] = None

    def _report(self, trial: Trial, point: int) -> None:
        number, lows, step = trial.number, self.lows[trial.number], trial.steps[point]
        loss = trial.losses[point] if math.isfinite(trial.losses[point]) else math.inf
        lows.append(min(loss, lows[-1]) if lows else loss)
        self.reports += 1
        half = bisect_right(trial.steps, step / 2, 0, point + 1) - 1
        values = (float(step), lows[-1], lows[max(half, 0)], lows[0])
        for name, value in zip(COLUMNS, values, strict=True):
            self._columns[name][number] = value
        while self._height[number] + 1 < len(self.rungs) and step / self.full >= self.rungs[self._height[number] + 1] - 1e-9:
            self._climb(number)

    def _climb(self, number: int) -> None:
        height, loss = self._height[number], self.lows[number][-1]
        self._leave(number)
        self._height[number] = height + 1
        insort(self._seen[height + 1], loss)
        insort(self._waiting[height + 1], (loss, number))

    def _leave(self, number: int) -> None:
        self._below.pop(number, None)
        height = self._height[number]
        if height >= 0:
            self._waiting[height] = [entry for entry in self._waiting[height] if entry[1] != number]

    def _move(self, trial: Trial) -> None:
        self._ended[trial.number] = trial.ended
        self._open[trial.number] = trial.verdict.action.value == "pause" and not trial.ended and trial.state.value == "paused"
        if trial.ended:
            self._leave(trial.number)
        if trial.state in NEVER_BEST:
            self._columns["lowest"][trial.number] = math.inf


def compared(traces: Traces, left: list[TrialId], right: list[TrialId]) -> float | None:
    """The share of pairs in which the left trial was lower at the last report that both made; a tie counts half."""
    wins, pairs = 0.0, 0
    for ours in left:
        for theirs in right:
            point = min(len(traces.lows[ours]), len(traces.lows[theirs])) - 1
            if point >= 0:
                x, y = traces.lows[ours][point], traces.lows[theirs][point]
                wins += 0.5 if x == y else float(x < y)
                pairs += 1
    return wins / pairs if pairs else None
