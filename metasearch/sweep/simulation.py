"""What a search would have cost over curves that are already recorded: a table of curves, or a task of one's own store."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from metasearch.backends.simulated import News, RecordedCurves, simulate
from metasearch.core.engine import Engine
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.event import TrialId, Verdict
from metasearch.core.history import History, Trial
from metasearch.core.protocols import MemoryLog, Proposal, Scheduler, Searcher
from metasearch.core.recording import RecordedTable
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.sweep.contestants import Entry, Spec
from metasearch.sweep.sources import CORRUPTIONS, read_sources, read_target


@dataclass(frozen=True)
class Replay:
    """How a simulated sweep went.

    ``trajectory``: after every report, what was spent, in full-training equivalents (the median length of the table's curves), and
    the lowest loss seen so far. ``seconds_deciding``: real time of every decision, ``seconds_learning`` that of learning from the
    sources before the first. ``normalised_regret``: that of the best loss at the end. ``sources``: the tasks known beforehand, each
    by at most ``source_trials`` trials; ``learned``: whether the searcher could make any use of them.
    """

    target: str
    searcher: str
    scheduler: str
    trials: int
    decisions: int
    trajectory: list[tuple[float, float]]
    seconds_deciding: list[float]
    normalised_regret: float
    sources: list[str]
    source_trials: int
    seconds_learning: float
    learned: bool


def replay(
    target: str,
    *,
    searcher: Spec = "tpe",
    scheduler: Spec | None = None,
    workers: int = 1,
    budget: float = 20.0,
    seed: int = 0,
    sources: Sequence[str] = (),
    source_trials: int = 30,
    corrupt: str = "none",
    descriptors: bool = True,
    lacking: float = 0.0,
    shifted: bool = False,
) -> Replay:
    """Searches the recorded configs of ``target`` (``FILE.parquet:TASK`` or ``STORE:TASK``) for ``budget`` full trainings.

    ``searcher``: a searcher, a learned algorithm, or ``asha`` and ``hyperband`` for random search with them. Without a
    ``scheduler`` it gets the one that fits it. A learned algorithm has seen ``source_trials`` random trials of each of ``sources``
    (written as the target is; the task ``*`` is every other task), as ``corrupt`` leaves them (one of ``CORRUPTIONS``), and,
    unless ``descriptors`` is false, the numbers that describe the tasks. ``lacking`` and ``shifted`` as in ``read_sources``.
    Raises UserError if the target, a source, an algorithm or a number does not work.
    """
    _check(workers=workers, budget=budget, source_trials=source_trials, corrupt=corrupt, lacking=lacking)
    entry = Entry.of(searcher, scheduler)
    table = read_target(target)
    known = read_sources(
        sources,
        target,
        trials=source_trials,
        corrupt=corrupt,
        descriptors=descriptors,
        seed=seed,
        lacking=lacking,
        shifted=shifted,
    )
    contestant = entry.prepared(known.archive, seed)
    watch = _Stopwatch(contestant.searcher, contestant.scheduler)
    full = statistics.median(recording.steps[-1] for recording in table.recordings.values())
    engine = Engine.open(_sweep(table, math.ceil(budget * full), seed, descriptors), watch, watch, MemoryLog(), 0.0)
    trajectory: list[tuple[float, float]] = []

    def record(news: News) -> None:
        trajectory.append((engine.history.steps_spent / full, engine.history.best_loss))

    simulate(engine, RecordedCurves(table), workers, on_fact=record)
    return Replay(
        target=target,
        searcher=contestant.searcher_name,
        scheduler=contestant.scheduler_name,
        trials=len(engine.history),
        decisions=len(watch.seconds),
        trajectory=trajectory,
        seconds_deciding=watch.seconds,
        normalised_regret=normalised_regret(table, engine.history.best_loss),
        sources=list(known.names),
        source_trials=source_trials,
        seconds_learning=contestant.seconds_learning,
        learned=contestant.learned,
    )


def normalised_regret(table: RecordedTable, best: float) -> float:
    """(best - lowest of the table) / (median over configs of each one's lowest - lowest of the table), cut to [0, 1].

    If more than half of the configs never had a finite loss, the median is that of the others.
    """
    lowest = [min((x for x in r.losses if math.isfinite(x)), default=math.inf) for r in table.recordings.values()]
    floor, middle = min(lowest), statistics.median(lowest)
    if not math.isfinite(middle):
        middle = statistics.median([loss for loss in lowest if math.isfinite(loss)] or [math.inf])
    if not math.isfinite(best) or middle <= floor:
        return 1.0 if best > floor else 0.0
    return min(max((best - floor) / (middle - floor), 0.0), 1.0)


def _check(*, workers: int, budget: float, source_trials: int, corrupt: str, lacking: float) -> None:
    faults = [
        f"{name} must be above 0, found {number}" for name, number in (("workers", workers), ("budget", budget)) if not number > 0
    ]
    faults += [f"source trials must be at least 1, found {source_trials}"] if source_trials < 1 else []
    faults += [f"the lacking share must be from 0 up to, but not, 1, found {lacking}"] if not 0 <= lacking < 1 else []
    if corrupt not in CORRUPTIONS:
        faults.append(f'there is no way to corrupt called "{corrupt}".{did_you_mean(corrupt, CORRUPTIONS)}')
    if faults:
        raise UserError("This simulation cannot be run:", faults)


def _sweep(table: RecordedTable, steps: int, seed: int, descriptors: bool) -> Sweep:
    return Sweep(
        name="simulation",
        task=Task(table.task_name, kind="recorded", unit="steps", descriptor=table.descriptor if descriptors else {}),
        space=table.space,
        horizon=table.horizon,
        budget=Budget(trials=len(table.recordings), steps=steps),
        seed=seed,
    )


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
