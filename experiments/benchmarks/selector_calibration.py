"""How often the meta-selector's 90 % intervals hold the value that a trial really reached, over published curves.

    METASEARCH_CURVES=… python experiments/benchmarks/selector_calibration.py --tables taskset_text,nmtlc

One task is left out; 30 random trials of each other task of the table are known. Of the task that was left out, random trials are
seen up to a share of their curves; the interval is that of the belief on their end.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

from pathlib import Path
from typing import Any

import numpy as np

from metasearch.core.archive import Archive
from metasearch.core.engine import Engine
from metasearch.core.event import Proposed, Reported, TrialId
from metasearch.core.history import History
from metasearch.core.protocols import MemoryLog
from metasearch.core.recording import RecordedTable
from metasearch.core.rng import derive
from metasearch.core.sweep import Sweep
from metasearch.core.task import Task
from metasearch.meta import curves
from metasearch.meta.selector import META, Selector, belief_on_ends
from metasearch.search.fifo import Fifo
from metasearch.search.random import Random
from metasearch.store.tables import read_curve_table, read_past_task, table_tasks

SHARES = (0.1, 0.25, 0.5)
SEEN, SOURCE_TRIALS, NINETY = 24, 30, 1.645


def selector_without(path: Path, target: str, seed: int, meta: Any = META) -> Selector:
    tasks = []
    for name in table_tasks(path):
        if name != target:
            task = read_past_task(path, name)
            picked = derive(seed, "source", name).permutation(len(task.trials))[:SOURCE_TRIALS]
            tasks.append(type(task)(**{**vars(task), "trials": tuple(task.trials[i] for i in picked)}))
    selector: Selector = meta.build(meta.learn(meta.init(derive(seed, "i")), Archive(tuple(tasks)), derive(seed, "l")))
    return selector


def seen_in_part(table: RecordedTable, share: float, seed: int) -> History:
    """A sweep in which random trials have reported up to ``share`` of their curves and wait."""
    task = Task(table.task_name, kind="recorded", unit="steps", descriptor=table.descriptor)
    engine = Engine.open(Sweep("seen", task, table.space, table.horizon, seed=seed), Random(), Fifo(), MemoryLog(), 0.0)
    recordings = list(table.recordings.values())
    for number, place in enumerate(derive(seed, "seen").permutation(len(recordings))[:SEEN]):
        recording = recordings[place]
        engine.history.apply(Proposed(0.0, TrialId(number), recording.config, number))
        for point in range(max(int(len(recording.steps) * share), 1)):
            engine.history.apply(Reported(0.0, TrialId(number), 0, recording.steps[point], recording.losses[point]))
    return engine.history


def held(path: Path, share: float, seeds: int) -> tuple[int, int]:
    inside = of = 0
    for target in table_tasks(path):
        table = read_curve_table(path, target)
        if len(table.recordings) < SEEN or table.horizon < 4:
            continue
        for seed in range(seeds):
            history = seen_in_part(table, share, seed)
            belief, location, scale, noise = belief_on_ends(selector_without(path, target, seed), history)
            lowest = np.array([np.nanmin([*table.recordings[t.config.id].losses, np.inf]) for t in history])
            truth = curves.squashed(curves.in_units(lowest, location, scale))
            width = NINETY * np.sqrt(belief.deviation**2 + noise)
            inside += int((np.abs(truth - belief.mean) <= width).sum())
            of += len(truth)
    return inside, of


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of 90 % intervals.")
    parser.add_argument("--curves", default=os.environ.get("METASEARCH_CURVES", ""), help="folder of tables; METASEARCH_CURVES")
    parser.add_argument("--tables", default="taskset_text,nmtlc,deepobs,algoperf,lcbench_yahpo_surrogate")
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    print("| table | " + " | ".join(f"{share:.0%} seen" for share in SHARES) + " |\n|---|---|---|---|")
    for name in asked.tables.split(","):
        cells = []
        for share in SHARES:
            inside, of = held(Path(asked.curves) / f"{name}.parquet", share, asked.seeds)
            cells.append(f"{inside / max(of, 1):.1%} of {of}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
