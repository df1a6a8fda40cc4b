"""Anybody's training as a runner: a function ``train(config, trial)``, or a class with ``step``, ``save`` and ``restore``.

The function runs in a thread of its own and stands still between its report and the next step: so the worker can take a
checkpoint of what it saved, and it hears the verdict before it goes on.
"""

from __future__ import annotations

import inspect
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from queue import SimpleQueue
from typing import Any, SupportsFloat

from metasearch.core.control import Control
from metasearch.core.errors import UserError
from metasearch.core.event import Directive
from metasearch.core.protocols import Assignment, Progress
from metasearch.core.sweep import Sweep
from metasearch.training.importing import load_callable
from metasearch.training.planned import level, planned
from metasearch.training.state import decode, encode

GRACE_SECONDS = 30.0
"""So long a function that was told to stop may take to return; after that the worker goes on without waiting for it."""

Train = Callable[[dict[str, Any], "RunningTrial"], Any]


class LegOver(BaseException):
    """Raised inside ``report`` after a function was told to stop and went on. No ``except Exception`` catches it, as with exit."""


@dataclass(frozen=True)
class Answer:
    """What the search says to a report. ``stop``: return now; what was saved is kept if the trial may go on later."""

    stop: bool = False
    directive: Directive = field(default_factory=Directive)

    @property
    def lr_scale(self) -> float:
        """Multiply the learning rate that is in force by this."""
        return self.directive.lr_scale if self.directive.lr_scale is not None else 1.0

    def scale_lr(self, optimizer: Any, scheduler: Any = None) -> None:
        """Does so for a torch optimizer, and for the rates that its scheduler goes by."""
        for group in optimizer.param_groups:
            group["lr"] *= self.lr_scale
        if hasattr(scheduler, "base_lrs"):
            scheduler.base_lrs = [lr * self.lr_scale for lr in scheduler.base_lrs]


@dataclass(frozen=True)
class _Report:
    step: int
    loss: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class _End:
    """The function returned ``value``, or raised ``error``."""

    value: Any = None
    error: BaseException | None = None


class RunningTrial:
    """One trial, as its training function sees it. ``steps``: of a full trial, in the task's unit. ``start``: the step at which it
    begins, above 0 only in population based training. ``control``: what the search has changed so far, as factors on the config's
    learning rate, clipping threshold and weight decay.
    """

    def __init__(self, sweep: Sweep, assignment: Assignment) -> None:
        self.number: int = assignment.trial
        self.seed = assignment.seed
        self.steps = sweep.horizon
        self.start = assignment.start
        self.control = Control()
        self._schedule = planned(assignment.config) or level
        self._losses: list[float] = []
        self._news: SimpleQueue[_Report | _End] = SimpleQueue()
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._step = 0
        self._told_to_stop = False
        self._restored: Any = None
        self._saved: Any = None
        self._has_saved = False

    def report(self, *, step: int, loss: SupportsFloat, **metrics: SupportsFloat) -> Answer:
        """One point of the curve, and the answer of the search. ``step`` must grow; a loss that is not finite ends the trial.

        ``loss`` is the task's metric. Raises UserError if an argument is not a number or the step does not grow.
        """
        if self._told_to_stop:
            raise LegOver
        self._news.put(self._checked(step, loss, metrics))
        answer = self._answers.get()
        self._saved, self._has_saved = None, False  # from here on training changes what the state refers to
        self._told_to_stop = answer.stop
        return answer

    def lr_factor(self, step: int) -> float:
        """What the config's learning rate is multiplied by at ``step``: by the schedule that the config names, if it is one of
        ours, and by all that the search has changed since. Whoever sets the learning rate so obeys every directive about it.
        """
        return self.control.lr_factor(self._schedule, self._progress(step), self._losses)

    def _progress(self, step: int) -> float:
        return min(step / self.steps, 1.0)

    def _obey(self, directive: Directive, step: int) -> None:
        self.control = self.control.obey(directive, self._schedule, self._progress(step), self._losses)

    def save(self, state: Any) -> None:
        """What the trial goes on from after a pause or a crash. Call it right before ``report``: it is written, if ever, while that
        report waits. Tensors, arrays, numbers, text and bytes, in mappings and lists: ``model.state_dict()`` will do. A function
        is called when its answer is to be written.
        """
        self._saved, self._has_saved = state, True

    def restore(self) -> Any:
        """What was saved last, by this trial or by the one it was copied from; None if it begins anew."""
        return self._restored

    def _checked(self, step: Any, loss: Any, metrics: Mapping[str, Any]) -> _Report:
        faults: list[str] = []
        whole = isinstance(step, SupportsFloat) and float(step).is_integer()
        if not whole or int(step) <= self._step:
            faults.append(f"step: expected a whole number above {self._step}, found {step!r}")
        numbers = {}
        for name, value in {"loss": loss, **metrics}.items():
            try:
                numbers[name] = float(value)
            except (TypeError, ValueError):
                faults.append(f"{name}: expected a number, found {value!r}")
        if faults:
            raise UserError("trial.report was given what it cannot take:", faults)
        self._step = int(step)
        return _Report(self._step, numbers.pop("loss"), numbers)


class OwnRunner:
    """Implements ``core.protocols.Runner`` over a training function."""

    def __init__(self, train: Train, sweep: Sweep, assignment: Assignment) -> None:
        self._train = train
        self._config = dict(assignment.config)
        self._metric = sweep.task.metric
        self._sign = sweep.task.sign
        self._trial = RunningTrial(sweep, assignment)
        self._thread: threading.Thread | None = None
        self._directive = Directive()
        self._seconds = 0.0
        self._newest: Progress | None = None

    def advance(self) -> Progress:
        """Lets the function run to its next report or its end. Raises what it raises."""
        began = time.perf_counter()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"trial {self._trial.number}", daemon=True)
            self._thread.start()
        else:
            directive, self._directive = self._directive, Directive()
            self._trial._answers.put(Answer(directive=directive))
        news = self._trial._news.get()
        self._seconds += time.perf_counter() - began
        self._newest = self._ended(news) if isinstance(news, _End) else self._progress(news)
        return self._newest

    def halt(self) -> None:
        """Only the function knows when its state can be saved: at its next report."""

    def obey(self, directive: Directive) -> None:
        self._directive = directive
        self._trial._obey(directive, 0 if self._newest is None else self._newest.step)

    def checkpoint(self) -> bytes | None:
        if not self._trial._has_saved:
            return None
        newest = self._newest
        report = None if newest is None else [newest.step, newest.loss, dict(newest.metrics)]
        saved, trial = self._trial._saved, self._trial
        followed = {"control": asdict(trial.control), "losses": trial._losses}
        state = saved() if callable(saved) else saved
        return encode({"seconds": self._seconds, "report": report, "state": state, "followed": followed})

    def restore(self, checkpoint: bytes) -> None:
        found = decode(checkpoint)
        self._seconds, self._trial._restored = found["seconds"], found["state"]
        followed = found.get("followed", {"control": {}, "losses": []})  # checkpoints of before there were any have none
        self._trial.control, self._trial._losses = Control(**followed["control"]), list(followed["losses"])
        if found["report"] is not None:
            step, loss, metrics = found["report"]
            self._newest = Progress(step, loss, self._seconds, metrics)

    def adopt(self, checkpoint: bytes) -> None:
        """Starts from the state of a parent; what the parent was told is its own."""
        self.restore(checkpoint)
        self._seconds, self._newest = 0.0, None
        self._trial.control, self._trial._losses = Control(), []

    def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            self._trial._answers.put(Answer(stop=True))
            thread.join(GRACE_SECONDS)

    def _run(self) -> None:
        end = _End()
        try:
            end = _End(value=self._train(self._config, self._trial))
        except LegOver:
            pass
        except BaseException as error:  # noqa: BLE001  it belongs to the worker, which books it on the trial
            end = _End(error=error)
        self._trial._news.put(end)

    def _progress(self, report: _Report, *, last: bool = False) -> Progress:
        """The stored loss is minimised; under its own name the metric stays as it was reported."""
        loss = self._sign * report.loss
        self._trial._losses.append(loss)
        metrics = {**report.metrics, self._metric: report.loss}
        last = last or report.step >= self._trial.steps
        return Progress(report.step, loss if math.isfinite(loss) else math.inf, self._seconds, metrics, last)

    def _ended(self, end: _End) -> Progress:
        """A function that reported before has said all; one that did not may return its loss."""
        if end.error is not None:
            raise end.error
        if self._newest is not None:
            newest = self._newest
            return Progress(newest.step, newest.loss, self._seconds, newest.metrics, last=True)
        if isinstance(end.value, SupportsFloat):
            return self._progress(_Report(self._trial.steps, float(end.value), {}), last=True)
        raise UserError(
            f"The training function ended without a report and returned {end.value!r}. "
            "Call trial.report(step=…, loss=…), or return the loss."
        )


@dataclass(frozen=True)
class OwnTraining:
    """Makes runners of ``train``: a function, a class, or where one lies, as ``FILE.py:NAME`` or ``MODULE:NAME``."""

    train: Callable[..., Any] | str

    def __call__(self, sweep: Sweep, assignment: Assignment) -> OwnRunner:
        train = load_callable(self.train) if isinstance(self.train, str) else self.train
        return OwnRunner(looped(train) if inspect.isclass(train) else train, sweep, assignment)


def looped(kind: type[Any]) -> Train:
    """The training function of a class: made of a config and a trial; its ``step()`` trains and gives what is reported, ``save()``
    is its state, and ``restore(state)`` goes on from one. Without ``save``, a trial that goes on begins anew.
    """

    def train(config: dict[str, Any], trial: RunningTrial) -> None:
        training = kind(config, trial)
        state = trial.restore()
        if state is not None:
            training.restore(state)
        stop = False
        while not stop:
            report = training.step()
            if hasattr(training, "save"):
                trial.save(training.save())
            stop = trial.report(**report).stop

    return train
