"""How fast questions over many sweeps are, before and after ``metasearch store compact``, each beside SQLite with the same trials.

    python experiments/benchmarks/many_sweeps.py [--sweeps 10000] [--trials 100] [--tasks 10] [--store FOLDER] [--json]

Goal: ``best`` over 1,000,000 trials of 10,000 sweeps in at most 0.1 s. ``--store`` keeps the generated store and uses one that is
there, so that only the questions are asked again.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from metasearch.core.event import Action, Closed, Fact, Judged, Opened, Proposed, Reported, TrialId
from metasearch.core.history import COMPLETED
from metasearch.core.rng import derive
from metasearch.core.sweep import Sweep
from metasearch.core.task import Task
from metasearch.store import Store
from metasearch.testing.spaces import CONDITIONAL


def facts_of(name: str, task: Task, trials: int) -> Iterator[Fact]:
    """Every trial with one report; every tenth config with two seeds."""
    yield Opened(0.0, Sweep(name, task, CONDITIONAL, horizon=100).record())
    rng = derive(0, name)
    config = CONDITIONAL.sample(rng)
    for number in map(TrialId, range(trials)):
        config = config if number % 10 == 1 else CONDITIONAL.sample(rng)
        loss = float(5.0 + rng.standard_normal())
        metrics = {"val_loss": loss, "val_bpb": loss * 1.44, "tokens": 1e4, "parameters": 1e5}
        yield Proposed(float(number), number, config, number, "random", "drawn")
        yield Reported(float(number), number, 0, 100, loss, 10.0, metrics)
        yield Judged(float(number), number, 100, Action.STOP, COMPLETED)
    yield Closed(float(trials), "all trials ended")


def made(store: Store, sweeps: int, trials: int, tasks: int) -> None:
    for number in range(sweeps):
        name, task = f"sweep-{number:05d}", Task(f"task {number % tasks}", source={"number": number % tasks})
        with store.open_log(name) as log:
            log.append(list(facts_of(name, task, trials)))


def as_sqlite(store: Store, path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE trials (sweep TEXT, trial INTEGER, task TEXT, strategy TEXT, loss REAL, config TEXT)")
    columns = ("sweep", "trial", "task", "strategy", "loss", "config")
    rows = zip(*(store.trials()[name].to_pylist() for name in columns), strict=True)
    database.executemany("INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?)", rows)
    database.commit()
    return database


def seconds_of(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def fastest(action: Callable[[], object], times: int = 5) -> float:
    """Other load only ever adds."""
    return min(seconds_of(action) for _ in range(times))


BEST = """
    SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY task ORDER BY loss, sweep, trial) AS rank FROM trials) WHERE rank <= 10
"""
BY_STRATEGY = "SELECT strategy, min(loss), count(*) FROM trials WHERE task = 'task 0' GROUP BY strategy ORDER BY 2"
SQL = "select strategy, min(loss), count(*) from trials where task = 'task 0' group by 1 order by 2"


def measured(folder: Path, sweeps: int, trials: int, tasks: int) -> dict[str, float]:
    store = Store(folder / "store")
    found: dict[str, float] = {}
    if not (folder / "store").exists():
        found["writing the sweeps"] = seconds_of(lambda: made(store, sweeps, trials, tasks))
        found["first question: making the views of each sweep"] = seconds_of(store.trials)
    if not (folder / "store" / "compacted").exists():
        found["best, not compacted"] = seconds_of(store.best)
        found["compact"] = seconds_of(store.compact)
    found["best of one task"] = fastest(lambda: store.best("task 0"))
    found["best of every task"] = fastest(store.best)
    found["best of each strategy, one task"] = fastest(lambda: store.best("task 0", "strategy"))
    found["best at equal steps"] = fastest(lambda: store.best("task 0", at=50), 1)
    found["SQL over trials"] = fastest(lambda: store.query(SQL), 2)
    if not (folder / "trials.sqlite").exists():
        as_sqlite(store, folder / "trials.sqlite").close()
    database = sqlite3.connect(folder / "trials.sqlite")
    found["SQLite: best of every task"] = fastest(lambda: database.execute(BEST).fetchall(), 2)
    found["SQLite: best of each strategy, one task"] = fastest(lambda: database.execute(BY_STRATEGY).fetchall(), 2)
    database.close()
    found["MB of the ranking"] = (folder / "store/compacted/ranking.parquet").stat().st_size / 1e6
    return found


def run(measured: Callable[[Path, int, int, int], dict[str, float]], sweeps: int, trials: int, tasks: int) -> None:
    """Asks for the size of the store on the command line, with these defaults, and prints what is ``measured`` of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sweeps", type=int, default=sweeps)
    parser.add_argument("--trials", type=int, default=trials)
    parser.add_argument("--tasks", type=int, default=tasks)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(asked.store or Path(folder), asked.sweeps, asked.trials, asked.tasks)
    if asked.json:
        print(json.dumps(found))
        return
    print(f"{asked.sweeps:,} sweeps with {asked.trials:,} trials each, {asked.tasks} tasks")
    for name, value in found.items():
        print(f"{name:<50} {value:>9.3f}{'' if 'MB' in name else ' s'}")


if __name__ == "__main__":
    run(measured, 10_000, 100, 10)
