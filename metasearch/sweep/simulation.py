"""What a search would have cost over curves that are already recorded: a table of curves, or a task of one's own store."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metasearch import catalog
from metasearch.backends.simulated import News, RecordedCurves, simulate
from metasearch.core.engine import Engine
from metasearch.core.errors import UserError
from metasearch.core.event import TrialId, Verdict
from metasearch.core.history import History, Trial
from metasearch.core.protocols import MemoryLog, Proposal, Scheduler, Searcher
from metasearch.core.recording import RecordedTable
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.store.archive import Store
from metasearch.store.tables import read_curve_table


@dataclass(frozen=True)
class Replay:
    """How a simulated sweep went.

    ``trajectory``: after every report, what was spent, in full-training equivalents (the median length of the table's curves), and
    the lowest loss seen so far. ``seconds_deciding``: real time of every decision. ``normalised_regret``, at the end:
    (best - lowest of the table) / (median over configs of each one's lowest - lowest of the table), cut to [0, 1].
    """

    target: str
    trials: int
    decisions: int
    trajectory: list[tuple[float, float]]
    seconds_deciding: list[float]
    normalised_regret: float


def replay(
    target: str,
    *,
    searcher: str | Mapping[str, Any],
    scheduler: str | Mapping[str, Any],
    workers: int = 1,
    budget: float = 20.0,
    seed: int = 0,
) -> Replay:
    """Searches the recorded configs of ``target`` (``FILE.parquet:TASK`` or ``STORE:TASK``) for ``budget`` full trainings.

    Raises UserError if the target, an algorithm or a number does not work.
    """
    faults = [
        f"{name} must be above 0, found {number}" for name, number in (("workers", workers), ("budget", budget)) if number <= 0
    ]
    if faults:
        raise UserError("This simulation cannot be run:", faults)
    table = read_target(target)
    full = statistics.median(recording.steps[-1] for recording in table.recordings.values())
    sweep = Sweep(
        name="simulation",
        task=Task(table.task_name, kind="recorded", unit="steps"),
        space=table.space,
        horizon=table.horizon,
        budget=Budget(trials=len(table.recordings), steps=math.ceil(budget * full)),
        seed=seed,
    )
    watch = _Stopwatch(catalog.build_searcher(searcher), catalog.build_scheduler(scheduler))
    engine = Engine.open(sweep, watch, watch, MemoryLog(), 0.0)
    trajectory: list[tuple[float, float]] = []

    def record(news: News) -> None:
        trajectory.append((engine.history.steps_spent / full, engine.history.best_loss))

    simulate(engine, RecordedCurves(table), workers, on_fact=record)
    return Replay(
        target=target,
        trials=len(engine.history),
        decisions=len(watch.seconds),
        trajectory=trajectory,
        seconds_deciding=watch.seconds,
        normalised_regret=_regret(table, engine.history.best_loss),
    )


def read_target(target: str) -> RecordedTable:
    """The table behind ``FILE.parquet:TASK`` or ``STORE:TASK``."""
    place, colon, task = target.rpartition(".parquet:")
    if colon:
        return read_curve_table(f"{place}.parquet", task)
    place, colon, task = target.partition(":") if "://" not in target else target.rpartition(":")
    if not colon or not place or not task:
        raise UserError(f'A target is written FILE.parquet:TASK or STORE:TASK, found "{target}".')
    if "://" not in place and not Path(place).is_dir():
        raise UserError(f'There is no store at {place}, and "{target}" names no Parquet file.')
    return Store(place).recorded(task)


@dataclass(frozen=True)
class _Stopwatch:
    """Passes every question on and keeps how long each answer took. Asks the algorithms nothing they would not be asked anyway."""

    searcher: Searcher
    scheduler: Scheduler
    seconds: list[float] = field(default_factory=list)

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        began = time.perf_counter()
        proposal = self.searcher.propose(history, rng)
        self.seconds.append(time.perf_counter() - began)
        return proposal

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        began = time.perf_counter()
        verdict = self.scheduler.judge(history, trial, rng)
        self.seconds.append(time.perf_counter() - began)
        return verdict

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        began = time.perf_counter()
        number = self.scheduler.thaw(history, rng)
        self.seconds.append(time.perf_counter() - began)
        return number


def _regret(table: RecordedTable, best: float) -> float:
    lowest = [min((x for x in r.losses if math.isfinite(x)), default=math.inf) for r in table.recordings.values()]
    floor, middle = min(lowest), statistics.median(lowest)
    if not math.isfinite(best) or middle <= floor:
        return 1.0 if best > floor else 0.0
    return min(max((best - floor) / (middle - floor), 0.0), 1.0)
