"""How much of its slots' time a sweep uses, from the facts of its log.

    python experiments/studies/slots.py [--trials 2000] [--workers 64]     in the simulator, durations from 1 to about 20
    python experiments/studies/slots.py --real [--trials 48]               trials of 22 s on three Ray nodes of four slots each

Prints two shares for each scheduler: from the start of the first leg to that of the last, while there is always more to do; and
to the end of the last, with the tail in which slots have nothing left to run. A leg has its slot from its proposal on, so the start
of its worker counts; in the real run the third share is that of training alone, to the end of the last leg.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from metasearch import catalog
from metasearch.backends.simulated import Breakdown, simulate
from metasearch.core.engine import Engine
from metasearch.core.event import Action, Fact, Failed, Judged, Proposed, Reported, Resumed, Thawed
from metasearch.core.history import History, Trial
from metasearch.core.protocols import MemoryLog, Progress
from metasearch.core.rng import derive
from metasearch.core.space import Choice, Float, Space
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.store.archive import Store
from metasearch.testing.curves import BowlCurves
from metasearch.testing.runners import CurveRunner

SCHEDULERS = ("fifo", "asha", "asha_promotion", "hyperband", "median")
SECONDS = 22.0
"""Of a trial in the real run."""

SPACE = Space.of(kind=Choice(("a", "b")), x=Float(0.0, 1.0))


def slots_busy(facts: Iterable[Fact], slots: int) -> tuple[float, float]:
    """Shares of the slots' time in which a leg had one: until the last leg starts, and until the last one ends.

    Of a leg that lost its driver the log knows no end: it counts until its last report.
    """
    open_since: dict[int, tuple[float, float]] = {}
    legs: list[tuple[float, float]] = []
    for fact in facts:
        if isinstance(fact, Proposed | Thawed):
            open_since[fact.trial] = (fact.time, fact.time)
        elif isinstance(fact, Reported) and fact.trial in open_since:
            open_since[fact.trial] = (open_since[fact.trial][0], fact.time)
        elif isinstance(fact, Failed) or (isinstance(fact, Judged) and fact.action is not Action.CONTINUE):
            if fact.trial in open_since:
                legs.append((open_since.pop(fact.trial)[0], fact.time))
        elif isinstance(fact, Resumed):
            legs += open_since.values()
            open_since.clear()
    legs += open_since.values()
    begin, last_start, end = min(a for a, _ in legs), max(a for a, _ in legs), max(b for _, b in legs)
    return _share(legs, begin, last_start, slots), _share(legs, begin, end, slots)


def _share(legs: list[tuple[float, float]], begin: float, end: float, slots: int) -> float:
    return sum(max(0.0, min(b, end) - a) for a, b in legs) / (slots * max(1e-9, end - begin))


@dataclass(frozen=True)
class MixedCurves:
    """Bowl curves whose trials take 1 to about 20 times as long, at random, log-uniformly."""

    inner: BowlCurves

    def advance(self, history: History, trial: Trial) -> Progress | Breakdown:
        progress = self.inner.advance(history, trial)
        slower = 20.0 ** derive(trial.seed, "slower", 0).random()
        return replace(progress, seconds=trial.seconds + (progress.seconds - trial.seconds) * slower)


def simulated(trials: int, workers: int) -> dict[str, list[float]]:
    found = {}
    for scheduler in SCHEDULERS:
        sweep = Sweep("slots", Task("slots"), SPACE, horizon=27, reports=9, budget=Budget(trials=trials), seed=1)
        log = MemoryLog()
        engine = Engine.open(sweep, catalog.build_searcher("random"), catalog.build_scheduler(scheduler), log, 0.0)
        simulate(engine, MixedCurves(BowlCurves()), workers)
        found[scheduler] = [round(share, 4) for share in slots_busy(log.facts, workers)]
    return found


class Silent:
    def tick(self, history: History, busy: int, slots: int) -> str | None:
        return None


def real(trials: int) -> dict[str, list[float]]:
    from ray.cluster_utils import Cluster

    from metasearch.backends import tune

    sweep = Sweep(
        "slots", Task("slots"), SPACE, 9, reports=9, budget=Budget(trials=trials), seed=1, settings={"sleep": SECONDS / 9}
    )
    with tempfile.TemporaryDirectory(prefix="ms-s-") as folder:
        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": f"{folder}/ray"}
        nodes = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(3):
            nodes.add_node(num_cpus=4)
        store = Store(f"{folder}/store")
        try:
            with store.open_log("slots") as log, tune.cluster(nodes.address):
                engine = Engine.open(sweep, catalog.build_searcher("random"), catalog.build_scheduler("fifo"), log, time.time())
                tune.run(engine, store.url, CurveRunner, Silent())
        finally:
            nodes.shutdown()
        facts = list(store.facts("slots"))
        moments = [fact.time for fact in facts if isinstance(fact, Proposed | Judged)]
        training = trials * SECONDS / (12 * (max(moments) - min(moments)))
        return {"fifo": [round(share, 4) for share in (*slots_busy(facts, 12), training)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--real", action="store_true")
    asked = parser.parse_args()
    found = real(asked.trials or 48) if asked.real else simulated(asked.trials or 2000, asked.workers)
    json.dump(found, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
