"""The contracts are only worth something if they fail: algorithms that break one rule each, and the test that must notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from metasearch.core.errors import UserError
from metasearch.core.event import CONTINUE, Action, TrialId, Verdict
from metasearch.core.history import History, Trial
from metasearch.core.protocols import Proposal, Scheduler, Searcher
from metasearch.search.fifo import Fifo
from metasearch.search.random import Random
from metasearch.testing.contract import SchedulerContract, SearcherContract


class Remembering(Random):
    """Keeps a generator of its own: what it proposes depends on how often it was asked."""

    own = np.random.default_rng(0)

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        return super().propose(history, self.own)


class Repeating(Random):
    """Looks only at what has ended."""

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        return super().propose(history, np.random.default_rng(sum(trial.ended for trial in history)))


class Meddling(Random):
    """Changes what it should only read."""

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        for trial in history:
            trial.reason = "seen"
        return super().propose(history, rng)


class Straying(Random):
    """Proposes a parameter that does not exist."""

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        proposal = super().propose(history, rng)
        return proposal and replace(proposal, config=proposal.config.replace(temperature=1.0))


class Trusting(Random):
    """Takes for granted that there is a best trial."""

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        if len(history) > 5:
            assert history.best is not None
        return super().propose(history, rng)


class Hoarding(Fifo):
    """Pauses everything and thaws nothing."""

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        return Verdict(Action.PAUSE, "later")


class Moody(Fifo):
    """Decides by chance that is not its own stream."""

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        return Verdict(Action.STOP) if np.random.default_rng().random() < 0.5 else CONTINUE


class Backwards(Fifo):
    """Stops whoever is best."""

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        others = [other.loss for other in history if other is not trial]
        return Verdict(Action.STOP) if others and trial.loss < min(others) else CONTINUE


class Confused(Fifo):
    """Thaws a trial that is not paused."""

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        return history[0].number

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        return Verdict(Action.PAUSE, "later") if trial.number == 1 and len(trial.steps) == 1 else CONTINUE


SEARCHERS: list[tuple[Searcher, Callable[[Searcher], None]]] = [
    (Remembering(), SearcherContract().test_a_resumed_sweep_proposes_the_same),
    (Meddling(), SearcherContract().test_a_resumed_sweep_proposes_the_same),
    (Repeating(), SearcherContract().test_pending_trials_are_considered),
    (Straying(), lambda searcher: SearcherContract().test_every_proposal_lies_in_the_space(searcher, "plain")),
    (Trusting(), lambda searcher: SearcherContract().test_mishaps_are_survived(searcher, "all diverge at once")),
]
SCHEDULERS: list[tuple[Scheduler, Callable[[Scheduler], None]]] = [
    (Hoarding(), lambda scheduler: SchedulerContract().test_no_sweep_stalls(scheduler, 100, 10, 3)),
    (Moody(), SchedulerContract().test_a_resumed_sweep_decides_the_same),
    (Backwards(), SchedulerContract().test_the_best_of_many_survives),
    (Confused(), lambda scheduler: SchedulerContract().test_no_sweep_stalls(scheduler, 100, 10, 3)),
]


@pytest.mark.parametrize("algorithm, check", [*SEARCHERS, *SCHEDULERS], ids=lambda value: type(value).__name__)
def test_a_broken_rule_is_noticed(algorithm: object, check: Callable[[object], None]) -> None:
    with pytest.raises((AssertionError, UserError)):
        check(algorithm)
