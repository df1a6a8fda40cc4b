"""The one place where decisions are made, written down and only then handed out.

    engine = Engine.open(sweep, searcher, scheduler, log, now)
    trial = engine.ask(now)            # a trial whose next leg should start, or None
    verdict = engine.tell(reported)    # continue, pause or stop

Opening a log that holds facts resumes the sweep: there is no other way to start or to resume.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from metasearch.core.budget import exhausted, spent_in_full
from metasearch.core.errors import UserError
from metasearch.core.event import (
    CONTINUE,
    Action,
    Adopted,
    Amended,
    Closed,
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
from metasearch.core.history import COMPLETED, DIVERGED, OUT_OF_BUDGET, History, Trial
from metasearch.core.protocols import Log, Rescuer, Scheduler, Searcher
from metasearch.core.rng import derive, derive_seed
from metasearch.core.sweep import Sweep


class Engine:
    """Runs one sweep's algorithms over its history. Not thread-safe: one driver, one thread."""

    def __init__(self, history: History, searcher: Searcher, scheduler: Scheduler, log: Log) -> None:
        self.history = history
        self.searcher = searcher
        self.scheduler = scheduler
        self.log = log

    @staticmethod
    def open(
        sweep: Sweep,
        searcher: Searcher,
        scheduler: Scheduler,
        log: Log,
        now: float,
        environment: Mapping[str, Any] | None = None,
    ) -> Engine:
        """Starts the sweep if the log is empty, else takes up where its facts end."""
        engine = Engine(History.fold(log.read()), searcher, scheduler, log)
        if engine.history.facts == 0:
            engine._commit(Opened(now, sweep.record(), dict(environment or {})))
        return engine

    def resume(self, now: float, environment: Mapping[str, Any] | None = None) -> None:
        """Running trials lost their workers (the driver died): each gets another leg from its checkpoint."""
        self._commit(Resumed(now, dict(environment or {})))

    def amend(self, sweep: Sweep, changes: Mapping[str, Any], now: float) -> None:
        self._commit(Amended(now, sweep.record(), dict(changes)))

    def adopt(self, part: str, digest: str, now: float) -> None:
        self._commit(Adopted(now, part, digest))

    def close(self, reason: str, now: float) -> None:
        self._commit(Closed(now, reason))

    def ask(self, now: float) -> Trial | None:
        """A trial whose next leg should start now, durable before it is handed out. None: nothing to start at present."""
        fact = self.next_start(now)
        if fact is None:
            return None
        self._commit(fact)
        return self.history[fact.trial]

    def next_start(self, now: float) -> Proposed | Thawed | None:
        """What ``ask`` would write down, without writing it."""
        if self.history.closed is not None or exhausted(self.history, now) is not None:
            return None
        return self._next_leg(now) or self._next_trial(now)

    def tell(self, fact: Reported | Failed) -> Verdict:
        """Takes news of a trial in and decides on it. News already known, or of a leg that is over, changes nothing."""
        trial = self.history[fact.trial]
        if trial.leg != fact.leg or self.history.running.get(fact.trial) is None:
            decided = trial.leg == fact.leg and trial.verdict.action is not Action.CONTINUE
            return trial.verdict if decided else Verdict(Action.STOP, "this leg is over")
        if isinstance(fact, Failed):
            self._commit(fact)
            return Verdict(Action.STOP, fact.error)
        if fact.step <= trial.step:
            return self._repeated(fact, trial)
        return self._judge(fact, trial)

    @property
    def finished(self) -> str | None:
        """Why nothing runs and nothing will, or None. Call it after ``ask`` answered None."""
        if self.history.running:
            return None
        return self.history.closed or exhausted(self.history, self.history.time) or "nothing left to try"

    def _repeated(self, fact: Reported, trial: Trial) -> Verdict:
        """A report already known changes nothing, but it may bring the news that the trial has nothing more to train.

        A new leg that repeats the last report of the one before goes on, under the directive that was given there.
        """
        if fact.last and fact.step == trial.step and trial.steps:
            self._commit(Judged(fact.time, trial.number, trial.step, Action.STOP, COMPLETED))
            return trial.verdict
        return replace(trial.directed.get(fact.step, CONTINUE), action=Action.CONTINUE)

    def _judge(self, fact: Reported, trial: Trial) -> Verdict:
        self.history.apply(fact)
        judged = self.judgement(trial, fact.time)
        self.log.append([fact, judged])
        self.history.apply(judged)
        return trial.verdict

    def judgement(self, trial: Trial, now: float) -> Judged:
        """The decision on the newest report of ``trial``, which the history already holds; not written down here."""
        verdict = self._verdict(trial, now)
        return Judged(now, trial.number, trial.step, verdict.action, verdict.reason, verdict.directive)

    def _verdict(self, trial: Trial, now: float) -> Verdict:
        sweep = self.history.sweep
        spent = trial.last or trial.step >= sweep.horizon
        if not math.isfinite(trial.losses[-1]):
            verdict = Verdict(Action.STOP, DIVERGED) if spent else self._rescue(trial)
        elif spent:
            return Verdict(Action.STOP, COMPLETED)
        else:
            verdict = self.scheduler.judge(self.history, trial, derive(sweep.seed, "judge", trial.number, trial.step))
        if verdict.action is Action.CONTINUE and spent_in_full(self.history, now):
            return Verdict(Action.PAUSE, OUT_OF_BUDGET, verdict.directive)
        return verdict

    def _rescue(self, trial: Trial) -> Verdict:
        """On a trial whose loss is no longer finite: sent back if the scheduler knows how, else given up."""
        directive = self.scheduler.rescue(self.history, trial) if isinstance(self.scheduler, Rescuer) else None
        return Verdict(Action.STOP, DIVERGED) if directive is None else Verdict(reason=DIVERGED, directive=directive)

    def _next_leg(self, now: float) -> Thawed | None:
        """Interrupted trials first, then those that only the budget held up, then the scheduler's choice."""
        history = self.history
        waiting = next(iter(history.interrupted.values()), None)
        if waiting is not None:
            return Thawed(now, waiting.number, waiting.leg + 1, waiting.errors[-1] if waiting.errors else "interrupted")
        held = next(iter(history.held.values()), None)
        if held is not None:
            return Thawed(now, held.number, held.leg + 1, "the budget was raised")
        if not history.paused:
            return None
        number = self.scheduler.thaw(history, derive(history.sweep.seed, "thaw", history.thaws))
        return None if number is None else Thawed(now, number, history[number].leg + 1, "thawed by the scheduler")

    def _next_trial(self, now: float) -> Proposed | None:
        history, sweep = self.history, self.history.sweep
        number = TrialId(len(history))
        if sweep.budget.trials is not None and number >= sweep.budget.trials:
            return None
        proposal = self.searcher.propose(history, derive(sweep.seed, "propose", number))
        if proposal is None:
            return None
        faults = sweep.space.check(proposal.config) if not sweep.space.candidates else []
        if faults:
            raise UserError(f"The searcher proposed a config outside the space of sweep {sweep.name}:", faults)
        seed = derive_seed(sweep.seed, "trial", number) % 2**31
        return Proposed(now, number, proposal.config, seed, proposal.origin, proposal.reason, proposal.parent, proposal.start)

    def _commit(self, fact: Fact) -> None:
        self.log.append([fact])
        self.history.apply(fact)
