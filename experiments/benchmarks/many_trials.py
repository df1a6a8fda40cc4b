"""Does a sweep of many short trials stay as quick and as small as it began?

    python experiments/benchmarks/many_trials.py [--trials 10000] [--seconds 900]

One driver, trials that report once and do nothing (those of tune.py), random search. Prints what a trial cost among the first
thousand and among the last (or the halves, of fewer): on the clock, and in CPU time of the driver, which other work on the machine
disturbs less; and the driver's memory after both. After ``--seconds`` it ends where it is.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from dataclasses import dataclass, field

from tune import Instant  # the benchmark beside this one

from metasearch import catalog
from metasearch.backends import tune
from metasearch.core.engine import Engine
from metasearch.core.history import History
from metasearch.core.space import Float, Space
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.store.archive import Store

SPAN = 1000


@dataclass
class Meter:
    """Observes (trials begun, seconds, CPU seconds, most bytes so far) at every tick."""

    limit_seconds: float
    seen: list[tuple[int, float, float, int]] = field(default_factory=list)

    def tick(self, history: History, busy: int, slots: int) -> str | None:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.seen.append((len(history), time.perf_counter(), time.process_time(), most))
        return "out of time" if self.seen[-1][1] - self.seen[0][1] > self.limit_seconds else None

    def cost(self, first: int, last: int) -> dict[str, float]:
        """Milliseconds per trial between two counts of trials, on the clock and of the driver's CPU; MB at the end."""
        begin = next(entry for entry in self.seen if entry[0] >= first)
        end = next(entry for entry in self.seen if entry[0] >= last)
        trials = end[0] - begin[0]
        clock, cpu = ((after - before) * 1000 / trials for before, after in zip(begin[1:3], end[1:3], strict=True))
        return {"milliseconds": round(clock, 1), "cpu_milliseconds": round(cpu, 1), "megabytes": round(end[3] / 1e6)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=900.0)
    asked = parser.parse_args()
    sweep = Sweep("many", Task("many"), Space.of(x=Float(-1.0, 1.0)), 1, reports=1, budget=Budget(trials=asked.trials))
    meter = Meter(asked.seconds)
    with tempfile.TemporaryDirectory(prefix="ms-m-") as folder, tune.cluster(cpus=2), Store(folder).open_log("many") as log:
        engine = Engine.open(sweep, catalog.build_searcher("random"), catalog.build_scheduler("fifo"), log, time.time())
        reason = tune.run(engine, folder, Instant, meter)
        ended = len(engine.history)
    warm, last = 20, meter.seen[-1][0]  # the first trials wait for their workers
    span = min(SPAN, (last - warm) // 2)
    first, newest = meter.cost(warm, warm + span), meter.cost(last - span, last)
    ratio = {name: round(newest[name] / cost, 2) for name, cost in first.items()}
    print(json.dumps({"trials": ended, "reason": reason, "first": first, "last": newest, "last_to_first": ratio}, indent=2))


if __name__ == "__main__":
    main()
