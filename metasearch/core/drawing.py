"""Drawing configs. In a finite space (a table of recorded trials) none is tried twice: its curve would be the same again."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from metasearch.core.config import Config
from metasearch.core.event import Fact, Proposed
from metasearch.core.history import History


class _Tried:
    """View: the ids of all configs proposed so far."""

    def __init__(self, history: History) -> None:
        self.ids = {trial.config.id for trial in history}

    def update(self, history: History, fact: Fact) -> None:
        if isinstance(fact, Proposed):
            self.ids.add(fact.config.id)


def tried(history: History) -> Collection[str]:
    """The ids of all configs proposed so far."""
    return history.view(_Tried, _Tried).ids


def untried_candidates(history: History) -> list[Config]:
    """What is left of a finite space, in its order."""
    known = tried(history)
    return [candidate for candidate in history.sweep.space.candidates if candidate.id not in known]


def draw(history: History, rng: np.random.Generator) -> Config | None:
    """A config from the priors; in a finite space any that is left, or None if none is."""
    if not history.sweep.space.candidates:
        return history.sweep.space.sample(rng)
    left = untried_candidates(history)
    return left[int(rng.integers(len(left)))] if left else None


def nearest_untried(history: History, config: Config) -> Config | None:
    """``config`` itself; in a finite space the nearest candidate that is left, or None if none is."""
    space = history.sweep.space
    if not space.candidates:
        return config
    return space.project(config, without=tried(history)) if untried_candidates(history) else None


def more_may_come(history: History) -> bool:
    """Can there be further trials, as far as the budget and a finite space tell?"""
    sweep = history.sweep
    if sweep.budget.trials is not None and len(history) >= sweep.budget.trials:
        return False
    return not sweep.space.candidates or len(tried(history)) < len(sweep.space.candidates)
