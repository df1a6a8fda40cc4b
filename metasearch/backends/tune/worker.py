"""The worker process: a Tune trainable that serves one leg after another."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from metasearch.backends.tune._ray import tune
from metasearch.backends.tune.faces import one_line
from metasearch.core.config import Config
from metasearch.core.errors import UserError
from metasearch.core.event import Directive
from metasearch.core.history import PREEMPTED
from metasearch.core.protocols import Assignment, Halted, Progress, Runner, RunnerFactory
from metasearch.core.sweep import Sweep
from metasearch.store.archive import Store
from metasearch.store.checkpoints import Checkpoints, Saved
from metasearch.store.files import StoreUnavailable

CHECKPOINT_SHARE = 0.05
"""Checkpoints may take this share of a trial's training time; others are left out (never the one before a pause)."""


class Preempted(Exception):  # noqa: N818
    """This process is about to end from outside."""


class TrialActor(tune.Trainable):  # type: ignore[misc]
    """Each call of ``step`` is one report.

    A checkpoint is taken before its report is sent, and holds the report: if the driver never heard it, the next leg says it again.
    The engine ignores what it knows, but answers as it did, so that a directive given at that step is obeyed again too.

    SIGTERM is the notice that the machine is taken away: training halts after its current step, and the next leg goes on there.
    """

    def setup(self, config: dict[str, Any], *, record: dict[str, Any], store_url: str, make_runner: RunnerFactory) -> None:
        self.sweep = Sweep.from_record(record)
        self.checkpoints = Checkpoints(Store(store_url), self.sweep.name)
        self.make_runner = make_runner
        self.runner: Runner | None = None
        self.unsaved: dict[str, Any] | None = None
        self.preempted = self.training = False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._hear)
        self._assign(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._assign(new_config)
        return True

    def cleanup(self) -> None:
        self._close()

    def _assign(self, config: dict[str, Any]) -> None:
        self._close()
        named = {name: config[name] for name in Assignment.__slots__}
        self.assignment = Assignment(**{**named, "config": Config(config["config"])})
        self.newest_slot: str | None = None
        self.newest_report: dict[str, Any] = {}
        self.save_seconds = 0.0

    def step(self) -> dict[str, Any]:
        """One report, or what went wrong: an exception that left here would cost the actor. That is what Preempted is for."""
        if self.preempted:
            raise Preempted(PREEMPTED)
        self.training = True
        try:
            return {"progress": self._report()}
        except Halted:
            self._save_cut_off()
            raise Preempted(PREEMPTED) from None
        except Exception as error:  # noqa: BLE001
            self._close()
            return {"error": one_line(error), "detail": traceback.format_exc()}
        finally:
            self.training = False

    def _hear(self, number: int, frame: object) -> None:
        self.preempted = True
        if self.runner is not None:
            self.runner.halt()
        if not self.training:
            with suppress(OSError, StoreUnavailable):
                self.keep()  # the driver may answer too late

    def _close(self) -> None:
        self.unsaved = None
        if self.runner is not None:
            self.runner.close()
        self.runner = None

    def obey(self, directive: dict[str, Any]) -> None:
        """From here on the trial is no longer as it was at its last report: a checkpoint of it would hear the directive twice."""
        self.unsaved = None
        if self.runner is not None:
            self.runner.obey(Directive(**directive))

    def keep(self) -> None:
        """Saves the last report's checkpoint if it was left out."""
        if self.unsaved is not None:
            self._save(self.unsaved)

    def _report(self) -> dict[str, Any]:
        if self.runner is None:
            self.runner, known = self._begin()
            if known is not None:
                return known
        if self.preempted:  # while the runner was made
            self.runner.halt()
        progress = self.runner.advance()
        report = {name: getattr(progress, name) for name in Progress.__slots__}
        self.unsaved = self.newest_report = report
        if progress.last or self.preempted or self.save_seconds <= CHECKPOINT_SHARE * progress.seconds:
            with suppress(OSError, StoreUnavailable):  # the driver feels it too and waits; the next report is saved again
                self._save(report)
        return report

    def _begin(self) -> tuple[Runner, dict[str, Any] | None]:
        """A runner where its trial stands, and the report of its checkpoint if it has one."""
        runner, trial = self.make_runner(self.sweep, self.assignment), self.assignment.trial
        own = _patiently(lambda: self.checkpoints.newest(trial))
        cut_off = _patiently(lambda: self.checkpoints.cut_off(trial)) if self.assignment.leg else None
        if own is not None:
            self.newest_slot, self.newest_report = own.slot, own.report
        if cut_off is not None and (own is None or own.step <= cut_off.step):
            runner.restore(cut_off.checkpoint)
            self.newest_report = cut_off.report
            return runner, None  # the report before it was made and answered
        if own is not None:
            runner.restore(own.checkpoint)
            return runner, own.report
        if self.assignment.parent is not None:
            inherited = _patiently(lambda: self.checkpoints.inherited(trial))
            if inherited is None:
                raise UserError(f"trial {trial} lacks the checkpoint of its parent, trial {self.assignment.parent}")
            runner.adopt(inherited.checkpoint)
        return runner, None

    def _save_cut_off(self) -> None:
        assert self.runner is not None
        with suppress(OSError, StoreUnavailable):  # then the next leg goes on from the checkpoint before
            checkpoint = self.runner.checkpoint()
            if checkpoint is not None:
                self.checkpoints.save_cut_off(self.assignment.trial, self.newest_report, checkpoint)

    def _save(self, report: dict[str, Any]) -> None:
        assert self.runner is not None
        began = time.perf_counter()
        checkpoint = self.runner.checkpoint()
        if checkpoint is not None:
            self.newest_slot = self.checkpoints.save(self.assignment.trial, report, checkpoint, self.newest_slot)
        self.unsaved = None
        self.save_seconds += time.perf_counter() - began


def _patiently(read: Callable[[], Saved | None]) -> Saved | None:
    """A store that does not answer is asked again for about a minute."""
    for pause in (1, 2, 4, 8, 16, 32):
        try:
            return read()
        except (OSError, StoreUnavailable):
            time.sleep(pause)
    return read()
