"""The two faces that Ray Tune sees, and the desk they share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from metasearch.backends.tune._ray import TrialScheduler, TuneSearcher, TuneTrial
from metasearch.core.engine import Engine
from metasearch.core.errors import UserError
from metasearch.core.event import Action, Failed, Reported, TrialId, Verdict
from metasearch.core.history import PREEMPTED, Trial
from metasearch.core.placement import WHOLE, Peaks
from metasearch.core.protocols import Assignment

GPU_SHARE = "gpu_share"
"""Beside an assignment: the share of a GPU that its leg gets, None for that of the sweep."""


@dataclass
class Packing:
    """Trials share GPUs by their memory. ``gpus``: how many the cluster has now. ``shares``: of each leg, by its Tune trial."""

    peaks: Peaks
    gpus: Callable[[], float]
    shares: dict[str, float] = field(default_factory=dict)


@dataclass
class Desk:
    """What both faces share during one ``Tuner``: the engine, and which Tune trial stands for which leg.

    ``inherit`` makes a child's start safe before its parent trains on; ``ended`` hears of every trial that will not go on.
    After ``most_legs`` another ``Tuner`` takes over.
    """

    engine: Engine
    slots: Callable[[], int]
    inherit: Callable[[Trial], None]
    ended: Callable[[Trial], None]
    legs: dict[str, tuple[TrialId, int]] = field(default_factory=dict)
    live: dict[str, float] = field(default_factory=dict)
    killed: dict[str, str] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    packing: Packing | None = None
    most_legs: float = math.inf
    stop_reason: str | None = None
    error: BaseException | None = None

    @property
    def draining(self) -> bool:
        """Time to hand over: nothing new starts, and running legs end at their next report."""
        return len(self.legs) >= self.most_legs

    @property
    def full(self) -> bool:
        """Would a decision made now be made too early? Of the next trial's share nothing is known but what others have."""
        if len(self.live) >= self.slots() or self.packing is None:
            return len(self.live) >= self.slots()
        busy = [self.packing.shares[tune_id] for tune_id in self.live]
        return sum(busy) + min(busy, default=WHOLE) > self.packing.gpus() + 1e-9

    def begin(self, tune_id: str, trial: Trial) -> None:
        self.legs[tune_id] = (trial.number, trial.leg)
        self.live[tune_id] = time.time()
        if self.packing is not None:
            self.packing.shares[tune_id] = self.packing.peaks.share(trial)

    def fail(self, fact: Failed) -> None:
        self.tell(fact)
        self.let_go(fact.trial)

    def tell(self, fact: Reported | Failed) -> Verdict:
        if self.packing is not None:
            self.packing.peaks.update(self.engine.history[fact.trial].config, fact)
        return self.engine.tell(fact)

    def let_go(self, number: TrialId) -> None:
        trial = self.engine.history[number]
        if trial.ended:
            self.ended(trial)

    @contextmanager
    def border(self) -> Iterator[None]:
        """Whatever goes wrong in a face ends the run and is raised again outside of Ray."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001
            self.error = self.error or error


class SearcherFace(TuneSearcher):  # type: ignore[misc]
    """A free slot becomes ``engine.ask``."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(metric=None, mode=None)
        self.desk = desk

    def suggest(self, trial_id: str) -> Any:
        answer: Any = TuneSearcher.FINISHED
        with self.desk.border():
            answer = self._suggest(trial_id)
        return TuneSearcher.FINISHED if self.desk.error else answer

    def _suggest(self, tune_id: str) -> Any:
        desk = self.desk
        if desk.stop_reason is not None or desk.draining:
            return TuneSearcher.FINISHED
        if desk.full:
            return None
        trial = desk.engine.ask(time.time())
        if trial is None:
            return TuneSearcher.FINISHED if desk.engine.finished else None
        return self.start(tune_id, trial)

    def start(self, tune_id: str, trial: Trial) -> Any:
        """What Tune gets for a leg."""
        if trial.parent is not None and not trial.steps:
            self.desk.inherit(trial)
        self.desk.begin(tune_id, trial)
        leg = Assignment(trial.number, trial.leg, trial.config, trial.seed, trial.parent, trial.start)
        plain = {name: getattr(leg, name) for name in Assignment.__slots__}
        share = None if self.desk.packing is None else self.desk.packing.shares[tune_id]
        return {**plain, "config": dict(leg.config), GPU_SHARE: share}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.desk.live.pop(trial_id, None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the state is the log."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: opening the log resumes."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class SchedulerFace(TrialScheduler):  # type: ignore[misc]
    """Every piece of news becomes ``engine.tell``."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        answer = str(TrialScheduler.STOP)
        with self.desk.border():
            answer = self.judge(trial, result)
        return str(TrialScheduler.STOP) if self.desk.error else answer

    def judge(self, tune_trial: TuneTrial, result: Mapping[str, Any]) -> str:
        desk = self.desk
        number, leg = desk.legs[tune_trial.trial_id]
        now = desk.live[tune_trial.trial_id] = time.time()
        if "error" in result:
            desk.fail(Failed(now, number, leg, result["error"], result["detail"]))
            return str(TrialScheduler.STOP)
        verdict = desk.tell(Reported(now, number, leg, **_unpacked(result)))
        if verdict.action is Action.STOP:
            desk.let_go(number)
            return str(TrialScheduler.STOP)
        actor = tune_trial.temporary_state.ray_actor
        if verdict.action is Action.PAUSE or desk.draining:
            # Its next leg reports this step again and hears the same verdict, directive included.
            actor.keep.remote()
            return str(TrialScheduler.STOP)
        if verdict.directive is not None:
            # Calls to one actor keep their order: this one arrives before the next call of train.
            actor.obey.remote(asdict(verdict.directive))
        return str(TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: TuneTrial) -> None:
        with self.desk.border():
            number, leg = self.desk.legs[trial.trial_id]
            error, detail = error_of(trial)
            error = self.desk.killed.pop(trial.trial_id, error)
            self.desk.live.pop(trial.trial_id, None)
            self.desk.fail(Failed(time.time(), number, leg, error, detail))

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        return None  # pending trials are started by the controller, first come, first served

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None: ...
    def on_trial_complete(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> None: ...
    def on_trial_remove(self, tune_controller: Any, trial: TuneTrial) -> None: ...

    def debug_string(self) -> str:
        return "metasearch"

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _unpacked(result: Mapping[str, Any]) -> dict[str, Any]:
    """Tune hands schedulers a flat result: ``progress/metrics/lr`` and so on."""
    fields = {key.removeprefix("progress/"): value for key, value in result.items() if key.startswith("progress/")}
    metrics = {key.removeprefix("metrics/"): float(fields.pop(key)) for key in list(fields) if key.startswith("metrics/")}
    return {**fields, "metrics": metrics}


def error_of(trial: TuneTrial) -> tuple[str, str]:
    """One line and the details of why a Tune trial failed, from the file that the controller writes for each failure."""
    path = Path(trial.error_file) if trial.error_file else None
    detail = path.read_text(errors="replace") if path is not None and path.exists() else ""
    lines = [line.strip() for line in detail.splitlines() if line.strip()]
    if lines and (lines[-1].endswith(PREEMPTED) or _BEFORE_OURS in detail):
        return PREEMPTED, ""
    if not lines or "actor died" in detail.lower():
        return "the worker process died (killed, out of memory, or its node was lost)", detail
    return lines[-1][:500], detail


_BEFORE_OURS = "The process receives a SIGTERM."
"""What Ray says of a worker that got the signal before its actor heard signals itself."""


def one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"[:500]
