"""What happened to one trial and why, each event seen against what was known at that moment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from metasearch.core.event import Action, Closed, Directive, Fact, Failed, Judged, Proposed, Reported, Thawed
from metasearch.core.history import History


@dataclass(frozen=True)
class Event:
    """``seconds``: since the sweep began. ``fact``: its kind, such as ``judged``. ``what``: one line."""

    seconds: float
    fact: str
    what: str


def story(facts: Iterable[Fact], number: int) -> list[Event]:
    """The events of a trial, oldest first. Asks for all facts, because what was known of the others explains what was decided."""
    teller = Teller()
    return [event for fact in facts for trial, event in teller.tell(fact) if trial == number]


class Teller:
    """Tells every fact of a sweep, given one after the other from the first."""

    def __init__(self) -> None:
        self._history = History()
        self._began = 0.0

    def tell(self, fact: Fact) -> list[tuple[int | None, Event]]:
        """The number of the trial that an event is about, None for the whole sweep, and the event."""
        self._history.apply(fact)
        self._began = fact.time if self._history.facts == 1 else self._began
        seconds, kind = fact.time - self._began, type(fact).__name__.lower()
        if isinstance(fact, Proposed | Thawed | Reported | Judged | Failed):
            return [(fact.trial, Event(seconds, kind, line)) for line in _lines(fact, self._history)]
        return [(None, Event(seconds, kind, f"{kind}: {fact.reason}" if isinstance(fact, Closed) else kind))]


def _lines(fact: Proposed | Thawed | Reported | Judged | Failed, history: History) -> list[str]:
    if isinstance(fact, Proposed):
        return [_proposed(fact, history)]
    if isinstance(fact, Thawed):
        return [f"leg {fact.leg} begins: {fact.reason or 'its turn'}"]
    if isinstance(fact, Failed):
        return [f"leg {fact.leg} failed: {fact.error}"]
    if isinstance(fact, Reported):
        return [_reported(fact, history)]
    return [_judged(fact)] if fact.reason or fact.directive or fact.action is not Action.CONTINUE else []


def _proposed(fact: Proposed, history: History) -> str:
    why = f": {fact.reason}" if fact.reason else ""
    weights = f", from the weights of trial {fact.parent} at step {fact.start:,}" if fact.parent is not None else ""
    best = history.best
    known = (
        f"; the best of {len(history) - 1} trials was {history.sweep.task.value(history.best_loss):.5g} (trial {best.number})"
        if best
        else ""
    )
    return f"proposed by {fact.origin or 'the searcher'}{why}{weights}{known}"


def _reported(fact: Reported, history: History) -> str:
    task = history.sweep.task
    metric = "loss" if task.better == "lower" else task.metric
    if not math.isfinite(fact.loss):
        return f"step {fact.step:,}: the {metric} is {task.value(fact.loss)}"
    others = [loss for trial in history if trial.number != fact.trial and math.isfinite(loss := trial.loss_at(fact.step))
              and trial.step >= fact.step]  # fmt: skip
    place = 1 + sum(loss < fact.loss for loss in others)
    rank = f", number {place} of {len(others) + 1} that got here" if others else ", the first to get here"
    return f"step {fact.step:,}: {metric} {task.value(fact.loss):.5g}{rank}"


def _judged(fact: Judged) -> str:
    told = f"; told: {directive_text(fact.directive)}" if fact.directive is not None else ""
    return f"step {fact.step:,}: {fact.action.value}" + (f", {fact.reason}" if fact.reason else "") + told


def directive_text(directive: Directive) -> str:
    """``raise lr: lr_scale 2``; of a control, that it was left undone."""
    return directive_line(directive.intent, directive.changes)


def directive_line(intent: str, changes: Mapping[str, float | bool]) -> str:
    """As ``directive_text``, of a directive's intent and changes."""
    done = ", ".join(name if value is True else f"{name} {value:g}" for name, value in changes.items())
    if not intent:
        return done or "nothing"
    return f"{intent}: {done or 'withheld, as a control'}"
