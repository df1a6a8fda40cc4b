"""Sweeps over published curves, where they are at hand: ``METASEARCH_CURVES=… pytest tests/search``."""

from __future__ import annotations

import math
import os
from pathlib import Path
from statistics import fmean, median

import pytest

from metasearch import catalog
from metasearch.backends.simulated import RecordedCurves
from metasearch.core.audit import audit
from metasearch.core.history import History, State
from metasearch.core.recording import RecordedTable
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.store.tables import read_curve_table, table_tasks
from metasearch.testing.contract import run_sweep

FOLDER = os.environ.get("METASEARCH_CURVES", "")
FILES = sorted(Path(FOLDER).glob("*.parquet")) if FOLDER else []
pytestmark = pytest.mark.skipif(not FILES, reason="METASEARCH_CURVES names no folder with curve tables")

PAIRS = [
    ("random", "fifo"),
    ("random", "asha"),
    ("sobol", "asha_promotion"),
    ("random", "hyperband"),
    ("tpe", "median"),
    ("pbt", "pbt"),
    ("pb2", "pb2"),
]


def table_sweep(table: RecordedTable, trainings: float, seed: int = 0) -> Sweep:
    """A sweep that may spend as much as so many full trainings (the median cost of a recorded curve) take."""
    full = median(recording.costs[-1] for recording in table.recordings.values())
    budget = Budget(wall_seconds=trainings * full)
    return Sweep("recorded", Task(table.task_name), table.space, table.horizon, 10, budget, seed=seed)


def run(table: RecordedTable, searcher: str, scheduler: str, trainings: float, seed: int = 0, workers: int = 1) -> History:
    algorithms = catalog.build_searcher(searcher), catalog.build_scheduler(scheduler)
    facts = run_sweep(table_sweep(table, trainings, seed), *algorithms, RecordedCurves(table), workers)
    assert audit(facts, *algorithms) == []
    return History.fold(facts)


def regret(table: RecordedTable, history: History) -> float:
    """0: the best value of the table was found; 1: nothing better than the median config's best."""
    lowest = [min(filter(math.isfinite, r.losses), default=math.inf) for r in table.recordings.values()]
    best, middle = min(lowest), median(lowest)
    return min(max((history.best_loss - best) / (middle - best), 0.0), 1.0)


@pytest.mark.parametrize("searcher, scheduler", PAIRS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_sweeps_over_published_curves_end_in_order(path: Path, searcher: str, scheduler: str) -> None:
    table = read_curve_table(path, table_tasks(path)[0])
    history = run(table, searcher, scheduler, trainings=4, workers=3)
    assert history.closed is not None and len(history) > 1
    assert all(trial.ended or trial.state is State.PAUSED for trial in history)
    configs = [trial.config.id for trial in history]
    assert len(configs) == len(set(configs)) and set(configs) <= set(table.recordings)


def test_stopping_early_pays_on_published_curves() -> None:
    path = next((path for path in FILES if path.stem == "taskset_text"), None)
    if path is None:
        pytest.skip("needs taskset_text.parquet")
    tables = [read_curve_table(path, task) for task in table_tasks(path)[:3]]
    fifo, asha = (
        fmean(regret(table, run(table, "random", scheduler, 20, seed)) for table in tables for seed in range(3))
        for scheduler in ("fifo", "asha")
    )
    assert asha < 0.6 * fifo
