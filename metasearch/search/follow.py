"""Follows earlier trials: each trial trains to the horizon and is told at the same share of it what the earlier one was told."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from metasearch.core.event import CONTINUE, Directive, TrialId, Verdict
from metasearch.core.history import History, Trial


@dataclass(frozen=True)
class Told:
    """What a trial was told when it had come to the share ``at`` of its horizon. The rest as in ``Directive``; going back to the
    lowest loss was an answer to what only that trial saw, and is not told again.
    """

    at: float
    lr_scale: float | None = None
    clip_scale: float | None = None
    weight_decay_scale: float | None = None
    begin_decay: bool = False
    restart: bool = False
    postpone_decay: float | None = None


@dataclass(frozen=True)
class Follow:
    """``directives``: by the id of a config, what its trials are told. Stops nothing and pauses nothing."""

    directives: Mapping[str, tuple[Told, ...]] = field(default_factory=dict)

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        before, sweep = trial.steps[-2] if len(trial.steps) > 1 else trial.start, history.sweep
        # The report nearest to the share, because rounding may put the step of the share just behind its report.
        reports = {one: round(one.at * sweep.reports) for one in self.directives.get(trial.config.id, ())}
        due = [one for one, report in reports.items() if before < round(report * sweep.horizon / sweep.reports) <= trial.step]
        return Verdict(reason="as the trial it follows", directive=_together(due)) if due else CONTINUE

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        return None


def followed(trial: Trial, horizon: int) -> list[dict[str, float | bool]]:
    """What ``trial`` was told, as the option ``directives`` of ``follow`` spells it for one config."""
    known = {one.name for one in fields(Told)}
    told = {step: verdict.directive for step, verdict in trial.directed.items() if verdict.directive is not None}
    given = {step: {name: v for name, v in directive.changes.items() if name in known} for step, directive in told.items()}
    return [{"at": step / horizon, **changed} for step, changed in given.items() if changed]


def _together(told: Iterable[Told]) -> Directive:
    """Several changes as one."""
    listed = list(told)
    scales = {name: [s for one in listed if (s := getattr(one, name)) is not None] for name in _SCALES}
    return Directive(
        **{name: math.prod(given) for name, given in scales.items() if given},
        begin_decay=any(one.begin_decay for one in listed),
        restart=any(one.restart for one in listed),
        postpone_decay=max((one.postpone_decay for one in listed if one.postpone_decay is not None), default=None),
    )


_SCALES = ("lr_scale", "clip_scale", "weight_decay_scale")

SCHEDULER = Follow
