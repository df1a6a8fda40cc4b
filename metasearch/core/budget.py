"""What a sweep has spent of what it may spend."""

from __future__ import annotations

from dataclasses import dataclass

from metasearch.core.history import OUT_OF_BUDGET, History


@dataclass(frozen=True)
class Spending:
    """One limit of the budget. ``unit`` says what both numbers count."""

    unit: str
    spent: float
    limit: float

    @property
    def share(self) -> float:
        return min(self.spent / self.limit, 1.0)


def spending(history: History, now: float) -> list[Spending]:
    """Every limit that is set, the number of trials first. Trials count as spent once they have ended."""
    budget = history.sweep.budget
    waiting = len(history.running) + len(history.paused) + len(history.interrupted)
    trials = [] if budget.trials is None else [Spending("trials", len(history) - waiting, budget.trials)]
    return trials + _running_costs(history, now)


def _running_costs(history: History, now: float) -> list[Spending]:
    """What running trials draw on."""
    sweep = history.sweep
    budget, hours = sweep.budget, history.train_seconds / 3600
    open_since = 0.0 if history.closed is not None else max(now - history.time, 0.0)
    costs = (
        (sweep.task.unit, history.steps_spent, budget.steps),
        ("seconds", history.wall_seconds + open_since, budget.wall_seconds),
        ("CPU hours", hours * sweep.resources.cpu, budget.cpu_hours),
        ("GPU hours", hours * sweep.resources.gpu, budget.gpu_hours),
    )
    return [Spending(unit, spent, limit) for unit, spent, limit in costs if limit is not None]


def spent_in_full(history: History, now: float) -> bool:
    """Is a budget used up that running trials draw on?"""
    return any(cost.spent >= cost.limit for cost in _running_costs(history, now))


def exhausted(history: History, now: float) -> str | None:
    """Why no further leg may start, or None."""
    if spent_in_full(history, now):
        return OUT_OF_BUDGET
    limit = history.sweep.budget.trials
    waiting = history.running or history.paused or history.interrupted
    return f"all {limit} trials ended" if limit is not None and len(history) >= limit and not waiting else None
