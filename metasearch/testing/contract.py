"""What every search algorithm must do, as tests: subclass a contract and provide the algorithm as a fixture.

>>> class TestMine(SearcherContract):
...     @pytest.fixture
...     def searcher(self) -> Searcher:
...         return Mine()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from metasearch.backends.simulated import Curves, simulate
from metasearch.core.audit import audit
from metasearch.core.engine import Engine
from metasearch.core.event import CONTINUE, Action, Fact, Judged, Proposed, Thawed, TrialId, Verdict
from metasearch.core.history import History, State, Trial
from metasearch.core.protocols import MemoryLog, Proposal, Scheduler, Searcher
from metasearch.core.space import Float, Space
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.search.fifo import Fifo
from metasearch.search.random import Random
from metasearch.testing.curves import BowlCurves, Breaking, Diverging, bowl
from metasearch.testing.spaces import CONDITIONAL, PLAIN, SPACES

TRIALS = 12
MISHAPS: dict[str, Curves] = {
    "some diverge, some break": Breaking(Diverging(BowlCurves(), 0.5), 0.3),
    "all diverge at once": Diverging(BowlCurves(), 1.0, by=0.0),
    "every leg breaks": Breaking(BowlCurves(), 1.0),
}


def make_sweep(space: Space = CONDITIONAL, trials: int | None = TRIALS, horizon: int = 100, reports: int = 10) -> Sweep:
    """A sweep over the synthetic curves, small unless told otherwise."""
    return Sweep("contract", Task("bowl"), space, horizon, reports, Budget(trials=trials))


def run_sweep(sweep: Sweep, searcher: Searcher, scheduler: Scheduler, curves: Curves, workers: int = 3) -> list[Fact]:
    """The facts of a whole simulated sweep."""
    log = MemoryLog()
    simulate(Engine.open(sweep, searcher, scheduler, log, now=0.0), curves, workers)
    return log.facts


def resumed_decision(facts: Sequence[Fact], position: int, searcher: Searcher, scheduler: Scheduler) -> Fact | None:
    """What would be decided at ``position`` of a log by somebody who has just opened it."""
    fact, history = facts[position], History.fold(facts[:position])
    engine = Engine(history, searcher, scheduler, MemoryLog())
    before = _contents(history)
    decided = engine.judgement(history[fact.trial], fact.time) if isinstance(fact, Judged) else engine.next_start(history.time)
    assert _contents(history) == before, "an algorithm must not change the history"
    return decided


def _contents(history: History) -> list[str]:
    """Everything public that a history and its trials hold."""
    trials = [str([getattr(trial, name) for name in trial.__slots__]) for trial in history]
    indexes = [list(index) for index in (history.running, history.paused, history.interrupted)]
    return [*trials, str(indexes), str(history.best), str((history.steps_spent, history.facts, history.time))]


def check_decisions(facts: Sequence[Fact], searcher: Searcher, scheduler: Scheduler) -> None:
    """Whoever makes the decisions of a log again, resuming before each or going through it at once, decides the same."""
    assert audit(facts, searcher, scheduler) == []
    for position, fact in enumerate(facts):
        if isinstance(fact, Judged | Proposed | Thawed):
            assert resumed_decision(facts, position, searcher, scheduler) == fact


class SearcherContract:
    """For any searcher. Runs it under fifo in simulation."""

    @pytest.fixture
    def searcher(self) -> Searcher:
        raise NotImplementedError

    @pytest.mark.parametrize("space_name", SPACES)
    def test_every_proposal_lies_in_the_space(self, searcher: Searcher, space_name: str) -> None:
        space = SPACES[space_name]
        history = History.fold(run_sweep(make_sweep(space), searcher, Fifo(), BowlCurves()))
        assert len(history) > 0
        for trial in history:
            assert trial.config in space.candidates if space.candidates else space.check(trial.config) == []

    def test_a_resumed_sweep_proposes_the_same(self, searcher: Searcher) -> None:
        curves = Breaking(Diverging(BowlCurves(noise=0.05), 0.2), 0.05)
        check_decisions(run_sweep(make_sweep(), searcher, Fifo(), curves), searcher, Fifo())

    def test_pending_trials_are_considered(self, searcher: Searcher) -> None:
        """Nobody reports, so that only what is pending can tell one proposal from the next."""
        facts = run_sweep(make_sweep(PLAIN), searcher, Fifo(), BowlCurves(), workers=TRIALS)
        proposed = [fact.config for fact in facts if isinstance(fact, Proposed)]
        assert len(set(proposed)) == len(proposed)

    @pytest.mark.parametrize("mishap", MISHAPS)
    def test_mishaps_are_survived(self, searcher: Searcher, mishap: str) -> None:
        history = History.fold(run_sweep(make_sweep(), searcher, Fifo(), MISHAPS[mishap]))
        assert history.closed is not None and all(trial.ended for trial in history)

    def test_a_finite_space_is_tried_once_and_then_left(self, searcher: Searcher) -> None:
        history = History.fold(run_sweep(make_sweep(SPACES["finite"], trials=None), searcher, Fifo(), BowlCurves(), workers=1))
        tried = [trial.config for trial in history]
        assert 1 < len(tried) == len(set(tried)) <= len(SPACES["finite"].candidates)
        assert history.closed == "nothing left to try"

    def test_proposals_obey_an_amended_space(self, searcher: Searcher) -> None:
        sweep = make_sweep(PLAIN, trials=TRIALS - 4)
        log = MemoryLog(run_sweep(sweep, searcher, Fifo(), BowlCurves()))
        narrowed = Space.of(lr=Float(1e-4, 1e-3, log=True), dropout=Float(0.2, 0.8))
        engine = Engine.open(sweep, searcher, Fifo(), log, now=0.0)
        engine.amend(sweep.amended(space=narrowed, budget=Budget(trials=TRIALS)), {}, engine.history.time)
        simulate(engine, BowlCurves(), workers=3)
        assert all(narrowed.check(trial.config) == [] for trial in engine.history.trials[TRIALS - 4 :])

    def test_trials_that_end_with_their_first_report_are_not_the_last(self, searcher: Searcher) -> None:
        history = History.fold(run_sweep(make_sweep(reports=1), searcher, Fifo(), BowlCurves(), workers=1))
        assert len(history) > 2

    def test_pauses_and_thaws_are_understood(self, searcher: Searcher) -> None:
        facts = run_sweep(make_sweep(), searcher, _TurnTaking(), BowlCurves())
        check_decisions(facts, searcher, _TurnTaking())
        assert any(isinstance(fact, Thawed) for fact in facts)


class SchedulerContract:
    """For any scheduler. Runs it with random search in simulation."""

    @pytest.fixture
    def scheduler(self) -> Scheduler:
        raise NotImplementedError

    @pytest.mark.parametrize(
        "horizon, reports, workers",
        [(100, 10, 1), (100, 10, 3), (100, 10, 40), (97, 7, 3), (1000, 40, 40), (1, 1, 1), (1, 1, 40), (5, 1, 3)],
    )
    def test_no_sweep_stalls(self, scheduler: Scheduler, horizon: int, reports: int, workers: int) -> None:
        sweep = make_sweep(trials=30, horizon=horizon, reports=reports)
        history = History.fold(run_sweep(sweep, Random(), scheduler, BowlCurves(), workers))
        assert len(history) == 30 and history.closed is not None
        assert all(trial.ended or trial.state is State.PAUSED for trial in history)
        assert history.count(State.COMPLETED) > 0, "somebody must reach the horizon"

    def test_a_resumed_sweep_decides_the_same(self, scheduler: Scheduler) -> None:
        curves = Breaking(Diverging(BowlCurves(noise=0.05), 0.2), 0.05)
        check_decisions(run_sweep(make_sweep(trials=25), Random(), scheduler, curves), Random(), scheduler)

    @pytest.mark.parametrize("mishap", MISHAPS)
    def test_mishaps_are_survived(self, scheduler: Scheduler, mishap: str) -> None:
        history = History.fold(run_sweep(make_sweep(trials=40), Random(), scheduler, MISHAPS[mishap]))
        assert len(history) == 40 and not history.running and not history.interrupted

    def test_equal_losses_are_no_reason_to_stop(self, scheduler: Scheduler) -> None:
        sweep = make_sweep(SPACES["fixed"], trials=30)
        history = History.fold(run_sweep(sweep, Random(), scheduler, BowlCurves(cost_spread=0.0)))
        assert history.count(State.COMPLETED) > 0

    def test_trials_that_start_late_are_understood(self, scheduler: Scheduler) -> None:
        facts = run_sweep(make_sweep(trials=25), _Heirs(), scheduler, BowlCurves())
        check_decisions(facts, _Heirs(), scheduler)
        assert sum(fact.parent is not None for fact in facts if isinstance(fact, Proposed)) > 5

    def test_the_budget_of_steps_is_kept(self, scheduler: Scheduler) -> None:
        sweep = replace(make_sweep(trials=None), budget=Budget(steps=500))
        history = History.fold(run_sweep(sweep, Random(), scheduler, BowlCurves(), workers=4))
        assert 500 <= history.steps_spent <= 500 + 4 * 10
        assert not history.running

    def test_the_best_of_many_survives(self, scheduler: Scheduler) -> None:
        """Synthetic curves never cross: whoever is best at any step is best in the end."""
        history = History.fold(run_sweep(make_sweep(PLAIN, trials=30), Random(), scheduler, BowlCurves()))
        best = min(history, key=lambda trial: bowl(PLAIN, trial.config))
        assert best.state is State.COMPLETED


@dataclass(frozen=True)
class _TurnTaking:
    """Every trial pauses once, half-way."""

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        half = history.sweep.horizon / 2
        before = trial.steps[-2] if len(trial.steps) > 1 else trial.start
        return Verdict(Action.PAUSE, "half-way") if before < half <= trial.step else CONTINUE

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        return next(iter(history.paused)) if len(history.paused) > 2 or not history.running else None


@dataclass(frozen=True)
class _Heirs:
    """Random search in which every other trial takes over the weights of one that is under way."""

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        parents = [trial for trial in history if 0 < trial.step < history.sweep.horizon]
        config = history.sweep.space.sample(rng)
        if len(history) % 2 == 0 or not parents:
            return Proposal(config, "heirs")
        parent = parents[int(rng.integers(len(parents)))]
        return Proposal(config, "heirs", "", parent.number, parent.step)
