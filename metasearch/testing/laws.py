"""Synthetic trials whose loss depends on the learning rates that they really follow, directives included."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from metasearch.core.control import Control, Schedule
from metasearch.core.history import History, Trial
from metasearch.core.protocols import Progress
from metasearch.core.rng import derive
from metasearch.meta._situation import Plan, controls
from metasearch.meta.loss_law import Path, losses

SHAPE = (math.log(0.5), math.log(0.08), math.log(300.0), math.log(0.58), math.log(0.64), -16.0, math.log(0.01))
"""alpha, B, C, beta, gamma, O (none) and the onset."""

KNOTS = 200


@dataclass(frozen=True)
class LawCurves:
    """Losses by the Multi-Power Law over absolute learning rates in units of ``unit``, with ``noise`` by the trial's seed and step.

    Learning rates far below ``unit`` learn slowly, those far above end high. ``deaf``: directives are not obeyed.
    """

    plan: Plan
    unit: float = 1e-3
    level: float = 2.0
    amplitude: float = 5.0
    noise: float = 0.003
    deaf: bool = False
    parameters: tuple[float, ...] = field(default=SHAPE)

    def advance(self, history: History, trial: Trial) -> Progress:
        sweep, point = history.sweep, len(trial.steps) + 1
        step = round(sweep.horizon * point / sweep.reports)
        schedule = self.plan(trial.config)
        assert schedule is not None, f"{trial!r} has no schedule"
        path = self.path(history, trial, schedule)
        progress = step / sweep.horizon
        law = losses(np.array([[self.level, math.log(self.amplitude), *self.parameters]]), path, np.array([progress]))[0, 0]
        loss = float(law) + self.noise * float(derive(trial.seed, "noise", step).standard_normal())
        lr = self.unit * float(np.interp(progress - 1e-9, path.progress_K, path.factor_K))
        return Progress(step, loss, trial.seconds + 1.0, {"lr": lr, "grad_norm": 1.0}, last=point == sweep.reports)

    def path(self, history: History, trial: Trial, schedule: Schedule) -> Path:
        """The learning rate over the whole run, if no directive follows."""
        base = float(trial.config["lr"]) / self.unit
        in_force = [Control()] * (len(trial.steps) + 1) if self.deaf else controls(history, trial, schedule)
        starts = np.array([0.0, *(step / history.sweep.horizon for step in trial.steps)])
        progress_K = np.linspace(0.0, 1.0, KNOTS + 1)
        which_K = np.clip(np.searchsorted(starts, progress_K, side="right") - 1, 0, len(in_force) - 1)
        factors = [
            in_force[which].lr_factor(schedule, float(u), trial.losses[:which])
            for which, u in zip(which_K, progress_K, strict=True)
        ]
        return Path(progress_K, base * np.maximum(np.array(factors), 1e-6))
