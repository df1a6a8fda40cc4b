"""A worker is told that its machine will be taken away."""

from __future__ import annotations

import inspect
import os
import pathlib
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metasearch import catalog
from metasearch.backends import tune
from metasearch.backends.tune.faces import error_of
from metasearch.cluster.leaving import leave, trial_processes
from metasearch.core.engine import Engine
from metasearch.core.event import Failed, Reported
from metasearch.core.history import PREEMPTED, History, State
from metasearch.core.protocols import Assignment
from metasearch.core.sweep import Sweep
from metasearch.store.archive import Store
from metasearch.sweep.file import SweepFile
from metasearch.sweep.resolving import resolve
from metasearch.training.runner import CorpusRunner

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("ray_cluster")]


class Noted(CorpusRunner):
    """Writes down the process of each leg, and the tokens at which it goes on."""

    def __init__(self, sweep: Sweep, assignment: Assignment) -> None:
        super().__init__(sweep, assignment)
        self.notes = Path(sweep.settings["notes"])
        (self.notes / f"pid-{assignment.leg}").write_text(str(os.getpid()))

    def restore(self, checkpoint: bytes) -> None:
        super().restore(checkpoint)
        (self.notes / "tokens").write_text(str(self._trainer.standing.tokens))


class OnceInto:
    """Sends SIGTERM to the first leg's process a moment after its first report."""

    def __init__(self, notes: Path) -> None:
        self.notes, self.sent = notes, False

    def tick(self, history: History, busy: int, slots: int) -> str | None:
        if history.steps_spent and not self.sent:
            self.sent = True
            pid = int((self.notes / "pid-0").read_text())
            assert pid in trial_processes()
            threading.Timer(0.2, os.kill, (pid, signal.SIGTERM)).start()
        return None


def one_trial(folder: Path, observer: Any) -> tuple[list[Any], History]:
    (folder / "text.txt").write_text(inspect.getsource(pathlib) + inspect.getsource(inspect))
    asked = SweepFile(
        name="one",
        task={"corpus": f"file:{folder / 'text.txt'}"},
        space={"model": "lstm", "optimizer": "adamw", "width": 64, "depth": 1, "context": 32, "batch_size": 8},
        search={"searcher": "random", "scheduler": "fifo"},
        budget={"trials": 1},
        trial={"tokens": "150k", "reports": 2, "max_failures": 0},
        seed=7,
    )
    sweep = resolve(asked)
    sweep.settings["notes"] = str(folder)
    store = Store(str(folder / "store"))
    with store.open_log(sweep.name) as log:
        engine = Engine.open(sweep, catalog.build_searcher("random"), catalog.build_scheduler("fifo"), log, time.time())
        tune.run(engine, store.url, Noted, observer)
    return list(store.facts("one")), store.history("one")


def test_whoever_leaves_tells_each_trial_once_and_those_that_come_meanwhile() -> None:
    with subprocess.Popen(["sleep", "60"]) as first, subprocess.Popen(["sleep", "60"]) as second:
        looks = iter([[first.pid], [first.pid, second.pid]])
        assert leave(0.5, lambda: next(looks, [])) == 2
    assert (first.returncode, second.returncode) == (-signal.SIGTERM, -signal.SIGTERM)


def test_a_worker_told_to_end_before_its_trial_hears_signals_was_preempted_too(tmp_path: Path) -> None:
    died = "The actor died unexpectedly before finishing this task.\nWorker exits with an exit code 1. "
    for told, error in (("The process receives a SIGTERM.", PREEMPTED), ("", "the worker process died")):
        (tmp_path / "error.txt").write_text(f"{died}{told}\n")
        assert error_of(SimpleNamespace(error_file=tmp_path / "error.txt"))[0].startswith(error)


def test_a_trial_told_to_end_goes_on_after_its_last_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METASEARCH_CACHE", str(tmp_path / "cache"))
    facts, history = one_trial(tmp_path, OnceInto(tmp_path))
    assert [fact.error for fact in facts if isinstance(fact, Failed)] == [PREEMPTED]
    assert history[0].state is State.COMPLETED, "it does not count against max_failures: 0"
    reports = [fact for fact in facts if isinstance(fact, Reported)]
    assert int((tmp_path / "tokens").read_text()) > reports[0].metrics["tokens"]
    assert (tmp_path / "pid-0").read_text() != (tmp_path / "pid-1").read_text()
    assert [fact.step for fact in reports] == [75_000, 150_000]
