"""Our algorithms and our store in anyone's ``tune.Tuner``, with anyone's trainable.

    searcher = MetaSearcher(space, horizon=100, metric="loss", searcher="tpe", scheduler="asha", store="./store", name="mine")
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(search_alg=searcher, scheduler=MetaScheduler(searcher), num_samples=50),
    )

The trainable reports ``metric`` and Tune counts its iterations. A trial that a scheduler pauses is paused in Tune (so its trainable
must be able to save and load a checkpoint) and thawed there. If the store has facts of a sweep of that name, it goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from metasearch import catalog
from metasearch.backends.tune._ray import TrialScheduler, TuneSearcher, TuneTrial, ray
from metasearch.backends.tune.faces import Desk, SchedulerFace, SearcherFace, error_of
from metasearch.core.engine import Engine
from metasearch.core.errors import UserError
from metasearch.core.event import Action, Failed, Reported
from metasearch.core.history import Trial
from metasearch.core.protocols import MemoryLog
from metasearch.core.space import Space
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.store.archive import Store


class MetaSearcher(SearcherFace):
    """A ``search_alg`` for ``tune.TuneConfig``. Raises UserError for options that do not work and for a sweep that is being run.

    ``horizon``: value of ``time_attr`` at which a trial is complete. ``mode``: "min" or "max". ``trials``: limit of the sweep; with
    schedulers that pause, set it here and leave ``num_samples`` at -1. Without a ``store`` nothing outlives the process.
    """

    def __init__(
        self,
        space: Space,
        *,
        horizon: int,
        metric: str = "loss",
        mode: str = "min",
        time_attr: str = "training_iteration",
        searcher: str | Mapping[str, Any] = "tpe",
        scheduler: str | Mapping[str, Any] = "asha",
        trials: int | None = None,
        seed: int = 0,
        name: str = "tune",
        store: str | None = None,
    ) -> None:
        if mode not in ("min", "max"):
            raise UserError(f'The mode must be "min" or "max", found "{mode}".')
        if {catalog.name_of(spec) for spec in (searcher, scheduler)} & set(catalog.POPULATIONS):
            raise UserError(
                "Population based training copies weights between trials, which needs metasearch's own trainable. "
                "Use another searcher here, or `metasearch launch`."
            )
        self.metric_name, self.sign, self.time_attr = metric, 1.0 if mode == "min" else -1.0, time_attr
        task = Task(name=name, kind="tune", metric=metric, unit=time_attr, source={"mode": mode})
        search = {"searcher": searcher, "scheduler": scheduler}
        sweep = Sweep(name, task, space, horizon, budget=Budget(trials=trials), seed=seed, search=search, max_failures=0)
        log = MemoryLog() if store is None else Store(store).open_log(name)
        engine = Engine.open(sweep, catalog.build_searcher(searcher), catalog.build_scheduler(scheduler), log, time.time())
        if engine.history.facts > 1:
            engine.resume(time.time(), {"reason": "opened by a Tuner"})
        super().__init__(Desk(engine, _cpus, _no_parents, _nothing_kept))

    def start(self, tune_id: str, trial: Trial) -> Any:
        """A new Tune trial, or None if Tune holds this one paused: then the scheduler face has it unpaused."""
        held = next((tid for tid, (number, _) in self.desk.legs.items() if number == trial.number and tid in self.desk.held), None)
        if held is not None:
            self.desk.begin(held, trial)
            return None
        self.desk.begin(tune_id, trial)
        return dict(trial.config)

    def _suggest(self, tune_id: str) -> Any:
        engine = self.desk.engine
        answer = super()._suggest(tune_id)
        reason = engine.finished if answer == TuneSearcher.FINISHED else None
        if reason is not None and engine.history.closed is None:
            engine.close(reason, time.time())
        return answer

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trainable may end before the horizon; the report that said so was judged before."""
        with self.desk.border():
            number, leg = self.desk.legs[trial_id]
            trial = self.desk.engine.history[number]
            if not error and trial.steps:
                last = Reported(time.time(), number, leg, trial.step, trial.losses[-1], trial.seconds, {}, last=True)
                self.desk.engine.tell(last)
        super().on_trial_complete(trial_id, result, error)


class MetaScheduler(SchedulerFace):
    """The ``scheduler`` that goes with a ``MetaSearcher``."""

    def __init__(self, searcher: MetaSearcher) -> None:
        super().__init__(searcher.desk)
        self.searcher = searcher

    def judge(self, tune_trial: TuneTrial, result: Mapping[str, Any]) -> str:
        desk, asked = self.desk, self.searcher
        number, leg = desk.legs[tune_trial.trial_id]
        now = desk.live[tune_trial.trial_id] = time.time()
        missing = [name for name in (asked.metric_name, asked.time_attr) if name not in result]
        if missing:
            raise UserError(f"The trainable must report {' and '.join(missing)}; it reported {', '.join(sorted(result))}.")
        loss = asked.sign * float(result[asked.metric_name])
        metrics = {key: float(value) for key, value in result.items() if _is_metric(key, value)}
        report = Reported(
            now, number, leg, int(result[asked.time_attr]), loss, float(result["time_total_s"]), metrics, bool(result.get("done"))
        )
        action = desk.engine.tell(report).action
        if action is Action.PAUSE:
            desk.held.add(tune_trial.trial_id)
            desk.live.pop(tune_trial.trial_id, None)
        return _DECISIONS[action]

    def on_trial_error(self, tune_controller: Any, trial: TuneTrial) -> None:
        """Called on every failure; while Tune retries by itself, the trial is still running."""
        if trial.status == TuneTrial.RUNNING and trial.should_recover():
            return
        with self.desk.border():
            number, leg = self.desk.legs[trial.trial_id]
            self.desk.fail(Failed(time.time(), number, leg, *error_of(trial)))

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        """A paused trial that the engine thawed. Once nothing is left to do, the paused ones are let go."""
        desk = self.desk
        for tune_id in list(desk.held):
            trial = tune_controller.get_trial(tune_id)
            if tune_id in desk.live:
                if trial.status == TuneTrial.RUNNING:
                    desk.held.discard(tune_id)
                else:
                    return trial
            elif not desk.live and desk.engine.finished:
                desk.held.discard(tune_id)
                tune_controller.stop_trial(trial)
        return None


_DECISIONS: dict[Action, str] = {
    Action.CONTINUE: TrialScheduler.CONTINUE,
    Action.PAUSE: TrialScheduler.PAUSE,
    Action.STOP: TrialScheduler.STOP,
}

_BOOKKEEPING = ("config/", "timestamp", "pid", "time_", "timesteps_", "iterations_since", "training_iteration", "episodes_")


def _is_metric(key: str, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and not key.startswith(_BOOKKEEPING)


def _no_parents(trial: Trial) -> None:
    raise AssertionError(f"{trial!r} has a parent")


def _nothing_kept(trial: Trial) -> None:
    """Checkpoints are Tune's own here."""


def _cpus() -> int:
    """Tune starts a trial only where its resources are free; the face need not hold it back further."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


__all__ = ["MetaScheduler", "MetaSearcher"]
