"""A driver in a process of its own, to be killed: drive.py STORE ADDRESS."""

import sys
import time

from metasearch import catalog
from metasearch.backends import tune
from metasearch.core.engine import Engine
from metasearch.core.history import History
from metasearch.core.space import Choice, Float, Space
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.store.archive import Store
from metasearch.store.patience import PatientLog
from metasearch.testing.runners import CurveRunner

SWEEP = Sweep(
    "bowl",
    Task("bowl"),
    Space.of(kind=Choice(("a", "b")), x=Float(0.0, 1.0)),
    horizon=9,
    reports=9,
    budget=Budget(trials=16),
    seed=5,
    settings={"sleep": 0.03},
)
SEARCHER, SCHEDULER = "tpe", "asha_promotion"


class Silent:
    def tick(self, history: History, busy: int, slots: int) -> str | None:
        return None


def main(store_url: str, address: str) -> None:
    store = Store(store_url)
    with store.open_log(SWEEP.name) as log, tune.cluster(address):
        searcher, scheduler = catalog.build_searcher(SEARCHER), catalog.build_scheduler(SCHEDULER)
        patient = PatientLog(log, lambda message: print(message, flush=True))
        engine = Engine.open(SWEEP, searcher, scheduler, patient, time.time())
        if engine.history.facts > 1:
            engine.resume(time.time())
        print(tune.run(engine, store.url, CurveRunner, Silent()))


if __name__ == "__main__":
    main(*sys.argv[1:])
