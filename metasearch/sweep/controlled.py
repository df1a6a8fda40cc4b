"""A scheduler beside which a controller changes how the trials that go on are trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from metasearch.core.event import Action, Directive, TrialId, Verdict
from metasearch.core.history import History, Trial
from metasearch.core.protocols import Scheduler


class Adviser(Protocol):
    """Who changes running trials."""

    def advise(self, history: History, trial: Trial) -> Directive | None:
        """What to change after the newest report of ``trial``, or None."""
        ...

    def rescue(self, history: History, trial: Trial) -> Directive | None:
        """How to go on with ``trial``, whose loss is no longer finite, or None."""
        ...


@dataclass(frozen=True)
class Controlled:
    """Judges as ``scheduler`` does. Trials that it does not stop also get the directives of ``adviser``; a trial that pauses obeys
    when it goes on.
    """

    scheduler: Scheduler
    adviser: Adviser

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        verdict = self.scheduler.judge(history, trial, rng)
        if verdict.action is Action.STOP or verdict.directive is not None:
            return verdict
        directive = self.adviser.advise(history, trial)
        return verdict if directive is None else replace(verdict, directive=directive)

    def rescue(self, history: History, trial: Trial) -> Directive | None:
        return self.adviser.rescue(history, trial)

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        return self.scheduler.thaw(history, rng)
