"""The worker process: a Tune trainable that serves one leg after another."""

from __future__ import annotations

import time
import traceback
from typing import Any

from metasearch.backends.tune._ray import tune
from metasearch.backends.tune.faces import one_line
from metasearch.core.config import Config
from metasearch.core.errors import UserError
from metasearch.core.event import Directive, TrialId
from metasearch.core.protocols import Assignment, Progress, Runner, RunnerFactory
from metasearch.core.sweep import Sweep
from metasearch.store.archive import Store

CHECKPOINT_SHARE = 0.05
"""Checkpoints may take this share of a trial's training time; others are left out (never the one before a pause)."""


class TrialActor(tune.Trainable):  # type: ignore[misc]
    """One worker process. It serves one leg after another; each call of ``step`` is one report."""

    def setup(self, config: dict[str, Any], *, record: dict[str, Any], store_url: str, make_runner: RunnerFactory) -> None:
        self.sweep = Sweep.from_record(record)
        self.store = Store(store_url)
        self.make_runner = make_runner
        self._assign(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._assign(new_config)
        return True

    def _assign(self, config: dict[str, Any]) -> None:
        self.assignment = Assignment(**{**config, "config": Config(config["config"])})
        self.runner: Runner | None = None
        self.save_seconds = 0.0

    def step(self) -> dict[str, Any]:
        """One report, or what went wrong: an exception that left here would cost the actor."""
        try:
            progress = self._ready().advance()
            if progress.last or self.save_seconds <= CHECKPOINT_SHARE * progress.seconds:
                self._save()
            return {"progress": {name: getattr(progress, name) for name in Progress.__slots__}}
        except Exception as error:  # noqa: BLE001
            self.runner = None
            return {"error": one_line(error), "detail": traceback.format_exc()}

    def obey(self, directive: dict[str, Any]) -> None:
        if self.runner is not None:
            self.runner.obey(Directive(**directive))

    def keep(self) -> None:
        """The checkpoint before a pause."""
        if self.runner is not None:
            self._save()

    def _ready(self) -> Runner:
        if self.runner is None:
            runner = self.make_runner(self.sweep, self.assignment)
            own = self._stored(self.assignment.trial)
            if own is not None:
                runner.restore(own)
            elif self.assignment.parent is not None:
                inherited = self._stored(self.assignment.parent)
                if inherited is None:
                    raise UserError(f"trial {self.assignment.parent} left no checkpoint to start from")
                runner.adopt(inherited)
            self.runner = runner
        return self.runner

    def _stored(self, trial: TrialId) -> bytes | None:
        return self.store.get_checkpoint(self.sweep.name, trial, "latest")

    def _save(self) -> None:
        assert self.runner is not None
        began = time.perf_counter()
        self.store.put_checkpoint(self.sweep.name, self.assignment.trial, "latest", self.runner.checkpoint())
        self.save_seconds += time.perf_counter() - began
