"""Synthetic curves whose optimum is known, and what can go wrong with a trial, as wrappers around any curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from metasearch.backends.simulated import Breakdown, Curves
from metasearch.core.config import Value
from metasearch.core.domains import Boolean, Choice, Domain, Float, Int
from metasearch.core.history import History, Trial
from metasearch.core.protocols import Progress
from metasearch.core.rng import derive
from metasearch.core.space import Space

BEST_LOSS = 1.0
BEST_PLACE = 0.7


@dataclass(frozen=True)
class BowlCurves:
    """Power-law curves above a bowl: over any space, the config with every number at 0.7 of its range (in its scale), the first
    option of every choice and false for every boolean tends to a loss of 1, all others to more.

    A config further from the optimum also learns more slowly and costs up to ``cost_spread`` more per step. What a parent learned
    counts for its children. ``noise`` is the standard deviation of each report's loss; it depends on the trial's seed and the step.
    """

    noise: float = 0.0
    cost_spread: float = 0.5

    def advance(self, history: History, trial: Trial) -> Progress:
        sweep = history.sweep
        report = trial.step * sweep.reports // sweep.horizon + 1
        step = max(-(-report * sweep.horizon // sweep.reports), trial.step + 1)
        excess = bowl(sweep.space, trial.config)
        share = _learned(history, trial, step) / sweep.horizon
        loss = BEST_LOSS + excess + 3.0 / (1.0 + 20.0 * share)
        if self.noise:
            loss += self.noise * float(derive(trial.seed, "noise", step).standard_normal())
        seconds = (step - trial.step) / sweep.horizon * 100.0 * (1.0 + self.cost_spread * min(excess, 1.0))
        return Progress(step, loss, trial.seconds + seconds, {})


def bowl(space: Space, config: Mapping[str, Value]) -> float:
    """How far ``config`` is from the optimum: the sum over its parameters, each at most about 1, 0 at the optimum."""
    return sum(_distance(p.domain, config[p.name]) for p in space.open_parameters(config) if p.name in config)


def _distance(domain: Domain, value: Value) -> float:
    if isinstance(domain, Choice):
        return 0.3 * domain.options.index(value) / len(domain.options)
    if isinstance(domain, Boolean):
        return 0.2 * bool(value)
    if not isinstance(domain, Float | Int) or domain.low == domain.high:
        return 0.0
    low, high, code = (domain.scale.encode(float(number)) for number in (domain.low, domain.high, value))
    return 2.0 * ((code - low) / (high - low) - BEST_PLACE) ** 2


def _learned(history: History, trial: Trial, step: int) -> float:
    """Steps' worth of learning at ``step``, those of the ancestors included; at the optimum every step counts in full."""
    before = 0.0 if trial.parent is None else _learned(history, history[trial.parent], trial.start)
    return before + (step - trial.start) / (1.0 + bowl(history.sweep.space, trial.config))


@dataclass(frozen=True)
class Diverging:
    """A ``share`` of the trials, by their seeds, report NaN or infinity before the share ``by`` of the horizon is trained."""

    curves: Curves
    share: float
    by: float = 1.0

    def advance(self, history: History, trial: Trial) -> Progress | Breakdown:
        progress = self.curves.advance(history, trial)
        rng = derive(trial.seed, "divergence")
        if isinstance(progress, Breakdown) or rng.random() >= self.share:
            return progress
        fatal_step, loss = rng.random() * self.by * history.sweep.horizon, (math.nan, math.inf, -math.inf)[int(rng.integers(3))]
        return Progress(progress.step, loss, progress.seconds, {}) if progress.step >= fatal_step else progress


@dataclass(frozen=True)
class Breaking:
    """Before a ``share`` of the reports, by address, the worker dies instead."""

    curves: Curves
    share: float

    def advance(self, history: History, trial: Trial) -> Progress | Breakdown:
        rng = derive(trial.seed, "breakdown", trial.leg, trial.step)
        if rng.random() < self.share:
            return Breakdown(float(rng.random()), "the virtual worker died")
        return self.curves.advance(history, trial)
