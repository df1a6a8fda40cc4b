"""Trials that follow a synthetic curve in a real worker process, and fail there in every way a trial can."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from metasearch.backends.simulated import Breakdown, Curves
from metasearch.core.event import Directive, Proposed
from metasearch.core.history import History, Trial
from metasearch.core.protocols import Assignment, Progress
from metasearch.core.sweep import Sweep
from metasearch.testing.curves import BowlCurves


class CurveRunner:
    """Implements ``core.protocols.Runner`` over ``BowlCurves``.

    Reads from ``sweep.settings``: ``sleep`` (seconds per report), ``fault_step`` (where the config's ``fault`` strikes) and
    ``diverge_at`` (from which step on the loss is infinite).
    A fault is one of FAULTS; it strikes in the first leg only, unless it is spelled with "always", as in ``"always raise"``.
    Metrics: ``lr`` (what directives made of 1.0), ``legs`` and ``ancestors``.
    """

    def __init__(self, sweep: Sweep, assignment: Assignment, curves: Curves | None = None) -> None:
        self.sweep, self.assignment, self.curves = sweep, assignment, curves or BowlCurves()
        self.history = History()
        self.history.sweep = sweep
        self.trial = Trial(Proposed(0.0, assignment.trial, assignment.config, assignment.seed, start=assignment.start))
        self.lineage = [int(assignment.trial)]
        self.lr = 1.0

    def advance(self) -> Progress:
        time.sleep(self.sweep.settings.get("sleep", 0.0))
        self._strike()
        progress = self.curves.advance(self.history, self.trial)
        assert not isinstance(progress, Breakdown)
        self.trial.steps.append(progress.step)
        self.trial.losses.append(progress.loss)
        self.trial.seconds = progress.seconds
        metrics = {"lr": self.lr, "legs": self.assignment.leg + 1.0, "ancestors": len(self.lineage) - 1.0}
        diverged = progress.step >= self.sweep.settings.get("diverge_at", math.inf)
        return Progress(progress.step, math.inf if diverged else progress.loss, progress.seconds, metrics)

    def halt(self) -> None:
        """Stops at reports only."""

    def obey(self, directive: Directive) -> None:
        self.lr *= directive.lr_scale or 1.0

    def checkpoint(self) -> bytes:
        trial = self.trial
        facts = {"steps": trial.steps, "losses": trial.losses, "seconds": trial.seconds, "lr": self.lr, "lineage": self.lineage}
        return json.dumps(facts).encode()

    def restore(self, checkpoint: bytes) -> None:
        facts = json.loads(checkpoint)
        self.trial.steps, self.trial.losses, self.trial.seconds = facts["steps"], facts["losses"], facts["seconds"]
        self.lr, self.lineage = facts["lr"], facts["lineage"]

    def adopt(self, checkpoint: bytes) -> None:
        self.lineage = [*json.loads(checkpoint)["lineage"], *self.lineage]

    def close(self) -> None:
        """Nothing outlives it."""

    def _strike(self) -> None:
        how, _, fault = str(self.assignment.config.get("fault", "none")).rpartition(" ")
        due = self.trial.step >= self.sweep.settings.get("fault_step", 0)
        if due and fault in FAULTS and (how == "always" or self.assignment.leg == 0):
            FAULTS[fault]()


def _raise() -> Any:
    raise ValueError("the trial's own code is broken")


def _hang() -> Any:
    time.sleep(3600)


def _die() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _be_told_to_end() -> Any:
    os.kill(os.getpid(), signal.SIGTERM)


def _exhaust_memory() -> Any:
    return bytearray(1 << 60)


FAULTS: dict[str, Callable[[], Any]] = {
    "raise": _raise,
    "hang": _hang,
    "die": _die,
    "memory": _exhaust_memory,
    "end": _be_told_to_end,
}
"""What can go wrong in a worker."""
