"""One sweep's state: the fold of its facts. ``History.apply`` is the only place where anything changes.

An algorithm that needs more than is kept here declares a ``View``, a fold of its own, and asks for it with ``history.view(...)``:
it is made from what is known the first time and kept up to date from then on, so that a judgement stays cheap however long the
sweep is. Views are never stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from enum import Enum
from typing import Any, Protocol, TypeVar, cast

from metasearch.core.config import Config
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
from metasearch.core.sweep import Sweep


class State(Enum):
    """``interrupted``: has lost its worker and waits for another leg. The last four are final, unless the sweep is amended."""

    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    FAILED = "failed"


ENDED = frozenset({State.COMPLETED, State.STOPPED, State.DIVERGED, State.FAILED})
NEVER_BEST = frozenset({State.DIVERGED, State.FAILED})
"""However low their losses once were: what they ended as cannot be handed over."""

OUT_OF_BUDGET = "the budget of the sweep is used up"
COMPLETED = "reached the horizon"
DIVERGED = "the loss is not finite"
OUT_OF_MEMORY = "OutOfMemoryError"
"""What the error of a leg begins with whose GPU had too little memory."""

PREEMPTED = "preempted: its machine is taken away"
"""The error of a leg that was ended from outside. It says nothing about the trial, so it does not count against it."""


class Trial:
    """One attempt at one config with one seed. ``steps`` and ``losses`` are its curve; ``step`` is 0 before the first report.

    ``lrs`` and ``grad_norms``: the learning rate and the gradient norm that came with each report, NaN where none did.
    ``last``: its newest report said that it has nothing more to train.
    """

    __slots__ = (
        "config",
        "directed",
        "errors",
        "first_time",
        "grad_norms",
        "last",
        "last_time",
        "leg",
        "leg_time",
        "losses",
        "lrs",
        "number",
        "origin",
        "parent",
        "reason",
        "seconds",
        "seed",
        "start",
        "state",
        "steps",
        "verdict",
    )

    def __init__(self, fact: Proposed) -> None:
        self.number: TrialId = fact.trial
        self.config: Config = fact.config
        self.seed = fact.seed
        self.origin = fact.origin
        self.reason = fact.reason
        self.parent = fact.parent
        self.start = fact.start
        self.state = State.RUNNING
        self.leg = 0
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.lrs: list[float] = []
        self.grad_norms: list[float] = []
        self.seconds = 0.0
        self.last = False
        self.first_time = self.leg_time = self.last_time = fact.time
        self.verdict: Verdict = CONTINUE
        self.directed: dict[int, Verdict] = {}
        self.errors: list[str] = []

    def __repr__(self) -> str:
        return f"Trial({self.number}, {self.state.value}, leg {self.leg}, step {self.step}, {self.config.strategy})"

    @property
    def step(self) -> int:
        return self.steps[-1] if self.steps else self.start

    @property
    def loss(self) -> float:
        """The last reported loss; infinite if there is none or it is not finite."""
        return self.losses[-1] if self.losses and math.isfinite(self.losses[-1]) else math.inf

    @property
    def best_loss(self) -> float:
        """The lowest finite loss so far; infinite if there is none."""
        return min((loss for loss in self.losses if math.isfinite(loss)), default=math.inf)

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def loss_at(self, step: int) -> float:
        """The last loss reported at or before ``step``; infinite if there is none."""
        known = [loss for at, loss in zip(self.steps, self.losses, strict=True) if at <= step]
        return known[-1] if known and math.isfinite(known[-1]) else math.inf


class View(Protocol):
    """A fold of its own over the same facts, told of each after the history has taken it in."""

    def update(self, history: History, fact: Fact) -> None: ...


V = TypeVar("V", bound=View)


class History:
    """Everything known about one sweep. Read it freely; only ``apply`` writes."""

    def __init__(self) -> None:
        self.sweep: Sweep = cast(Sweep, None)
        self.trials: list[Trial] = []
        self.running: dict[TrialId, Trial] = {}
        self.paused: dict[TrialId, Trial] = {}
        self.interrupted: dict[TrialId, Trial] = {}
        self.held: dict[TrialId, Trial] = {}  # those of the paused that only the budget held up
        self.adopted: dict[str, str] = {}
        self.best: Trial | None = None
        self.best_loss = math.inf
        self.steps_spent = 0
        self.train_seconds = 0.0
        self.wall_seconds = 0.0
        self.thaws = 0
        self.facts = 0
        self.time = 0.0
        self.closed: str | None = None
        self._views: dict[Hashable, View] = {}

    @staticmethod
    def fold(facts: Iterable[Fact]) -> History:
        history = History()
        for fact in facts:
            history.apply(fact)
        return history

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    def __len__(self) -> int:
        return len(self.trials)

    def __getitem__(self, number: TrialId | int) -> Trial:
        return self.trials[number]

    def view(self, key: Hashable, make: Callable[[History], V]) -> V:
        """The view under ``key``; ``make(history)`` builds it from what is known when it is asked for the first time."""
        if key not in self._views:
            self._views[key] = make(self)
        return cast(V, self._views[key])

    def count(self, state: State) -> int:
        return sum(trial.state is state for trial in self.trials)

    def apply(self, fact: Fact) -> None:
        """Takes one fact in. Raises AssertionError with the trial's state if the fact cannot follow from what is known."""
        if not isinstance(fact, Opened | Resumed | Amended):
            self.wall_seconds += max(fact.time - self.time, 0.0)
        _APPLY[type(fact)](self, fact)
        self.time = max(self.time, fact.time) if self.facts else fact.time
        self.facts += 1
        for view in self._views.values():
            view.update(self, fact)

    def _opened(self, fact: Opened) -> None:
        assert self.facts == 0, f"a sweep opens once: {fact!r}"
        self.sweep = Sweep.from_record(fact.sweep)

    def _resumed(self, fact: Resumed) -> None:
        self.closed = None
        for trial in list(self.running.values()):
            self._move(trial, State.INTERRUPTED)

    def _amended(self, fact: Amended) -> None:
        self.sweep = Sweep.from_record(fact.sweep)
        self.closed = None
        self._views.clear()  # what they hold may depend on the space or the horizon

    def _adopted(self, fact: Adopted) -> None:
        self.adopted[fact.part] = fact.digest

    def _proposed(self, fact: Proposed) -> None:
        assert fact.trial == len(self.trials), f"trials are numbered in order; {fact!r} follows {len(self.trials)} trials"
        trial = Trial(fact)
        self.trials.append(trial)
        self.running[trial.number] = trial

    def _thawed(self, fact: Thawed) -> None:
        trial = self.trials[fact.trial]
        legal = trial.state in (State.PAUSED, State.INTERRUPTED) and fact.leg == trial.leg + 1
        assert legal, f"{fact!r} cannot follow {trial!r}"
        self._move(trial, State.RUNNING)
        trial.leg, trial.leg_time, trial.last_time = fact.leg, fact.time, fact.time
        self.thaws += 1

    def _reported(self, fact: Reported) -> None:
        trial = self.trials[fact.trial]
        legal = trial.state is State.RUNNING and fact.step > trial.step and fact.leg == trial.leg
        assert legal, f"{fact!r} cannot follow {trial!r}"
        self.steps_spent += fact.step - trial.step
        self.train_seconds += max(fact.seconds - trial.seconds, 0.0)
        trial.steps.append(fact.step)
        trial.losses.append(fact.loss)
        trial.lrs.append(fact.metrics.get("lr", math.nan))
        trial.grad_norms.append(fact.metrics.get("grad_norm", math.nan))
        trial.seconds, trial.last_time, trial.last = fact.seconds, fact.time, fact.last
        if -math.inf < fact.loss < self.best_loss:
            self.best, self.best_loss = trial, fact.loss

    def _judged(self, fact: Judged) -> None:
        trial = self.trials[fact.trial]
        assert trial.state is State.RUNNING and fact.step == trial.step, f"{fact!r} cannot follow {trial!r}"
        trial.verdict = Verdict(fact.action, fact.reason, fact.directive)
        if fact.directive is not None:
            trial.directed[fact.step] = trial.verdict
        if fact.action is Action.PAUSE:
            self._move(trial, State.PAUSED)
        elif fact.action is Action.STOP:
            self._move(trial, _ENDS.get(fact.reason, State.STOPPED))

    def _failed(self, fact: Failed) -> None:
        trial = self.trials[fact.trial]
        assert trial.state is State.RUNNING and fact.leg == trial.leg, f"{fact!r} cannot follow {trial!r}"
        trial.errors.append(fact.error)
        trial.last_time = fact.time
        self._move(trial, State.FAILED if self._given_up(trial) else State.INTERRUPTED)

    def _given_up(self, trial: Trial) -> bool:
        """Where trials are packed by their memory, the first that is too little is the packing's fault, and the second final."""
        failures = sum(error != PREEMPTED for error in trial.errors)
        if self.sweep.resources.gpu_memory is None:
            return failures > self.sweep.max_failures
        overran = sum(error.startswith(OUT_OF_MEMORY) for error in trial.errors)
        return overran > 1 or failures - overran > self.sweep.max_failures

    def _closed(self, fact: Closed) -> None:
        self.closed = fact.reason

    def _move(self, trial: Trial, state: State) -> None:
        """Every change of state goes through here, so that the indexes cannot disagree with the trials."""
        for index in (self.running, self.paused, self.interrupted, self.held):
            index.pop(trial.number, None)
        trial.state = state
        if trial is self.best and state in NEVER_BEST:
            self._find_best()
        if state is State.PAUSED and trial.verdict.reason == OUT_OF_BUDGET:
            self.held[trial.number] = trial
        if state in (State.RUNNING, State.PAUSED, State.INTERRUPTED):
            index = {State.RUNNING: self.running, State.PAUSED: self.paused, State.INTERRUPTED: self.interrupted}[state]
            index[trial.number] = trial

    def _find_best(self) -> None:
        able = [trial for trial in self.trials if trial.state not in NEVER_BEST and math.isfinite(trial.best_loss)]
        self.best = min(able, key=lambda trial: trial.best_loss, default=None)
        self.best_loss = math.inf if self.best is None else self.best.best_loss


_APPLY: dict[type[Fact], Callable[[History, Any], None]] = {
    Opened: History._opened,
    Resumed: History._resumed,
    Amended: History._amended,
    Adopted: History._adopted,
    Proposed: History._proposed,
    Thawed: History._thawed,
    Reported: History._reported,
    Judged: History._judged,
    Failed: History._failed,
    Closed: History._closed,
}
"""What each kind of fact does. A table, because dispatch through functools costs more than most facts."""

_ENDS = {COMPLETED: State.COMPLETED, DIVERGED: State.DIVERGED}
