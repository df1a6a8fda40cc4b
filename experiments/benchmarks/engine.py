"""How fast the engine decides, in simulation with ASHA and random search: reports per second, growth with the sweep, memory.

    python experiments/benchmarks/engine.py [--json]

Goals: at least 2,000 reports/s; the time per report at 10,000 trials at most 1.5 times that at 100; at most 2 kB per report.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import tracemalloc

from metasearch.backends.simulated import simulate
from metasearch.core.engine import Engine
from metasearch.core.event import Reported
from metasearch.core.protocols import MemoryLog
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.search.asha import Asha
from metasearch.search.random import Random
from metasearch.testing.curves import BowlCurves
from metasearch.testing.spaces import CONDITIONAL

WORKERS = 8
SIZES = (100, 1_000, 10_000)
WARM_UP, LEAST_SECONDS = 20, 2.0


def simulated(trials: int) -> tuple[MemoryLog, float]:
    """The log of one sweep and the seconds it took."""
    sweep = Sweep("benchmark", Task("bowl"), CONDITIONAL, horizon=1000, reports=100, budget=Budget(trials=trials))
    log = MemoryLog()
    engine = Engine.open(sweep, Random(), Asha(), log, now=0.0)
    started = time.perf_counter()
    simulate(engine, BowlCurves(), WORKERS)
    return log, time.perf_counter() - started


def microseconds_per_report(trials: int) -> float:
    """The fastest of as many sweeps as fit into the measuring time, at least three: other load only ever adds."""
    best, spent, runs = float("inf"), 0.0, 0
    while spent < LEAST_SECONDS or runs < 3:
        gc.collect()
        log, seconds = simulated(trials)
        best, spent, runs = min(best, seconds / _reports(log)), spent + seconds, runs + 1
    return best * 1e6


def bytes_per_report(trials: int) -> float:
    """Everything that the driver holds at the end: the log in memory, the history, the views."""
    tracemalloc.start()
    log, _ = simulated(trials)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held / _reports(log)


def _reports(log: MemoryLog) -> int:
    return sum(isinstance(fact, Reported) for fact in log.facts)


def main() -> None:
    simulated(WARM_UP)
    times = {trials: microseconds_per_report(trials) for trials in SIZES}
    figures = {
        "microseconds_per_report": times,
        "reports_per_second": 1e6 / times[SIZES[-1]],
        "growth": times[SIZES[-1]] / times[SIZES[0]],
        "bytes_per_report": bytes_per_report(SIZES[1]),
    }
    if "--json" in sys.argv[1:]:
        print(json.dumps(figures))
        return
    print(f"{'trials':>8} {'µs/report':>10} {'reports/s':>10}")
    for trials, microseconds in times.items():
        print(f"{trials:>8,} {microseconds:>10.0f} {1e6 / microseconds:>10,.0f}")
    print(f"time per report at {SIZES[-1]:,} trials ÷ at {SIZES[0]:,}: {figures['growth']:.2f}   (goal ≤ 1.5)")
    print(f"reports per second at {SIZES[-1]:,} trials: {figures['reports_per_second']:,.0f}   (goal ≥ 2,000)")
    print(f"memory per report: {figures['bytes_per_report']:,.0f} bytes   (goal ≤ 2,000)")


if __name__ == "__main__":
    main()
