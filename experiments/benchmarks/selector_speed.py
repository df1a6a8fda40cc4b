"""How long the meta-selector takes for a decision in a sweep of many trials, against Optuna's TPE in the same run.

    python experiments/benchmarks/selector_speed.py --trials 1000

The sweep is simulated with random search and ASHA up to that many trials; then decisions are timed on one thread, as the trials go
on: one judgement after every report, one proposal after every pause. History: 12 past tasks of 50 trials.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import time
from dataclasses import replace

import numpy as np

from metasearch.backends.simulated import simulate
from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.engine import Engine
from metasearch.core.history import History
from metasearch.core.protocols import MemoryLog, Scheduler, Searcher
from metasearch.core.rng import derive
from metasearch.core.space import Choice, Float, Int, Space
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.meta.selector import META
from metasearch.search.asha import Asha
from metasearch.search.random import Random
from metasearch.search.tpe import Tpe
from metasearch.testing.curves import BowlCurves, bowl

SPACE = Space.of(
    model=Choice(("lstm", "gru", "transformer")),
    optimizer=Choice(("adamw", "sgd", "lion")),
    lr=Float(1e-5, 1.0, log=True),
    dropout=Float(0.0, 0.5),
    weight_decay=Float(1e-6, 1e-1, log=True),
    width=Int(32, 512, log=True),
    depth=Int(1, 4),
    batch_size=Int(4, 64, log=True),
)
DECISIONS = 200


def past(tasks: int = 12, trials: int = 50) -> Archive:
    rng = derive(0, "past")
    steps = tuple(range(10, 101, 10))
    made = []
    for task in range(tasks):
        configs = [SPACE.sample(rng) for _ in range(trials)]
        curves = [tuple(bowl(SPACE, c) + 1.0 / s for s in steps) for c in configs]
        rows = [
            PastTrial(c, SPACE.encode(c), steps, curve, tuple(map(float, steps))) for c, curve in zip(configs, curves, strict=True)
        ]
        made.append(PastTask(str(task), str(task), 100, tuple(rows), frozenset(SPACE.names)))
    return Archive(tuple(made))


def history_of(trials: int) -> MemoryLog:
    log = MemoryLog()
    sweep = Sweep("speed", Task("bowl"), SPACE, 100, 10, Budget(trials=trials))
    simulate(Engine.open(sweep, Random(), Asha(), log, 0.0), BowlCurves(noise=0.02), 8)
    return MemoryLog(log.facts[:-1])


class Timed:
    """Passes every question on and times those that are ``counted``."""

    def __init__(self, searcher: Searcher, scheduler: Scheduler, counted: tuple[str, ...]) -> None:
        self.searcher, self.scheduler, self.counted, self.seconds = searcher, scheduler, counted, []

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        asked = getattr(self.searcher if name == "propose" else self.scheduler, name)
        if name not in self.counted:
            return asked

        def timed(*arguments):  # type: ignore[no-untyped-def]
            began = time.perf_counter()
            answer = asked(*arguments)
            self.seconds.append(time.perf_counter() - began)
            return answer

        return timed


def decisions(log: MemoryLog, searcher: Searcher, scheduler: Scheduler, counted: tuple[str, ...]) -> tuple[float, np.ndarray]:
    """Seconds of the first decision, which reads the history, and of those that follow."""
    history = History.fold(log.read())
    history.sweep = replace(history.sweep, budget=Budget(steps=history.steps_spent + DECISIONS * 10))
    timed = Timed(searcher, scheduler, counted)
    simulate(Engine(history, timed, timed, MemoryLog()), BowlCurves(noise=0.02), 8)
    return timed.seconds[0], np.array(timed.seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description="Milliseconds per decision.")
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    import torch

    torch.set_num_threads(1)
    began = time.perf_counter()
    selector = META.build(META.learn(META.init(derive(0, "i")), past(), derive(0, "l")))
    print(f"learned from 600 trials of 12 tasks in {time.perf_counter() - began:.1f} s")
    log, nothing = history_of(trials), META.build(META.init(derive(0, "i")))
    contestants = (
        ("meta, every decision", selector, selector, ("propose", "judge", "thaw")),
        ("meta with nothing known, every decision", nothing, nothing, ("propose", "judge", "thaw")),
        ("Optuna's TPE, proposals", Tpe(), Asha(), ("propose",)),
    )
    for name, searcher, scheduler, counted in contestants:
        first, seconds = decisions(log, searcher, scheduler, counted)
        median, late = np.median(seconds) * 1e3, np.quantile(seconds, 0.99) * 1e3
        print(f"{trials} trials, {name}: median {median:.1f} ms, p99 {late:.1f} ms over {len(seconds)}; first {first * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
