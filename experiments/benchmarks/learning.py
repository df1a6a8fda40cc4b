"""How long ``metasearch meta learn`` takes over a store of many sweeps, beside SQL over all of their curves.

    python experiments/benchmarks/learning.py [--sweeps 100] [--trials 200] [--tasks 20] [--store FOLDER] [--json]

The sweeps are simulated, random search with ASHA and ten reports, on as many tasks as asked. Then the command is timed as a whole,
in a process of its own and on one thread: learning from everything, and once more after another sweep ended. Goal: 100
sweeps with 200 trials each in at most two minutes on two cores. ``--store`` keeps the generated store and uses one that is there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from many_sweeps import run
from selector_speed import SPACE

from metasearch.backends.simulated import simulate
from metasearch.core.engine import Engine
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.search.asha import Asha
from metasearch.search.random import Random
from metasearch.store import Store
from metasearch.testing.curves import BowlCurves

REPORTS = 10


def add_sweep(store: Store, number: int, trials: int, tasks: int) -> None:
    task = Task(f"task {number % tasks}", source={"number": number % tasks})
    sweep = Sweep(f"sweep-{number:04d}", task, SPACE, 100, REPORTS, Budget(trials=trials), seed=number)
    with store.open_log(sweep.name) as log:
        simulate(Engine.open(sweep, Random(), Asha(), log, 0.0), BowlCurves(noise=0.02), 8)


def seconds_learning(store: Path) -> float:
    command = [str(Path(sys.executable).with_name("metasearch")), "meta", "learn", "--store", str(store), "--json"]
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - began


def seconds_reading(store: Store) -> float:
    began = time.perf_counter()
    store.query("select count(*), sum(loss) from curves")
    return time.perf_counter() - began


def measured(folder: Path, sweeps: int, trials: int, tasks: int) -> dict[str, float]:
    store = Store(folder)
    for number in range(len(store.sweeps()), sweeps):
        add_sweep(store, number, trials, tasks)
    found = {"learning from all sweeps": seconds_learning(folder)}
    add_sweep(store, len(store.sweeps()), trials, tasks)
    found["learning again after one more"] = seconds_learning(folder)
    found["SQL over all curves"] = seconds_reading(store)
    return found


if __name__ == "__main__":
    run(measured, 100, 200, 20)
