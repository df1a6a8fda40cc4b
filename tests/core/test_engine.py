"""The engine and the history as a state machine: whatever happens in whatever order, the rules hold and the log tells it all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from metasearch.core.audit import audit
from metasearch.core.config import Config
from metasearch.core.engine import Engine
from metasearch.core.errors import UserError
from metasearch.core.event import (
    CONTINUE,
    Action,
    Adopted,
    Directive,
    Fact,
    Failed,
    Judged,
    Opened,
    Proposed,
    Reported,
    Resumed,
    Thawed,
    TrialId,
    Verdict,
)
from metasearch.core.history import COMPLETED, DIVERGED, ENDED, OUT_OF_BUDGET, History, State, Trial
from metasearch.core.protocols import MemoryLog, Proposal
from metasearch.core.sweep import Budget
from metasearch.search.fifo import Fifo
from metasearch.search.random import Random
from metasearch.testing.contract import make_sweep

LOSSES = st.one_of(st.floats(-1e3, 1e3), st.sampled_from((math.nan, math.inf, -math.inf)))
SECONDS = st.floats(0.0, 100.0)


@dataclass(frozen=True)
class Whimsical:
    """Decides by the dice of its address alone, so that every kind of decision comes up."""

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        if rng.random() < 0.1:
            return None
        parents = [trial for trial in history if trial.step]
        parent = parents[int(rng.integers(len(parents)))] if parents and rng.random() < 0.3 else None
        config = history.sweep.space.sample(rng)
        return Proposal(config, "whim", "", parent and parent.number, parent.step if parent else 0)

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        action = (Action.CONTINUE, Action.CONTINUE, Action.PAUSE, Action.STOP)[int(rng.integers(4))]
        directive = Directive(lr_scale=0.5) if action is Action.CONTINUE and rng.random() < 0.5 else None
        return Verdict(action, "whim", directive)

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        return next(iter(history.paused)) if rng.random() < 0.7 else None


class CountingView:
    """A fold that counts reports per trial; made late, it must agree with one made early."""

    def __init__(self, history: History) -> None:
        self.reports = {trial.number: len(trial.steps) for trial in history}

    def update(self, history: History, fact: Fact) -> None:
        if isinstance(fact, Proposed):
            self.reports[fact.trial] = 0
        elif isinstance(fact, Reported):
            self.reports[fact.trial] += 1
            assert self.reports[fact.trial] == len(history[fact.trial].steps), "views are told after the history"


class EngineMachine(RuleBasedStateMachine):
    """Workers that report, repeat themselves, die and end early; drivers that die, close and amend."""

    legs = Bundle("legs")

    @initialize(steps=st.none() | st.integers(50, 300))
    def open(self, steps: int | None) -> None:
        sweep = make_sweep(trials=8).amended(budget=Budget(trials=8, steps=steps), max_failures=1)
        self.log, self.whims, self.now = MemoryLog(), Whimsical(), 0.0
        self.engine = Engine.open(sweep, self.whims, self.whims, self.log, self.now)
        self.early = self.engine.history.view("early", CountingView)

    @property
    def history(self) -> History:
        return self.engine.history

    @rule(target=legs)
    def ask(self) -> tuple[TrialId, int]:
        trial = self.engine.ask(self.now)
        if trial is None:
            return TrialId(-1), 0
        assert trial.state is State.RUNNING and self.log.facts, "durable before it is handed out"
        return trial.number, trial.leg

    @rule(leg=legs, steps=st.integers(1, 60), loss=LOSSES, seconds=SECONDS, last=st.booleans())
    def report(self, leg: tuple[TrialId, int], steps: int, loss: float, seconds: float, last: bool) -> None:
        if leg[0] < 0:
            return
        self.now += seconds
        trial = self.history[leg[0]]
        step, known, current = trial.step + steps, len(self.log.facts), leg[1] == trial.leg and trial.state is State.RUNNING
        verdict = self.engine.tell(Reported(self.now, leg[0], leg[1], step, loss, trial.seconds + seconds, last=last))
        if not current:
            assert len(self.log.facts) == known
            assert verdict.action is not Action.CONTINUE, "whoever speaks for a leg that is over must end"
        elif not math.isfinite(loss):
            assert trial.state is State.DIVERGED and verdict == Verdict(Action.STOP, DIVERGED)
        elif last or step >= self.history.sweep.horizon:
            assert trial.state is State.COMPLETED and verdict == Verdict(Action.STOP, COMPLETED)
        else:
            assert trial.verdict == verdict

    @rule(leg=legs, back=st.integers(0, 3))
    def repeat(self, leg: tuple[TrialId, int], back: int) -> None:
        """A worker that went on from an older checkpoint reports steps that are known."""
        trial = self.history[leg[0]] if leg[0] >= 0 else None
        if trial is None or len(trial.steps) <= back:
            return
        known, step = len(self.log.facts), trial.steps[-1 - back]
        verdict = self.engine.tell(Reported(self.now, trial.number, leg[1], step, 0.0))
        assert len(self.log.facts) == known
        if leg[1] == trial.leg and trial.state is State.RUNNING:
            assert verdict == trial.directed.get(step, CONTINUE), "a repeated step gets the directive it got"

    @rule(leg=legs)
    def end_late(self, leg: tuple[TrialId, int]) -> None:
        """The worker finds only after its report that there was nothing more to train."""
        trial = self.history[leg[0]] if leg[0] >= 0 else None
        if trial is None or not trial.steps or trial.state is not State.RUNNING or trial.leg != leg[1]:
            return
        self.engine.tell(Reported(self.now, trial.number, trial.leg, trial.step, 0.0, last=True))
        assert trial.state in (State.COMPLETED, State.RUNNING)

    @rule(leg=consumes(legs))
    def fail(self, leg: tuple[TrialId, int]) -> None:
        if leg[0] >= 0:
            self.engine.tell(Failed(self.now, leg[0], leg[1], "the worker died"))
            trial = self.history[leg[0]]
            assert trial.leg != leg[1] or trial.state is not State.RUNNING
            assert len(trial.errors) <= 2

    @rule(seconds=SECONDS)
    def reopen(self, seconds: float) -> None:
        """The driver dies; the next one opens the log and gives running trials another leg."""
        self.now += seconds
        self.engine = Engine.open(self.history.sweep, self.whims, self.whims, self.log, self.now)
        self.early = self.history.view("early", CountingView)
        self.engine.resume(self.now)
        assert not self.history.running

    @rule()
    def adopt(self) -> None:
        self.engine.adopt("selector", "digest", self.now)
        assert self.history.adopted == {"selector": "digest"}

    @precondition(lambda self: self.history.closed is None and not self.history.running)
    @rule(more=st.integers(1, 5))
    def close_and_amend(self, more: int) -> None:
        self.engine.close("enough", self.now)
        assert self.engine.ask(self.now) is None and self.engine.finished == "enough"
        trials = (self.history.sweep.budget.trials or 0) + more
        self.engine.amend(self.history.sweep.amended(budget=Budget(trials=trials)), {}, self.now)
        self.early = self.history.view("early", CountingView)

    @invariant()
    def indexes_agree_with_states(self) -> None:
        for index, state in (
            (self.history.running, State.RUNNING),
            (self.history.paused, State.PAUSED),
            (self.history.interrupted, State.INTERRUPTED),
        ):
            assert set(index) == {trial.number for trial in self.history if trial.state is state}
            assert all(self.history[number] is trial for number, trial in index.items())
        held = {number for number, trial in self.history.paused.items() if trial.verdict.reason == OUT_OF_BUDGET}
        assert set(self.history.held) == held
        assert sum(self.history.count(state) for state in State) == len(self.history)
        assert all(trial.ended == (trial.state in ENDED) for trial in self.history)

    @invariant()
    def counters_agree_with_curves(self) -> None:
        history = self.history
        assert history.steps_spent == sum(trial.step - trial.start for trial in history)
        assert history.train_seconds == pytest.approx(sum(trial.seconds for trial in history))
        assert history.facts == len(self.log.facts)
        able = [trial for trial in history if trial.state not in (State.DIVERGED, State.FAILED)]
        finite = [loss for trial in able for loss in trial.losses if math.isfinite(loss)]
        assert history.best_loss == min(finite, default=math.inf)
        assert (history.best is None) == (not finite)
        assert history.best is None or (history.best in able and history.best_loss in history.best.losses)

    @invariant()
    def curves_only_grow(self) -> None:
        for trial in self.history:
            assert all(a < b for a, b in zip([trial.start, *trial.steps], trial.steps, strict=False))
            assert len(trial.steps) == len(trial.losses)

    @invariant()
    def late_views_agree_with_early_ones(self) -> None:
        assert CountingView(self.history).reports == self.early.reports

    def teardown(self) -> None:
        folded = History.fold(self.log.read())
        assert _told(folded) == _told(self.history)
        assert audit(self.log.facts, self.whims, self.whims) == []
        for before, fact in zip(self.log.facts, self.log.facts[1:], strict=False):
            assert not isinstance(before, Reported) or (isinstance(fact, Judged) and fact.trial == before.trial)


def _told(history: History) -> list[str]:
    return [str([getattr(trial, name) for name in Trial.__slots__]) for trial in history]


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class FailingLog(MemoryLog):
    """A disk that is full from the third append on."""

    def append(self, facts: Sequence[Fact]) -> None:
        if len(self.facts) >= 2:
            raise OSError("no space left")
        super().append(facts)


def opened(log: MemoryLog | None = None, **budget: int) -> Engine:
    return Engine.open(make_sweep().amended(budget=Budget(**budget)), Random(), Fifo(), log or MemoryLog(), now=0.0)


def tell(engine: Engine, number: int, step: int, loss: float, time: float = 0.0) -> Verdict:
    return engine.tell(Reported(time, TrialId(number), engine.history[number].leg, step, loss, seconds=time))


def test_nothing_is_handed_out_that_is_not_durable() -> None:
    engine = opened(FailingLog())
    assert engine.ask(0.0) is not None
    with pytest.raises(OSError, match="no space left"):
        engine.ask(0.0)
    assert len(engine.history) == 1


def test_a_report_and_its_judgement_are_written_together() -> None:
    appended: list[list[Fact]] = []

    class Watched(MemoryLog):
        def append(self, facts: Iterable[Fact]) -> None:
            appended.append(list(facts))

    engine = opened(Watched())
    engine.ask(0.0)
    tell(engine, 0, 10, 1.0)
    assert [[type(fact) for fact in facts] for facts in appended] == [[Opened], [Proposed], [Reported, Judged]]


def test_the_budget_of_steps_pauses_what_runs_and_starts_nothing() -> None:
    engine = opened(steps=30)
    engine.ask(0.0)
    engine.ask(0.0)
    assert [tell(engine, 0, 10, 1.0).action, tell(engine, 1, 10, 1.0).action] == [Action.CONTINUE] * 2
    assert tell(engine, 0, 20, 1.0) == Verdict(Action.PAUSE, OUT_OF_BUDGET)
    assert engine.ask(0.0) is None
    assert tell(engine, 1, 100, 1.0) == Verdict(Action.STOP, COMPLETED), "what is done is done"
    assert engine.finished == OUT_OF_BUDGET


def test_interrupted_trials_come_before_those_held_up_and_those_before_new_ones() -> None:
    engine = opened(steps=30)
    for _ in range(3):
        engine.ask(0.0)
    tell(engine, 0, 40, 1.0)
    engine.tell(Failed(0.0, TrialId(1), 0, "lost"))
    engine.amend(engine.history.sweep.amended(budget=Budget(trials=4)), {}, 0.0)
    asked = [engine.ask(0.0) for _ in range(4)]
    assert [trial and trial.number for trial in asked] == [1, 0, 3, None]
    assert [fact.reason for fact in engine.log.read() if isinstance(fact, Thawed)] == ["lost", "the budget was raised"]


def test_a_trial_fails_for_good_after_one_failure_more_than_allowed() -> None:
    engine = opened()
    for leg in range(3):
        trial = engine.ask(0.0)
        assert trial is not None and (trial.number, trial.leg) == (0, leg)
        engine.tell(Failed(0.0, trial.number, leg, f"error {leg}"))
    assert engine.history[0].state is State.FAILED
    assert engine.history[0].errors == ["error 0", "error 1", "error 2"]


def test_a_config_outside_the_space_is_the_searchers_fault() -> None:
    class Stray:
        def propose(self, history: History, rng: np.random.Generator) -> Proposal:
            return Proposal(Config({"model": "rnn"}), "stray")

    engine = Engine.open(make_sweep(), Stray(), Fifo(), MemoryLog(), now=0.0)
    with pytest.raises(UserError) as error:
        engine.ask(0.0)
    assert "\"model\": 'rnn' is not one of lstm, gru" in error.value.faults


PROPOSED = Proposed(0.0, TrialId(0), Config({"lr": 0.1}), 0)
REPORTED = Reported(0.0, TrialId(0), 0, 10, 1.0)


@pytest.mark.parametrize(
    "facts",
    [
        [Opened(0.0, make_sweep().record())],
        [Proposed(0.0, TrialId(1), Config({}), 0)],
        [PROPOSED, Thawed(0.0, TrialId(0), 1)],
        [PROPOSED, Reported(0.0, TrialId(0), 1, 10, 1.0)],
        [PROPOSED, REPORTED, REPORTED],
        [PROPOSED, REPORTED, Judged(0.0, TrialId(0), 20, Action.STOP)],
        [PROPOSED, REPORTED, Judged(0.0, TrialId(0), 10, Action.STOP), Failed(0.0, TrialId(0), 0, "late")],
        [PROPOSED, Resumed(0.0), REPORTED],
        [PROPOSED, Resumed(0.0), Thawed(0.0, TrialId(0), 2)],
    ],
)
def test_a_fact_that_cannot_follow_is_refused_with_the_story_of_its_trial(facts: list[Fact]) -> None:
    history = History.fold([Opened(0.0, make_sweep().record()), *facts[:-1]])
    with pytest.raises(AssertionError, match=r"cannot follow|opens once|numbered in order"):
        history.apply(facts[-1])


def test_the_audit_names_the_decision_that_would_not_be_made_again() -> None:
    log = MemoryLog()
    engine = opened(log, trials=2)
    engine.ask(0.0)
    tell(engine, 0, 10, 1.0)
    assert audit(log.facts, Random(), Fifo()) == []
    forged = Judged(0.0, TrialId(0), 10, Action.STOP, "because")
    found = audit([*log.facts[:-1], forged], Random(), Fifo())
    assert [(d.position, d.logged, d.decided) for d in found] == [(3, forged, log.facts[3])]


def test_adopted_parameters_are_facts() -> None:
    assert History.fold([Opened(0.0, make_sweep().record()), Adopted(0.0, "optimizer", "abc")]).adopted == {"optimizer": "abc"}


def test_a_curve_can_be_read_at_any_step() -> None:
    history = History.fold([Opened(0.0, make_sweep().record()), PROPOSED])
    trial = history[0]
    assert (trial.loss, trial.best_loss, trial.loss_at(5), trial.step) == (math.inf, math.inf, math.inf, 0)
    for step, loss in ((10, 3.0), (20, 1.0), (30, 2.0)):
        history.apply(Reported(0.0, trial.number, 0, step, loss))
    assert (trial.loss, trial.best_loss, trial.loss_at(25), trial.loss_at(9), trial.step) == (2.0, 1.0, 1.0, math.inf, 30)
    history.apply(Reported(0.0, trial.number, 0, 40, math.nan))
    assert (trial.loss, trial.best_loss) == (math.inf, 1.0)


@dataclass(frozen=True)
class PauseOnce:
    """Pauses a trial at its first report and halves its learning rate, then lets it go on."""

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        return Verdict(Action.PAUSE, "once", Directive(lr_scale=0.5)) if len(trial.steps) == 1 else CONTINUE

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        return next(iter(history.paused), None)


def test_a_thawed_trial_that_repeats_its_last_report_goes_on_under_the_directive_given_there() -> None:
    engine = Engine.open(make_sweep(trials=1), Random(), PauseOnce(), MemoryLog(), 0.0)
    trial = engine.ask(0.0)
    assert trial is not None
    assert engine.tell(Reported(1.0, trial.number, 0, 1, 2.0)).action is Action.PAUSE
    assert engine.ask(2.0) is trial
    facts = engine.history.facts
    assert engine.tell(Reported(3.0, trial.number, 1, 1, 2.0)) == Verdict(Action.CONTINUE, "once", Directive(lr_scale=0.5))
    assert engine.history.facts == facts
    assert trial.state is State.RUNNING
