"""Where a running trial stands: the learning rates that it followed and those that are planned, under any directive."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metasearch.core.config import Config
from metasearch.core.control import Control, Schedule
from metasearch.core.event import Directive
from metasearch.core.history import History, Trial
from metasearch.core.task import OWN, Task
from metasearch.meta._twins import Kind
from metasearch.meta.law_prior import SCHEDULE_FREE, epochs_of, followed, reference_of, share_of
from metasearch.meta.loss_law import Path

Plan = Callable[[Config], Schedule | None]
"""The schedule of a config; None if it has none."""

FUTURE_KNOTS = 24
COMPARED_FROM = 0.3
"""Where a schedule leaves less of the learning rate, a step more or less changes too much to compare plan and report."""

OFF_PLAN = 0.25
"""Difference of logarithms between planned and reported learning rates that is no accident."""


@dataclass(frozen=True)
class Situation:
    """A trial at its newest report. ``base``: the learning rate that a factor of 1 stands for."""

    trial: Trial
    task: Task
    progress: float
    optimizer: str
    schedule: Schedule
    control: Control
    base: float
    reference: float
    past: Path

    @property
    def losses(self) -> list[float]:
        """Those that are finite: the ones of ``past``."""
        return [loss for loss in self.trial.losses if math.isfinite(loss)]

    @property
    def sends_back(self) -> bool:
        return sends_back(self.task)

    @property
    def horizon(self) -> float:
        return self.trial.step / self.progress

    @property
    def kind(self) -> Kind:
        return Kind.of(self.trial.config, self.horizon, self.task)

    @property
    def factor(self) -> float:
        return self.factor_at(self.control, self.progress)

    def factor_at(self, control: Control, progress: float) -> float:
        return control.lr_factor(self.schedule, progress, self.trial.losses)

    def after(self, directive: Directive) -> Control:
        return self.control.obey(directive, self.schedule, self.progress, self.trial.losses)

    def rates_ahead(self, control: Control) -> tuple[np.ndarray, np.ndarray]:
        """Progress and learning rates to the horizon if nothing more is changed after ``control``."""
        ahead = np.linspace(self.progress, 1.0, FUTURE_KNOTS)
        return ahead, np.array([self.factor_at(control, float(u)) for u in ahead]) * self.base

    def future(self, control: Control) -> Path:
        """The whole run if nothing more is changed after ``control``."""
        ahead, rates = self.rates_ahead(control)
        planned = rates / self.reference
        progress_K = np.concatenate([self.past.progress_K, ahead])
        return Path(progress_K, np.concatenate([self.past.factor_K, planned]), self.past.epochs)


def sends_back(task: Task) -> bool:
    """Can trials take back weights that they had? Only our own training keeps them."""
    return task.kind != OWN


def situation(history: History, trial: Trial, plan: Plan) -> Situation | str:
    """Where ``trial`` stands, or why nothing can be said of its future."""
    schedule, optimizer = plan(trial.config), str(trial.config.get("optimizer", ""))
    if schedule is None:
        return "its config names a schedule that nobody here knows"
    if optimizer in SCHEDULE_FREE:
        return f"{optimizer} sets its own pace"
    if trial.parent is not None:
        return "it goes on from another trial's weights"
    if not all(math.isfinite(lr) and lr > 0 for lr in trial.lrs):
        return "it reports no learning rate"
    if not math.isfinite(trial.losses[-1]):
        return "its loss is not finite"
    base = _base(history, trial, schedule)
    return base if isinstance(base, str) else _standing(history, trial, schedule, optimizer, base)


def _standing(history: History, trial: Trial, schedule: Schedule, optimizer: str, base: float) -> Situation:
    horizon, reference = history.sweep.horizon, reference_of(trial.lrs)
    finite = [point for point, loss in enumerate(trial.losses) if math.isfinite(loss)]
    progress, lrs = [trial.steps[point] / horizon for point in finite], [trial.lrs[point] for point in finite]
    epochs = epochs_of(history.sweep.task.descriptor, horizon)
    past = followed(progress, lrs, optimizer, share_of(trial.config, "warmup"), reference, epochs)
    control = controls(history, trial, schedule)[-1]
    return Situation(trial, history.sweep.task, progress[-1], optimizer, schedule, control, base, reference, past)


def controls(history: History, trial: Trial, schedule: Schedule) -> list[Control]:
    """The control that was in force before each report, and the one after the last."""
    found = [Control()]
    for point, step in enumerate(trial.steps):
        told = trial.directed.get(step)
        directive = None if told is None else told.directive
        progress = step / history.sweep.horizon
        now = found[-1]
        found.append(now if directive is None else now.obey(directive, schedule, progress, trial.losses[: point + 1]))
    return found


def _base(history: History, trial: Trial, schedule: Schedule) -> float | str:
    """The learning rate at a factor of 1, from the newest report that allows it, or why there is none."""
    found, warmup, rising = [], share_of(trial.config, "warmup"), True
    for point, (step, lr, control) in enumerate(zip(trial.steps, trial.lrs, controls(history, trial, schedule), strict=False)):
        if point and (lr, trial.losses[point]) == (trial.lrs[point - 1], trial.losses[point - 1]):
            continue  # nothing was trained since: reports may be nearer to each other than steps
        progress = step / history.sweep.horizon
        factor = control.lr_factor(schedule, progress, trial.losses[:point])
        risen = progress >= warmup and not (rising and _is_off(trial.config, lr / factor))
        rising = progress < warmup
        if risen and factor >= COMPARED_FROM * control.lr_scale:
            found.append(math.log(lr / factor))
    if not found:
        return "its warm-up is not over"
    if max(found) - min(found) > OFF_PLAN:
        return "the learning rate that it reports is not the planned one: it does not obey directives"
    return math.exp(found[-1])


def _is_off(config: Config, base: float) -> bool:
    """Is that not the config's learning rate? Then the step that reported it was still one of the warm-up."""
    lr = config.get("lr")
    return isinstance(lr, int | float) and lr > 0 and abs(math.log(base / lr)) > OFF_PLAN
