"""A driver in a process of its own, to be killed."""

import os
import tempfile
import time
from pathlib import Path

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
from tests.forking import forked

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


def main(store_url: str, address: str, output: str) -> None:
    """``output``: a file for what this process prints. Temporary files go to the store's folder."""
    os.environ["TMPDIR"], tempfile.tempdir = store_url, None
    with open(output, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    store = Store(store_url)
    with store.open_log(SWEEP.name) as log, tune.cluster(address):
        searcher, scheduler = catalog.build_searcher(SEARCHER), catalog.build_scheduler(SCHEDULER)
        patient = PatientLog(log, lambda message: print(message, flush=True))
        engine = Engine.open(SWEEP, searcher, scheduler, patient, time.time())
        if engine.history.facts > 1:
            engine.resume(time.time())
        print(tune.run(engine, store.url, CurveRunner, Silent()), flush=True)


class Driver:
    def __init__(self, store: Store, address: str, output: Path) -> None:
        self._output = output
        self._process = forked(main, store.url, address, str(output))

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def status(self) -> int | None:
        """The exit code; negative for a signal, None while it runs."""
        return self._process.exitcode

    @property
    def printed(self) -> str:
        return self._output.read_text() if self._output.exists() else ""

    def send(self, signal: int) -> None:
        os.kill(self.pid, signal)

    def ended(self, seconds: float) -> str:
        """What it printed until its end. Raises TimeoutError if it does not come."""
        self._process.join(seconds)
        if self.status is None:
            raise TimeoutError(f"the driver still runs after {seconds} s")
        return self.printed

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
