"""Every decision can be checked: it must follow from the facts before it and from its random stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metasearch.core.engine import Engine
from metasearch.core.event import Fact, Judged, Proposed, Reported, Thawed
from metasearch.core.history import History
from metasearch.core.protocols import MemoryLog, Scheduler, Searcher


@dataclass(frozen=True)
class Discrepancy:
    """A decision in the log that the algorithms would not make again."""

    position: int
    logged: Fact
    decided: Fact | None


def audit(facts: Iterable[Fact], searcher: Searcher, scheduler: Scheduler) -> list[Discrepancy]:
    """Makes every decision of a log again from the facts before it; empty if all agree."""
    logged = list(facts)
    history = History()
    found = []
    for position, fact in enumerate(logged):
        decided = _decide_again(history, logged, position, searcher, scheduler)
        if _is_decision(logged, position) and decided != fact:
            found.append(Discrepancy(position, fact, decided))
        history.apply(fact)
    return found


def _is_decision(logged: Sequence[Fact], position: int) -> bool:
    """A judgement that does not follow its report is news: the worker told later that there was nothing more to train."""
    fact = logged[position]
    if isinstance(fact, Judged):
        return isinstance(logged[position - 1], Reported)
    return isinstance(fact, Proposed | Thawed)


def _decide_again(history: History, logged: Sequence[Fact], position: int, searcher: Searcher, scheduler: Scheduler) -> Fact | None:
    fact = logged[position]
    engine = Engine(history, searcher, scheduler, MemoryLog())
    if isinstance(fact, Judged):
        return engine.judgement(history[fact.trial], fact.time)
    if isinstance(fact, Proposed | Thawed):
        return engine.next_start(fact.time)
    return None
