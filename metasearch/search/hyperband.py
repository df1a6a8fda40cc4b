"""Hyperband: brackets of synchronous successive halving that trade the number of trials against the steps of each.

Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar (2018), "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization",
algorithm 1. Brackets follow each other without end; slots that a bracket cannot use while it waits go to the next one.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from metasearch.core.drawing import more_may_come
from metasearch.core.event import CONTINUE, Action, Fact, Proposed, TrialId, Verdict
from metasearch.core.history import History, State, Trial
from metasearch.search._rungs import check_halving, geometric_rungs


@dataclass(frozen=True)
class Hyperband:
    """Trials wait at every rung of their bracket until all others are there or have ended; the best 1/``eta`` then go on.

    The rungs of the longest bracket lie at horizon / eta, horizon / eta², … down to ``grace`` (a share of the horizon if below 1,
    else steps). The last bracket makes do with the trials that the budget or a finite space leave it.
    """

    eta: int = 3
    grace: float = 1 / 27

    def __post_init__(self) -> None:
        check_halving("hyperband", self.eta, self.grace)

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        bracket = history.view(self, self._brackets).of(trial.number)
        promotions = bracket.promotions(history)
        before = trial.steps[-2] if len(trial.steps) > 1 else trial.start
        for rung, step in enumerate(bracket.rungs):
            if not before < step <= trial.step:
                continue
            if rung >= len(promotions):
                return bracket.judge_waiting(history, promotions, step, trial)
            if trial not in promotions[rung]:
                return Verdict(Action.STOP, f"not promoted at rung {step}")
        return CONTINUE

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        brackets = history.view(self, self._brackets)
        for bracket in list(brackets.open):
            promotions = bracket.promotions(history)
            for winners, next_rung in zip(promotions, [*bracket.rungs[1:], math.inf], strict=False):
                for trial in winners:
                    if trial.state is State.PAUSED and trial.step < next_rung:
                        return trial.number
            if len(promotions) == len(bracket.rungs):
                brackets.open.remove(bracket)
        return None

    def _brackets(self, history: History) -> _Brackets:
        return _Brackets(history, self.eta, geometric_rungs(history.sweep.horizon, self.eta, self.grace))


@dataclass(frozen=True, slots=True)
class Bracket:
    """``size`` trials from number ``first`` on, halved at each of ``rungs``, which are below the horizon and may be none."""

    first: int
    size: int
    eta: int
    rungs: tuple[int, ...]

    def promotions(self, history: History) -> list[list[Trial]]:
        """Who goes on from each rung, the best first, for all rungs that are settled."""
        cohort = history.trials[self.first : self.first + self.size]
        promotions: list[list[Trial]] = []
        if len(cohort) < self.size and more_may_come(history):
            return promotions
        for step in self.rungs:
            if not all(trial.ended or (trial.steps and trial.step >= step) for trial in cohort):
                break
            standings = sorted((_loss_at(trial, step), trial.number) for trial in cohort)
            cohort = [history[number] for loss, number in standings[: self._places(len(cohort))] if loss < math.inf]
            promotions.append(cohort)
        return promotions

    def judge_waiting(self, history: History, promotions: list[list[Trial]], step: int, trial: Trial) -> Verdict:
        """The verdict on ``trial`` at a rung that is not settled: whoever cannot win any more need not wait."""
        rivals = promotions[-1] if promotions else history.trials[self.first : self.first + self.size]
        places = self._places(len(rivals) if promotions else self.size)
        own = (_loss_at(trial, step), trial.number)
        if sum((_loss_at(rival, step), rival.number) < own for rival in rivals) >= places:
            return Verdict(Action.STOP, f"cannot be promoted at rung {step}")
        return Verdict(Action.PAUSE, f"waits for its bracket at rung {step}")

    def _places(self, trials: int) -> int:
        return max(trials // self.eta, 1)


class _Brackets:
    """View: the brackets in which somebody may still be promoted. Which bracket a trial is in follows from its number."""

    def __init__(self, history: History, eta: int, rungs: tuple[int, ...]) -> None:
        longest = len(rungs)
        self._shapes = [
            (math.ceil((longest + 1) / (halvings + 1) * eta**halvings), rungs[longest - halvings :])
            for halvings in range(longest, -1, -1)
        ]
        self._eta = eta
        self.open: list[Bracket] = []
        for trial in history:
            self._enter(trial.number)

    def update(self, history: History, fact: Fact) -> None:
        if isinstance(fact, Proposed):
            self._enter(fact.trial)

    def of(self, number: int) -> Bracket:
        cycle = sum(size for size, _ in self._shapes)
        first = number - number % cycle
        for size, rungs in self._shapes:
            if number < first + size:
                return Bracket(first, size, self._eta, rungs)
            first += size
        raise AssertionError(f"no bracket for trial {number}")

    def _enter(self, number: int) -> None:
        bracket = self.of(number)
        if bracket.first == number and bracket.rungs:
            self.open.append(bracket)


def _loss_at(trial: Trial, step: int) -> float:
    """The first loss at or after ``step``, the last one of a trial that completed before, else infinite."""
    place = bisect_left(trial.steps, step)
    if place == len(trial.steps):
        return trial.loss if trial.state is State.COMPLETED else math.inf
    return trial.losses[place] if math.isfinite(trial.losses[place]) else math.inf


SCHEDULER = Hyperband
