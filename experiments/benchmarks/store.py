"""How fast the store is, each figure beside what the disk or SQLite does with the same content in the same run.

    python experiments/benchmarks/store.py [--json]

Goals: a durable decision at most 3 ms; opening a sweep of 200,000 facts at most 2 s; ``best`` over 1,000,000 reports at most 0.5 s.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metasearch.core.config import Config
from metasearch.core.event import Action, Fact, Judged, Opened, Proposed, Reported, TrialId
from metasearch.core.history import COMPLETED
from metasearch.core.rng import derive
from metasearch.core.sweep import Sweep
from metasearch.core.task import Task
from metasearch.store import Store
from metasearch.testing.spaces import CONDITIONAL

DECISIONS = 1_000
OPENED_FACTS = 200_000
SWEEPS, TRIALS, REPORTS = 10, 1_000, 100
"""One million reports."""


@dataclass(frozen=True)
class Figure:
    """One measurement in its unit, and the same content handled by ``peer``."""

    name: str
    unit: str
    ours: float
    peers: dict[str, float]
    goal: float | None = None


def sweep_facts(name: str, trials: int, reports: int) -> Iterator[Fact]:
    yield Opened(0.0, Sweep(name, Task("benchmark"), CONDITIONAL, horizon=reports).record())
    rng = derive(0, name)
    for number in map(TrialId, range(trials)):
        yield Proposed(float(number), number, CONDITIONAL.sample(rng), number, "random")
        losses = (5.0 + rng.standard_normal(reports)).tolist()
        for step, loss in enumerate(losses, start=1):
            yield report(number, step, loss)
            last = step == reports
            yield Judged(float(step), number, step, Action.STOP if last else Action.CONTINUE, COMPLETED if last else "")


def report(trial: TrialId, step: int, loss: float) -> Reported:
    metrics = {"val_loss": loss, "val_bpb": loss * 1.44, "train_loss": loss - 0.1, "grad_norm": 1.0, "clip_fraction": 0.1}
    metrics |= {"lr": 1e-3, "tokens": 1e4 * step, "peak_memory": 1e8, "parameters": 1e5}
    return Reported(float(step), trial, 0, step, loss, float(step), metrics)


def as_row(fact: Fact) -> tuple[str, str]:
    """What a table of JSON would hold."""
    plain = {name: getattr(fact, name) for name in fact.__slots__}
    return type(fact).__name__, json.dumps(plain, default=lambda value: dict(value) if isinstance(value, Config) else value.value)


def seconds_of(action: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - started


def fastest(action: Callable[[], object], times: int = 3) -> float:
    """Other load only ever adds."""
    return min(seconds_of(action) for _ in range(times))


def durable_decision(folder: Path) -> list[Figure]:
    """Appends, raw files and commits, one after the other, so that all meet the same disk."""
    database = sqlite3.connect(folder / "decisions.sqlite")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE facts (kind TEXT, content TEXT)")
    times: dict[str, list[float]] = {"ours": [], "raw file + fsync": [], "SQLite commit": []}
    with Store(folder / "store").open_log("decisions") as log:
        log.append([Opened(0.0, Sweep("decisions", Task("benchmark"), CONDITIONAL, DECISIONS).record())])
        for step in range(1, DECISIONS + 1):
            decision = [report(TrialId(0), step, 2.0), Judged(0.0, TrialId(0), step, Action.CONTINUE)]
            times["ours"].append(seconds_of(log.append, decision))
            times["raw file + fsync"].append(seconds_of(write_raw, folder / f"raw-{step}", 2000))
            times["SQLite commit"].append(seconds_of(commit, database, decision))
    database.close()
    medians = {name: 1000 * statistics.median(taken) for name, taken in times.items()}
    means = {name: 1000 * statistics.mean(taken) for name, taken in times.items()}
    return [
        Figure("durable decision, median", "ms", medians.pop("ours"), medians, goal=3.0),
        Figure("durable decision, mean (with merging)", "ms", means.pop("ours"), means),
    ]


def write_raw(path: Path, size: int) -> None:
    """The least that makes a new file durable: its content and its name."""
    with open(path, "wb") as file:
        file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def commit(database: sqlite3.Connection, facts: list[Fact]) -> None:
    database.executemany("INSERT INTO facts VALUES (?, ?)", map(as_row, facts))
    database.commit()


def write_sweep(store: Store, name: str, facts: list[Fact]) -> None:
    """Leaves the segments that a driver would leave: large ones, some of 64 facts, single decisions."""
    with store.open_log(name) as log:
        large, middle = len(facts) * 19 // 20, len(facts) - 60
        for start in range(0, large, 4096):
            log.append(facts[start : min(start + 4096, large)])
        for start in range(large, middle, 256):
            log.append(facts[start : min(start + 256, middle)])
        for start in range(middle, len(facts), 2):
            log.append(facts[start : start + 2])


def opening(folder: Path) -> list[Figure]:
    facts = list(sweep_facts("opened", OPENED_FACTS // (2 * REPORTS + 1) + 1, REPORTS))[:OPENED_FACTS]
    store = Store(folder / "store")
    write_sweep(store, "opened", facts)
    database = sqlite3.connect(folder / "opened.sqlite")
    database.execute("CREATE TABLE facts (kind TEXT, content TEXT)")
    commit(database, facts)
    read_all = fastest(lambda: [json.loads(content) for (content,) in database.execute("SELECT content FROM facts")])
    database.close()
    opened = fastest(lambda: store.history("opened"))
    size = sum(path.stat().st_size for path in (folder / "store/sweeps/opened/log").iterdir()) / len(facts)
    peer_size = (folder / "opened.sqlite").stat().st_size / len(facts)
    return [
        Figure(f"opening {len(facts):,} facts", "s", opened, {"SQLite read + JSON, not folded": read_all}, goal=2.0),
        Figure("size of a fact in the log", "B", size, {"SQLite": peer_size}),
    ]


def questions(folder: Path) -> list[Figure]:
    store = Store(folder / "many")
    database = sqlite3.connect(folder / "many.sqlite")
    database.execute("CREATE TABLE curves (sweep TEXT, trial INTEGER, strategy TEXT, step INTEGER, loss REAL, val_bpb REAL)")
    for number in range(SWEEPS):
        facts = list(sweep_facts(f"sweep-{number}", TRIALS, REPORTS))
        write_sweep(store, f"sweep-{number}", facts)
        strategies = {fact.trial: fact.config.strategy for fact in facts if isinstance(fact, Proposed)}
        reported = (fact for fact in facts if isinstance(fact, Reported))
        rows = ((number, f.trial, strategies[f.trial], f.step, f.loss, f.metrics["val_bpb"]) for f in reported)
        database.executemany("INSERT INTO curves VALUES (?, ?, ?, ?, ?, ?)", rows)
    database.commit()
    views = seconds_of(store.best)

    def peer(sql: str) -> dict[str, float]:
        return {"SQLite": fastest(lambda: database.execute(sql).fetchall())}

    grouped = "select strategy, min(val_bpb) from {} group by 1 order by 2"
    best = "select sweep, trial, min(loss) from curves {} group by 1, 2 order by 3 limit 10"
    figures = [
        Figure("making the views of 1,000,000 reports, once", "s", views, {}),
        Figure("best over 1,000,000 reports", "s", fastest(store.best), peer(best.format("")), goal=0.5),
        Figure("best at equal steps", "s", fastest(lambda: store.best(at=50)), peer(best.format("where step <= 50")), goal=0.5),
        Figure("SQL over trials", "s", fastest(lambda: store.query(grouped.format("trials"))), peer(grouped.format("curves"))),
        Figure(
            "SQL over curves",
            "s",
            fastest(lambda: store.query("select avg(loss) from curves")),
            peer("select avg(loss) from curves"),
        ),
    ]
    database.close()
    return figures


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures = [*durable_decision(Path(folder)), *opening(Path(folder)), *questions(Path(folder))]
    if "--json" in sys.argv[1:]:
        print(json.dumps([vars(figure) for figure in figures]))
        return
    for figure in figures:
        peers = ", ".join(f"{figure.ours / value:.2f} × {name} ({value:.3g} {figure.unit})" for name, value in figure.peers.items())
        goal = "" if figure.goal is None else f"  goal ≤ {figure.goal:g} {figure.unit}"
        print(f"{figure.name:<44} {figure.ours:>9.3g} {figure.unit:<3} {peers}{goal}")


if __name__ == "__main__":
    main()
