"""What a step of each config costs: learned from earlier sweeps, corrected by what this sweep's own trials took.

The pace of config x in sweep s, in seconds per step, is linear in the features of ``surrogate.response_features``:

    log pace = usual + features(x) · (shared + own_s) + level_s + noise

``shared`` are weights for all sweeps, ``own_s`` those by which one differs from them, ``level_s`` is its machine, its text and its
tokenizer. All are Gaussian about 0, with variances of highest evidence. Noise has the tails of Student's t, found by weighing rows
anew a few times (Lange, Little and Taylor, 1989), so that a trial that waited for something does not count for much.

Shapes: N rows, M configs, D coordinates of a layout, F features.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.budget import spending
from metasearch.core.history import History, Trial
from metasearch.meta.features import ABSENT, Layout
from metasearch.meta.surrogate import response_features

FEWEST_ROWS = 8
"""So many trials are needed before configs are told apart."""

MOST_ROWS, MOST_TASKS = 300, 60
"""Learned from are the newest tasks, and of each an equal share of its trials."""

DEGREES = 4.0
"""Degrees of freedom of the noise."""

ROUNDS = 4
"""How often rows are weighed anew."""

PRIOR_SPREAD = (1.5, 1.0, 1.5, 1.5)
"""Standard deviations of the log-normal priors about the usual ``Variances``."""

LOG_BOUNDS = [(math.log(low), math.log(high)) for low, high in ((1e-6, 1e1), (1e-6, 1e1), (1e-4, 1e3), (1e-4, 1e1))]

IN_TIME = frozenset({"seconds", "CPU hours", "GPU hours"})
"""Limits of a budget on which a slow config draws more than a quick one."""


@dataclass(frozen=True)
class Variances:
    """Of the log of seconds per step, as in the formula above."""

    shared: float = 0.1
    own: float = 0.03
    level: float = 4.0
    noise: float = 0.01


@dataclass(frozen=True)
class Costs:
    """What earlier sweeps taught: mean and covariance of the shared weights. ``rows``: the trials behind them; with 0 nothing is
    known, and every config costs the same until this sweep's own trials tell otherwise.
    """

    layout: Layout = field(default_factory=lambda: Layout({}, {}))
    mean_F: np.ndarray = field(default_factory=lambda: np.zeros(0))
    covariance_FF: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    usual: float = 0.0
    variances: Variances = field(default_factory=lambda: Variances(level=100.0))
    rows: int = 0

    @staticmethod
    def learn(archive: Archive, layout: Layout) -> Costs:
        """Deterministic. Trials without a cost above 0 are left out; fewer than ``FEWEST_ROWS`` others teach nothing."""
        tasks = archive.tasks[-MOST_TASKS:]
        rows = [row for task in tasks for row in _rows(task, layout, MOST_ROWS // len(tasks))]
        if len(rows) < FEWEST_ROWS:
            return Costs().on(layout)
        log_pace_N = np.array([row.log_pace for row in rows])
        sweeps = {name: number for number, name in enumerate(dict.fromkeys(row.sweep for row in rows))}
        sweep_N = np.array([sweeps[row.sweep] for row in rows])
        usual = float(np.mean([np.median(log_pace_N[sweep_N == sweep]) for sweep in sweeps.values()]))
        features_NF = response_features(np.array([row.point for row in rows]), layout)
        variances, inverse_NN = _fitted(features_NF, sweep_N, log_pace_N - usual)
        gain_FN = variances.shared * features_NF.T @ inverse_NN
        covariance_FF = variances.shared * (np.eye(features_NF.shape[1]) - gain_FN @ features_NF)
        return Costs(layout, gain_FN @ (log_pace_N - usual), (covariance_FF + covariance_FF.T) / 2, usual, variances, len(rows))

    def on(self, layout: Layout) -> Costs:
        """The same over another layout, such as the one of a new sweep's space. Of features that are new to it nothing is known."""
        if layout == self.layout:
            return self
        place = {name: number for number, name in enumerate(_names(self.layout))}
        old_F = [place.get(name, -1) for name in _names(layout)]
        here, there = [new for new, old in enumerate(old_F) if old >= 0], [old for old in old_F if old >= 0]
        mean_F, covariance_FF = np.zeros(len(old_F)), self.variances.shared * np.eye(len(old_F))
        mean_F[here] = self.mean_F[there]
        covariance_FF[np.ix_(here, here)] = self.covariance_FF[np.ix_(there, there)]
        return replace(self, layout=layout, mean_F=mean_F, covariance_FF=covariance_FF)

    def conditioned(self, points_ND: np.ndarray, pace_N: np.ndarray) -> SweepCosts:
        """After this sweep's own trials: their points in the layout, and their seconds per step (see ``paces``). Rows without a
        finite pace above 0 are passed over.
        """
        told = np.isfinite(pace_N) & (pace_N > 0)
        if not told.any() or self.rows + told.sum() < FEWEST_ROWS:
            return SweepCosts(self.layout, self.mean_F)
        features_NF = response_features(points_ND[told], self.layout)
        surprise_N = np.log(pace_N[told]) - self.usual - features_NF @ self.mean_F
        return SweepCosts(self.layout, self.mean_F + self._moved(features_NF, surprise_N))

    def _moved(self, features_NF: np.ndarray, surprise_N: np.ndarray) -> np.ndarray:
        """By how much this sweep's weights differ from the shared ones, most probably."""
        columns_NG = np.concatenate([features_NF, np.ones((len(surprise_N), 1))], axis=1)
        weight_N = np.ones(len(surprise_N))
        moved_G = np.zeros(columns_NG.shape[1])
        for _ in range(ROUNDS):
            weighted_GN = columns_NG.T * (weight_N / self.variances.noise)
            precision = cho_factor(self._prior_precision + weighted_GN @ columns_NG, lower=True, check_finite=False)
            moved_G = cho_solve(precision, weighted_GN @ surprise_N, check_finite=False)
            weight_N = _weights((surprise_N - columns_NG @ moved_G) ** 2 / self.variances.noise)
        return np.asarray(moved_G[:-1])

    @cached_property
    def _prior_precision(self) -> np.ndarray:
        """Of a new sweep's weights and, last, of its level, before its first trial."""
        count = len(self.mean_F)
        precision_GG = np.zeros((count + 1, count + 1))
        precision_GG[:count, :count] = np.linalg.inv(self.covariance_FF + self.variances.own * np.eye(count))
        precision_GG[count, count] = 1.0 / self.variances.level
        return precision_GG


@dataclass(frozen=True)
class SweepCosts:
    """What a step of each config is believed to cost in one sweep."""

    layout: Layout
    weights_F: np.ndarray

    def relative(self, points_MD: np.ndarray) -> np.ndarray:
        """Seconds per step of these configs against each other: their geometric mean is 1."""
        log_pace_M = response_features(points_MD, self.layout) @ self.weights_F
        return np.asarray(np.exp(log_pace_M - log_pace_M.mean())) if len(log_pace_M) else np.ones(0)


def paces(trials: Iterable[Trial]) -> np.ndarray:
    """Seconds per step of each trial; NaN for one that has not reported."""
    return np.array([trial.seconds / (trial.step - trial.start) if trial.steps else math.nan for trial in trials])


def limited_by_time(history: History) -> bool:
    """Is the limit of the budget of which most is spent one in seconds? Only then should a step that takes longer count for more:
    of a limit in steps every step takes the same, and of a limit in trials every trial.
    """
    limits = spending(history, history.time)
    return bool(limits) and max(limits, key=lambda limit: limit.share).unit in IN_TIME


def pack(costs: Costs) -> Mapping[str, np.ndarray]:
    """As arrays; without the layout."""
    numbers = np.array([costs.usual, costs.rows, *astuple(costs.variances)])
    return {"costs/mean": costs.mean_F, "costs/covariance": costs.covariance_FF, "costs/numbers": numbers}


def unpack(arrays: Mapping[str, np.ndarray], layout: Layout) -> Costs:
    """What ``pack`` made of costs over ``layout``."""
    usual, rows, *variances = arrays["costs/numbers"].tolist()
    return Costs(layout, arrays["costs/mean"], arrays["costs/covariance"], usual, Variances(*variances), int(rows))


@dataclass(frozen=True)
class _Row:
    """One past trial. ``sweep``: the task and the sweep that it was of, which had a machine of its own."""

    sweep: tuple[str, str]
    point: np.ndarray
    log_pace: float


def _rows(task: PastTask, layout: Layout, most: int) -> Iterator[_Row]:
    paced = [(trial, pace) for trial in task.trials if (pace := _usual_pace(trial)) > 0]
    picked = paced if len(paced) <= most else [paced[i] for i in np.linspace(0, len(paced) - 1, most).round().astype(int)]
    for trial, pace in picked:
        yield _Row((task.id, trial.sweep), layout.point(trial.code, task.names), math.log(pace))


def _usual_pace(trial: PastTrial) -> float:
    """The median over its reports, because one of them may have waited; 0 if none took any time."""
    steps, seconds = np.diff(trial.steps, prepend=0), np.diff(trial.costs, prepend=0.0)
    timed = (steps > 0) & (seconds > 0) & np.isfinite(seconds)
    return float(np.median(seconds[timed] / steps[timed])) if timed.any() else 0.0


def _names(layout: Layout) -> Sequence[tuple[str, ...]]:
    """What each column of ``response_features`` is."""
    numbers = [name for name, kind in layout.groups if kind == "number"]
    others = [(name, text) for name in layout.names for text in (ABSENT, *layout.options.get(name, ()))]
    return [*(("linear", name) for name in numbers), *(("square", name) for name in numbers), *(("is", *other) for other in others)]


def _weights(square_N: np.ndarray) -> np.ndarray:
    """What rows count whose squared residuals are these, in units of the noise."""
    return np.asarray((DEGREES + 1.0) / (DEGREES + square_N))


def _fitted(features_NF: np.ndarray, sweep_N: np.ndarray, log_pace_N: np.ndarray) -> tuple[Variances, np.ndarray]:
    """The variances of highest evidence, and the inverse covariance of the rows with them. A row's weight follows from how far it
    is from what all others say of it.
    """
    shared_NN, same_NN = features_NF @ features_NF.T, (sweep_N[:, None] == sweep_N[None]).astype(float)
    parts = (shared_NN, same_NN * shared_NN, same_NN)
    weight_N = np.ones(len(log_pace_N))
    logs = start = np.log(astuple(Variances()))
    for _ in range(ROUNDS):
        every = (*parts, np.diag(1.0 / weight_N))
        found = minimize(_misfit, logs, (every, log_pace_N, start), "L-BFGS-B", jac=True, bounds=LOG_BOUNDS)
        logs = found.x
        inverse_NN, explained_N, _ = _solved(logs, every, log_pace_N)
        noise, alone_N = math.exp(logs[3]), 1.0 / np.diag(inverse_NN)
        expected_N = np.maximum(alone_N - noise / weight_N, 0.0) + noise
        weight_N = _weights((explained_N * alone_N) ** 2 / expected_N)
    return Variances(*np.exp(logs).tolist()), inverse_NN


def _solved(logs: np.ndarray, parts: Sequence[np.ndarray], log_pace_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The inverse covariance, what it makes of the rows, and half of the log determinant."""
    covariance_NN = sum(size * part for size, part in zip(np.exp(logs), parts, strict=True))
    factor = cho_factor(covariance_NN, lower=True, check_finite=False)
    inverse_NN = cho_solve(factor, np.eye(len(log_pace_N)), check_finite=False)
    return inverse_NN, inverse_NN @ log_pace_N, float(np.log(np.diag(factor[0])).sum())


def _misfit(logs: np.ndarray, parts: Sequence[np.ndarray], log_pace_N: np.ndarray, start: np.ndarray) -> tuple[float, np.ndarray]:
    """Negative log evidence, with the priors of the variances, and its gradient in their logs."""
    inverse_NN, explained_N, half_log_determinant = _solved(logs, parts, log_pace_N)
    spread = np.array(PRIOR_SPREAD)
    value = 0.5 * log_pace_N @ explained_N + half_log_determinant + 0.5 * (((logs - start) / spread) ** 2).sum()
    slopes = [
        0.5 * size * (float((inverse_NN * part).sum()) - explained_N @ part @ explained_N)
        for size, part in zip(np.exp(logs), parts, strict=True)
    ]
    return float(value), np.array(slopes) + (logs - start) / spread**2
