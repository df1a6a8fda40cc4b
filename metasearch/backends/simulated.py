"""A sweep in virtual time: the engine runs over recorded or synthetic curves with virtual workers.

The facts' times are the virtual time, and what happens next depends on the history alone. A simulation that died at any moment is
therefore taken up by simulating the reopened log: the finished log equals that of an uninterrupted run, fact by fact.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Protocol

from metasearch.core.engine import Engine
from metasearch.core.event import Action, Failed, Reported
from metasearch.core.history import History, Trial
from metasearch.core.protocols import Progress
from metasearch.core.recording import RecordedTable


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Instead of reporting, the leg dies ``seconds`` after its trial's last news."""

    seconds: float
    error: str


class Curves(Protocol):
    """What virtual workers would measure."""

    def advance(self, history: History, trial: Trial) -> Progress | Breakdown:
        """What ``trial`` does next. Depends on the trial and its ancestors only, as does a real worker's result."""
        ...


@dataclass(frozen=True)
class RecordedCurves:
    """The curves of a table: a trial reports every recorded point of its config, at the recorded cost, and ends with the record."""

    table: RecordedTable

    def advance(self, history: History, trial: Trial) -> Progress | Breakdown:
        recording = self.table.recordings[trial.config.id]
        point = bisect_right(recording.steps, trial.step)
        if point == len(recording.steps):
            return Breakdown(0.0, f"nothing was recorded after step {trial.step}")
        inherited = bisect_right(recording.steps, trial.start)  # points up to the step at which a parent handed over
        seconds = recording.costs[point] - (recording.costs[inherited - 1] if inherited else 0.0)
        return Progress(recording.steps[point], recording.losses[point], seconds, {}, point == len(recording.steps) - 1)


News = Reported | Failed
_Due = tuple[float, int, News]


def simulate(engine: Engine, curves: Curves, workers: int, *, on_fact: Callable[[News], None] | None = None) -> None:
    """Runs the sweep to its end with ``workers`` slots. ``on_fact`` is told each report or failure once it is judged.

    News that fall on the same moment arrive in the order of trial numbers.
    """
    history = engine.history
    due = [_next_news(history, trial, curves) for trial in history.running.values()]
    heapify(due)
    while True:
        while len(history.running) < workers and (trial := engine.ask(history.time)) is not None:
            heappush(due, _next_news(history, trial, curves))
        if not due:
            break
        news = heappop(due)[2]
        if engine.tell(news).action is Action.CONTINUE:
            heappush(due, _next_news(history, history[news.trial], curves))
        if on_fact is not None:
            on_fact(news)
    if history.closed is None:
        engine.close(engine.finished or "", history.time)


def _next_news(history: History, trial: Trial, curves: Curves) -> _Due:
    """When the running ``trial`` is heard of next, and what it says."""
    outcome = curves.advance(history, trial)
    if isinstance(outcome, Breakdown):
        time = trial.last_time + outcome.seconds
        return time, trial.number, Failed(time, trial.number, trial.leg, outcome.error)
    time = trial.last_time + outcome.seconds - trial.seconds
    step, loss, seconds = outcome.step, outcome.loss, outcome.seconds
    return time, trial.number, Reported(time, trial.number, trial.leg, step, loss, seconds, outcome.metrics, outcome.last)
