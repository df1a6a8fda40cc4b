"""The driver: runs a sweep on a connected cluster until it is finished, interrupted or broken."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from metasearch.backends.tune._ray import TuneTrial, ray, tune
from metasearch.backends.tune.cluster import slot_counter
from metasearch.backends.tune.faces import GPU_SHARE, Desk, Packing, SchedulerFace, SearcherFace
from metasearch.backends.tune.scratch import scratch_folder
from metasearch.backends.tune.worker import TrialActor
from metasearch.core.engine import Engine
from metasearch.core.event import Failed, Reported
from metasearch.core.history import History
from metasearch.core.placement import SHARES, Peaks
from metasearch.core.protocols import RunnerFactory
from metasearch.core.sweep import Resources
from metasearch.store.archive import Store
from metasearch.store.checkpoints import Checkpoints, Shelf

LEGS_PER_TUNER = 1000
"""Tune's controller slows down and its memory grows with its trials; a new one starts flat again."""

_QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "TUNE_WARN_THRESHOLD_S": "60",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Tune's own loggers and snapshots are switched off: our log is the truth. How many legs may wait for their workers at once is up
to the desk: by itself Tune asks for one, and for the next when its worker has started.
"""


class Observer(Protocol):
    """Watches a sweep from the driver."""

    def tick(self, history: History, busy: int, slots: int) -> str | None:
        """Called several times a second from the driver's loop; may answer with a reason to end the sweep now."""
        ...


class Pulse(tune.Callback):  # type: ignore[misc]
    """The driver's pulse: shows progress, hears requests to stop, ends trials that went silent."""

    def __init__(self, desk: Desk, observer: Observer, silence_limit: float | None) -> None:
        self.desk = desk
        self.observer = observer
        self.silence_limit = silence_limit
        self.last_tick = 0.0

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        now = time.time()
        if now - self.last_tick < 0.2:
            return
        self.last_tick = now
        with self.desk.border():
            reason = self.observer.tick(self.desk.engine.history, len(self.desk.live), self.desk.slots())
            self.desk.stop_reason = self.desk.stop_reason or reason
            if self.silence_limit is not None:
                self._kill_silent(trials, now, self.silence_limit)

    def _kill_silent(self, trials: list[TuneTrial], now: float, limit: float) -> None:
        for trial in trials:
            since, actor = self.desk.live.get(trial.trial_id), trial.temporary_state.ray_actor
            if since is not None and actor is not None and now - since > limit and trial.trial_id not in self.desk.killed:
                self.desk.killed[trial.trial_id] = f"no report for {limit:g} s: killed"
                ray.kill(actor, no_restart=True)

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A leg's time starts when it has a worker, not while it waits for one."""
        if trial.trial_id in self.desk.live:
            self.desk.live[trial.trial_id] = time.time()

    def __getstate__(self) -> dict[str, Any]:
        return {}


class EndNow(tune.Stopper):  # type: ignore[misc]
    """Ends Tune's run once someone asked for it or a face failed."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.desk.stop_reason is not None or self.desk.error is not None

    def __getstate__(self) -> dict[str, Any]:
        return {}


def run(
    engine: Engine,
    store_url: str,
    make_runner: RunnerFactory,
    observer: Observer,
    *,
    concurrency: int | None = None,
    silence_limit: float | None = None,
    keep: int | None = None,
) -> str:
    """Runs the sweep on the connected Ray cluster until it is finished; returns why it ended.

    ``concurrency``: slots, as many as the cluster has room for if None. ``silence_limit``: seconds without a report after which a
    trial counts as hanging. ``keep``: of how many ended trials the checkpoints stay, the best ones; of all if None.
    Raises UserError if the cluster cannot hold a single trial, and whatever the algorithms raise.
    """
    needs = engine.history.sweep.resources
    packing = _packing(engine) if needs.gpu_memory is not None else None
    slots = slot_counter(needs if packing is None else replace(needs, gpu=SHARES[0]), concurrency)
    checkpoints = Checkpoints(Store(store_url), engine.history.sweep.name)
    for trial in engine.history.interrupted.values():
        if trial.parent is not None and not trial.steps:
            checkpoints.inherit(trial)  # now, while its parent still stands where it was
    shelf = Shelf(checkpoints, engine.history, keep)
    with _environment(_QUIET), _silence(), _interrupts() as interrupted:
        while True:
            desk = Desk(engine, slots, checkpoints.inherit, shelf.take, packing=packing, most_legs=LEGS_PER_TUNER)
            _fit(desk, store_url, make_runner, _Interruptible(observer, interrupted), silence_limit)
            if desk.error is not None:
                raise desk.error
            goes_on = desk.draining and engine.next_start(time.time()) is not None
            reason = desk.stop_reason or (None if goes_on else engine.finished)
            if reason is not None:
                if engine.history.closed is None:
                    engine.close(reason, time.time())
                return reason
            engine.resume(time.time(), {"reason": "handed over to a new Tuner"})


def _fit(desk: Desk, store_url: str, make_runner: RunnerFactory, observer: Observer, silence_limit: float | None) -> None:
    sweep = desk.engine.history.sweep
    trainable = tune.with_parameters(TrialActor, record=sweep.record(), store_url=store_url, make_runner=make_runner)
    with scratch_folder() as folder:
        tune.Tuner(
            tune.with_resources(trainable, partial(_needs, sweep.resources)),
            tune_config=tune.TuneConfig(
                search_alg=SearcherFace(desk),
                scheduler=SchedulerFace(desk),
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
                trial_name_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=folder,
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                stop=EndNow(desk),
                callbacks=[Pulse(desk, observer, silence_limit)],
            ),
        ).fit()


def _packing(engine: Engine) -> Packing:
    """With what the log knows of memory already."""
    peaks = Peaks()
    for fact in engine.log.read():
        if isinstance(fact, Reported | Failed):
            peaks.update(engine.history[fact.trial].config, fact)
    return Packing(peaks, slot_counter(Resources(cpu=0.0, gpu=1.0), None))


def _needs(resources: Resources, leg: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """What Ray reserves for a leg."""
    share = leg.get(GPU_SHARE)
    needs = {"CPU": resources.cpu, "GPU": resources.gpu if share is None else share, "memory": resources.memory}
    return tune.PlacementGroupFactory([{name: float(amount) for name, amount in needs.items() if amount}])


@dataclass
class _Interruptible:
    """An observer that also reports Ctrl-C."""

    observer: Observer
    interrupted: list[str]

    def tick(self, history: History, busy: int, slots: int) -> str | None:
        return next(iter(self.interrupted), None) or self.observer.tick(history, busy, slots)


@contextmanager
def _interrupts() -> Iterator[list[str]]:
    """The first SIGINT or SIGTERM ends the sweep in order; a second one is a KeyboardInterrupt."""
    heard: list[str] = []

    def hear(number: int, frame: object) -> None:
        if heard:
            raise KeyboardInterrupt
        heard.append(f"interrupted by {signal.Signals(number).name}")

    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _silence() -> Iterator[None]:
    """Tune logs every failed trial with two tracebacks; ours are in the log and on the screen."""
    loggers = [logging.getLogger(name) for name in ("ray.tune", "ray.train", "ray.air")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update({name: value for name, value in settings.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
