"""Two sweeps of one task side by side: who was where after how much, and what the winners differ in."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from metasearch.core.errors import UserError
from metasearch.core.event import Fact, Reported
from metasearch.core.history import NEVER_BEST, History
from metasearch.core.task import metric_value
from metasearch.store.archive import Store

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Where two sweeps are compared, as shares of what the smaller one spent."""


@dataclass(frozen=True)
class Progress:
    """One sweep's best loss so far, after every report that made it better. Trials that diverged or failed in the end do not count.

    ``steps``: spent by all trials. ``seconds``: while a driver was there.
    """

    history: History
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    @staticmethod
    def of(facts: Iterable[Fact]) -> Progress:
        facts = list(facts)
        lost = {trial.number for trial in History.fold(facts) if trial.state in NEVER_BEST}
        progress, best = Progress(History()), math.inf
        for fact in facts:
            progress.history.apply(fact)
            if isinstance(fact, Reported) and fact.trial not in lost and -math.inf < fact.loss < best:
                best = fact.loss
                progress.steps.append(progress.history.steps_spent)
                progress.seconds.append(progress.history.wall_seconds)
                progress.losses.append(best)
        return progress

    def best_after(self, spent: list[int] | list[float], budget: float) -> float | None:
        """``spent``: its own ``steps`` or ``seconds``."""
        count = bisect_right(spent, budget)
        return self.losses[count - 1] if count else None

    def reached(self, loss: float) -> dict[str, float] | None:
        """What it had spent when it was at ``loss`` or better; None if it never was."""
        found = next((index for index, reached in enumerate(self.losses) if reached <= loss), None)
        return None if found is None else {"steps": self.steps[found], "seconds": self.seconds[found]}


@dataclass(frozen=True)
class Comparison:
    """``sweeps``: what each is and how it ended. ``budgets``: the best of each after equal steps, then after equal seconds. All are
    losses, which are minimised; ``value`` tells the metric, of which ``direction`` ("lower" or "higher") is better.

    ``better``: the sweep with the lower loss, ``tied``: is that within the noise between seeds? None if that cannot be told.
    ``to_reach``: by sweep what it spent to be where the other one ended. ``differing``: parameters of the two winners.
    """

    task: str
    metric: str
    direction: str
    unit: str
    sweeps: list[dict[str, Any]]
    budgets: list[dict[str, Any]]
    better: str | None
    difference: float | None
    noise: float | None
    tied: bool | None
    to_reach: dict[str, dict[str, float] | None]
    differing: dict[str, list[Any]]

    def value(self, loss: float | None) -> float | None:
        """The metric as the user sees it: that of a loss."""
        return None if loss is None else metric_value(loss, self.direction)


def compare(store: Store, one: str, other: str) -> Comparison:
    """Raises UserError if one is not there, both are the same, or they are not of one task."""
    if one == other:
        raise UserError(f"A sweep is compared with another one; found {one} twice.")
    progress = {name: Progress.of(store.facts(name)) for name in (one, other)}
    first, second = progress.values()
    task, theirs = first.history.sweep.task, second.history.sweep.task
    if task.id != theirs.id:
        raise UserError(
            f"{one} is a sweep of the task {task.name} ({task.id}), {other} one of {theirs.name} ({theirs.id}): losses of "
            "different tasks cannot be compared."
        )
    rows = store.best(task.id, "sweep", sweeps=[one, other]).to_pylist()
    told = len(rows) == 2 and rows[0]["noise"] is not None
    winners = {row["sweep"]: first.history[row["trial"]] if row["sweep"] == one else second.history[row["trial"]] for row in rows}
    ends = {name: min(progress[name].losses, default=-math.inf) for name in progress}
    return Comparison(
        task=task.name,
        metric=task.metric,
        direction=task.better,
        unit=task.unit,
        sweeps=[_summary(name, progress[name], {row["sweep"]: row for row in rows}) for name in progress],
        budgets=_budgets(progress),
        better=rows[0]["sweep"] if rows else None,
        difference=rows[1]["loss"] - rows[0]["loss"] if len(rows) == 2 else None,
        noise=max(row["noise"] for row in rows) if told else None,
        tied=rows[1]["tied_with"] is not None if told else None,
        to_reach={one: first.reached(ends[other]), other: second.reached(ends[one])},
        differing=_differing(*(dict(winners[name].config) for name in progress)) if len(winners) == 2 else {},
    )


def _summary(name: str, progress: Progress, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    history, row = progress.history, rows.get(name, {})
    told = {key: row.get(key) for key in ("trial", "loss", "strategy", "seeds", "mean")}
    spent = {"trials": len(history), "steps": history.steps_spent, "seconds": history.wall_seconds}
    return {"sweep": name, **spent, **told, "searcher": history.sweep.search.get("searcher"), "closed": history.closed}


def _budgets(progress: dict[str, Progress]) -> list[dict[str, Any]]:
    """At shares of what the smaller sweep spent in all."""
    rows: list[dict[str, Any]] = []
    steps = min(one.history.steps_spent for one in progress.values())
    seconds = min(one.history.wall_seconds for one in progress.values())
    for share in SHARES:
        at = int(steps * share)
        rows.append({"steps": at, **{name: one.best_after(one.steps, at) for name, one in progress.items()}})
    for share in SHARES:
        at_seconds = seconds * share
        rows.append({"seconds": at_seconds, **{name: one.best_after(one.seconds, at_seconds) for name, one in progress.items()}})
    return rows


def _differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, list[Any]]:
    names = sorted({*one, *other})
    return {name: [one.get(name), other.get(name)] for name in names if one.get(name) != other.get(name)}
