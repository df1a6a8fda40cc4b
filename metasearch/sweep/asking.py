"""Sweeps whose trials are run by whoever asks for them: no Ray, any machine, any language.

    with metasearch.AskTell(sweep, "./store") as search:
        while (trial := search.ask()) is not None:
            answer = search.tell(trial.number, loss=train(trial.config))

The log is the same as that of every other sweep, and so are the decisions.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from metasearch.core.engine import Engine
from metasearch.core.errors import UserError
from metasearch.core.event import Action, Directive, Failed, Reported
from metasearch.core.history import History, Trial
from metasearch.core.sweep import Sweep
from metasearch.store.archive import Store
from metasearch.store.log import SegmentLog, SweepHeld
from metasearch.sweep import environment, learned
from metasearch.sweep.file import AnySweep
from metasearch.sweep.resolving import resolve
from metasearch.sweep.run import amended, differences, opened

PATIENCE_SECONDS = 30.0
"""So long one process waits for another that holds the log; each holds it for a moment only."""


@dataclass(frozen=True)
class AskedTrial:
    """One leg of one trial, to be run now.

    ``step``: where it stands; above 0 it goes on from what was kept of it, or of its ``parent``. ``steps``: where a full trial is
    complete.
    """

    sweep: str
    number: int
    leg: int
    config: dict[str, Any]
    seed: int
    step: int
    steps: int
    parent: int | None

    @staticmethod
    def of(history: History, trial: Trial) -> AskedTrial:
        sweep = history.sweep
        return AskedTrial(
            sweep=sweep.name,
            number=trial.number,
            leg=trial.leg,
            config=dict(trial.config),
            seed=trial.seed,
            step=trial.step,
            steps=sweep.horizon,
            parent=trial.parent,
        )


@dataclass(frozen=True)
class Told:
    """The answer to a report: ``continue``, ``pause`` (keep a checkpoint: the trial may be asked for again) or ``stop``."""

    action: str
    reason: str = ""
    directive: Directive | None = None

    @property
    def stop(self) -> bool:
        """Whether this leg is over."""
        return self.action != Action.CONTINUE.value

    @property
    def lr_scale(self) -> float:
        """Multiply the learning rate that is in force by this."""
        scale = self.directive.lr_scale if self.directive is not None else None
        return 1.0 if scale is None else scale


class AskTell:
    """One sweep, new or not, to be asked and told until it is closed; meanwhile no other process can write it.

    ``sweep``: what is asked, or the name of a sweep that the store has. ``trials``: a new limit, or ``+20`` more.
    Raises UserError if the sweep is not there, is another one than that of this name in the store, or is being written elsewhere.
    """

    def __init__(self, sweep: AnySweep | str, store: str | Store = "./store", *, trials: str | None = None) -> None:
        self.store = store if isinstance(store, Store) else Store(store)
        name, file = (sweep, None) if isinstance(sweep, str) else (sweep.name, sweep)
        if file is None:
            next(iter(self.store.facts(name)), None)  # raises if there is none
        new = None if file is None or name in self.store.sweeps() else resolve(file)  # before anything is written
        self._log = _patiently_opened(self.store, name)
        try:
            history = History.fold(self._log.read())
            before = history if history.facts else None
            wanted = amended(_asked(before, file, new), None if before is None else file, trials)
            adopted = {} if before is None else before.adopted
            chosen = learned.begun(wanted, self.store, adopted, lambda message: None)
            self._engine: Engine = opened(wanted, chosen, self._log, environment.describe())
            if before is not None and before.sweep != wanted:
                self._engine.amend(wanted, differences(before.sweep.record(), wanted.record()), time.time())
        except BaseException:
            self._log.close()
            raise

    def __enter__(self) -> AskTell:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def history(self) -> History:
        return self._engine.history

    def ask(self) -> AskedTrial | None:
        """A trial to run now. None: nothing now if trials are running, else nothing any more, and ``finished`` says why.

        Running trials that were silent for longer than the sweep's ``trial.silence`` count as failed, and get another leg.
        """
        self._give_up_silent()
        trial = self._engine.ask(time.time())
        if trial is not None:
            return AskedTrial.of(self.history, trial)
        reason = self._engine.finished
        if reason is not None and self.history.closed is None:
            self._engine.close(reason, time.time())
            learned.refresh(self.store, self.history.sweep.search, lambda message: None, self.history.sweep.task.kind)
        return None

    @property
    def finished(self) -> str | None:
        """Why nothing is left to ask for, or None."""
        return self.history.closed

    def tell(
        self,
        trial: int,
        *,
        loss: float,
        step: int | None = None,
        metrics: Mapping[str, float] | None = None,
        seconds: float | None = None,
        last: bool = False,
        leg: int | None = None,
    ) -> Told:
        """One report of a running trial. ``loss`` is the task's metric as it is, whichever way is better.

        ``step``: that of a full trial if left out. ``seconds``: training time of the trial so far; if left out, the time since its
        last news is added. ``last``: it has nothing more to train. ``leg``: of which leg; news of one that is over change nothing.
        Raises UserError if there is no such trial, or the step is not above 0.
        """
        known = self._trial(trial)
        task, now = self.history.sweep.task, time.time()
        at = self.history.sweep.horizon if step is None else step
        if at < 1:
            raise UserError(f"A step counts {task.unit} and must be above 0, found {at}.")
        stored = task.sign * float(loss) if math.isfinite(loss) else math.inf
        spent = known.seconds + max(now - known.last_time, 0.0) if seconds is None else seconds
        measured = {**(metrics or {}), task.metric: float(loss)}
        leg = known.leg if leg is None else leg
        verdict = self._engine.tell(Reported(now, known.number, leg, at, stored, spent, measured, last))
        return Told(verdict.action.value, verdict.reason, verdict.directive)

    def fail(self, trial: int, error: str, *, leg: int | None = None) -> Told:
        """A leg died. The trial is asked for again, from where it stood, until it has failed more often than the sweep allows."""
        known = self._trial(trial)
        lines = error.strip().splitlines() or ["failed"]
        fact = Failed(time.time(), known.number, known.leg if leg is None else leg, lines[-1], error)
        verdict = self._engine.tell(fact)
        return Told(verdict.action.value, verdict.reason)

    def close(self) -> None:
        """Lets other processes write. Trials that run go on running."""
        self._log.close()

    def _trial(self, number: int) -> Trial:
        if not 0 <= number < len(self.history):
            known = f"trials 0 to {len(self.history) - 1}" if len(self.history) else "no trials"
            raise UserError(f"Sweep {self.history.sweep.name} has {known}; there is no trial {number}. Ask for one first.")
        return self.history[number]

    def _give_up_silent(self) -> None:
        limit = self.history.sweep.settings.get("file", {}).get("trial", {}).get("silence")
        now = time.time()
        for trial in list(self.history.running.values()) if limit is not None else []:
            if now - trial.last_time > limit:
                self.fail(trial.number, f"no report for {limit:g} s")


def _asked(before: History | None, file: AnySweep | None, new: Sweep | None) -> Sweep:
    """The sweep as the store has it, else as it is asked."""
    if before is not None:
        return before.sweep
    assert file is not None, "a sweep without a file has facts"
    return new or resolve(file)


def _patiently_opened(store: Store, name: str) -> SegmentLog:
    """Several processes may ask and tell at once: each waits its turn."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return store.open_log(name)
        except SweepHeld:
            if time.monotonic() > until:
                raise
            time.sleep(random.uniform(0.02, 0.2))
