"""What changes of the learning rates ahead were worth in earlier trials: rows of evidence, taken from an archive.

Best are twins: trials of one config and seed that are the same up to the step at which one of them was told to change its
learning rates. Their losses at the end differ by what that was worth. Where a trial has no twin, the loss that was foreseen without
the change stands in for it, corrected and doubted by how far such forecasts were off in controls: the doubly robust way.

Shapes: N reports, T features of a trace, F features, C coordinates of what lies ahead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.event import Directive

TRACE = ("log_progress", "log_horizon", "slope", "roughness", "highest", "level", "lead")
"""What a trial's trace tells; NaN where it is too short to tell. ``highest``: the log of the highest learning rate so far.
``level``: the log of the newest loss. ``lead``: that of the entropy of the text's pairs of bytes, over the loss.
"""

MODELS, OPTIMIZERS = ("lstm", "gru", "transformer"), ("sgd", "lion", "muon")
"""Models that are told apart, and optimizers that are no kin of Adam."""

FEATURES = (*TRACE, "log_width", *MODELS, *OPTIMIZERS)
"""That, and what kind of a training it is."""

AHEAD = ("rate", "flatness", "restart")
"""What lies ahead: the log of the highest learning rate, the log of the mean over the highest, 1 if the weights begin anew."""

CHANGES = ({"lr_scale"}, {"begin_decay"}, {"postpone_decay"}, {"lr_scale", "restart"})
"""What a directive may change to be a row."""

MOST_GAIN = 0.5
"""Gains are logarithms of a ratio of losses, cut here: beyond it is enough to know that a change was very good or very bad."""

FEWEST_CONTROLS = 5
UNFORESEEN = 0.1
"""Deviation of forecasts of a loss, as a share of it, while there are too few controls to tell."""

GOOD_SHARE = 1 / 3


USUAL_WIDTH, USUAL_LENGTH = 64, 128_000
MEASURED = ("val_bpb", "tokens")
"""Metric and unit of the trainings whose experience ships."""


class Measured(Protocol):
    """A task that is open, or one of the past."""

    @property
    def metric(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def descriptor(self) -> Mapping[str, float]: ...


@dataclass(frozen=True)
class Kind:
    """What the usual learning rate of a training depends on. ``log_width``: over ``USUAL_WIDTH``; 0 where there is no width.
    ``log_length``: of the horizon over ``USUAL_LENGTH``. ``measure``: of a training whose loss is not bits per byte, or whose steps
    are not tokens, what they are; such trainings have usual learning rates of their own.
    """

    optimizer: str
    model: str
    log_width: float
    log_length: float
    measure: str = ""

    @property
    def name(self) -> str:
        return " ".join([f"{self.optimizer}/{self.model}", self.measure]).rstrip()

    def tell(self, trace_T: np.ndarray) -> np.ndarray:
        """(F,): what a trace tells of a training of this kind. Of a model that nobody knows it is not said which it is."""
        model = [float(self.model == name) if self.model in MODELS else math.nan for name in MODELS]
        return np.array([*trace_T, self.log_width, *model, *(float(self.optimizer == name) for name in OPTIMIZERS)])

    @staticmethod
    def of(config: Config, horizon: float, task: Measured) -> Kind:
        width = config.get("width")
        known = isinstance(width, int | float) and width > 0
        log_width = math.log(float(width) / USUAL_WIDTH) if known else 0.0  # type: ignore[arg-type]
        log_length = math.log(horizon / USUAL_LENGTH)
        measure = "" if (task.metric, task.unit) == MEASURED else f"{task.metric}/{task.unit}"
        return Kind(str(config.get("optimizer", "")), str(config.get("model", "")), log_width, log_length, measure)


@dataclass(frozen=True)
class Row:
    """``before_C``, ``after_C``: what lies ahead without the change and with it. ``gain``: log of the loss without it over the loss
    with it. ``variance``: of a gain that is not measured against a twin.
    """

    task: str
    kind: Kind
    before_C: np.ndarray
    after_C: np.ndarray
    features_F: np.ndarray
    gain: float
    variance: float = 0.0


def ahead(rate_N: np.ndarray, *, restart: bool = False) -> np.ndarray:
    """(C,) of the learning rates that are still to come."""
    highest = float(rate_N.max())
    return np.array([math.log(highest), math.log(float(rate_N.mean()) / highest), float(restart)])


def trace(
    progress_N: Sequence[float], loss_N: Sequence[float], rate_N: Sequence[float], horizon: float, task: Measured
) -> np.ndarray:
    """(T,): what the trace of a trial tells at its newest report."""
    progress, loss = progress_N[-1], max(loss_N[-1], 1e-9)
    half = max((n for n, at in enumerate(progress_N[:-1]) if at <= progress / 2), default=0)
    slope = roughness = math.nan
    if len(loss_N) > 1:
        slope = float(np.clip((loss_N[half] / loss - 1.0) / math.log(progress / progress_N[half]), -1.0, 2.0))
    if len(loss_N) > 3:
        bends = np.abs(np.diff(np.asarray(loss_N[-6:]), 2))
        roughness = math.log(float(bends.mean()) / loss + 1e-4)
    entropy = task.descriptor.get("bigram_entropy", math.nan) if task.metric == MEASURED[0] else math.nan
    told = [math.log(progress), math.log(horizon), slope, roughness, math.log(max(rate_N)), math.log(loss)]
    return np.array([*told, math.log(max(entropy, 1e-9) / loss)])


def rows_of(archive: Archive) -> list[Row]:
    return [row for task in archive for row in _rows(task)]


def usual_rates(archive: Archive, shift: Callable[[Kind], float]) -> dict[str, tuple[float, int]]:
    """By kind the log of the learning rate of runs that ended among the best third, and how many runs tell. ``shift``: what
    width and length do to it.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for task in archive:
        ended = [t for t in task.trials if not t.directed and t.ended and not t.diverged and t.lrs and max(t.lrs) > 0]
        typical = float(np.mean([math.log(max(t.losses[-1], 1e-9)) for t in ended])) if ended else 0.0
        for trial in ended:
            kind = Kind.of(trial.config, task.horizon, task)
            loss = math.log(max(trial.losses[-1], 1e-9)) - typical
            found.setdefault(kind.name, []).append((loss, math.log(max(trial.lrs)) - shift(kind)))
    return {name: _center(sorted(runs)) for name, runs in found.items()}


def _center(runs: Sequence[tuple[float, float]]) -> tuple[float, int]:
    good = [lr for _, lr in runs[: max(round(len(runs) * GOOD_SHARE), 1)]]
    return float(np.mean(good)), len(good)


def _rows(task: PastTask) -> Iterator[Row]:
    alone = {(trial.config.id, trial.seed): trial for trial in task.trials if not trial.directed}
    error = _forecast_error(task.trials)
    for trial in task.trials:
        told = _only_change(trial.directed)
        if told is None:
            continue
        at, directive = told
        twin = alone.get((trial.config.id, trial.seed))
        horizon = twin.steps[-1] if twin is not None and not twin.diverged else task.horizon
        row = _row(task, trial, twin, at, directive, horizon)
        if row is None or (twin is None and directive.foreseen is None):
            continue
        if twin is not None:
            yield Row(*row, _gain(twin.losses[-1], trial.losses[-1]))
        elif trial.ended:
            assert directive.foreseen is not None
            off, variance = error
            yield Row(*row, _gain(directive.foreseen * math.exp(off), trial.losses[-1]), variance)


def _only_change(directed: Mapping[int, Directive]) -> tuple[int, Directive] | None:
    """The step and directive of a trial that was told one thing in its life, if that can be a row."""
    told = [(step, directive) for step, directive in directed.items() if directive.changes]
    return told[0] if len(told) == 1 and told[0][1].changes.keys() in CHANGES else None


def _row(
    task: PastTask, trial: PastTrial, twin: PastTrial | None, at: int, directive: Directive, horizon: int
) -> tuple[str, Kind, np.ndarray, np.ndarray, np.ndarray] | None:
    """All of a row but the gain; None if the curves do not show what lay ahead."""
    seen = sum(step <= at for step in trial.steps)
    scale = 1.0 if directive.lr_scale is None else directive.lr_scale
    planned = np.array(trial.lrs[seen:]) / scale if twin is None else np.array(twin.lrs[seen:])
    scaled = directive.lr_scale is not None
    followed = planned * scale if scaled else np.array(trial.lrs[seen:])
    known = all(rates.size and np.isfinite(rates).all() and rates.min() > 0 for rates in (planned, followed))
    if seen == 0 or not known or (twin is None and not scaled):
        return None
    progress = [step / horizon for step in trial.steps[:seen]]
    kind = Kind.of(trial.config, horizon, task)
    told = kind.tell(trace(progress, trial.losses[:seen], trial.lrs[:seen], horizon, task))
    return task.id, kind, ahead(planned), ahead(followed, restart=directive.restart), told


def _gain(kept: float, acted: float) -> float:
    """What did not end in a finite loss is as bad as can be."""
    if not (math.isfinite(kept) and math.isfinite(acted)):
        return MOST_GAIN * (math.isfinite(acted) - math.isfinite(kept))
    return float(np.clip(math.log(kept / acted), -MOST_GAIN, MOST_GAIN))


def _forecast_error(trials: Iterable[PastTrial]) -> tuple[float, float]:
    """Mean and variance of log(loss / foreseen loss) over the controls of a task."""
    off = [
        math.log(trial.losses[-1] / directive.foreseen)
        for trial in trials
        for directive in trial.directed.values()
        if not directive.changes and directive.foreseen is not None and trial.ended and not trial.diverged
    ]
    if len(off) < FEWEST_CONTROLS:
        return 0.0, UNFORESEEN**2
    return float(np.mean(off)), float(np.var(off, ddof=1)) * (1.0 + 1.0 / len(off))
