"""From a partial curve to its end: what curves of earlier tasks did after looking as this one looks now.

Values are in units of the task (0: an ordinary result, 1: a very good one), see ``surrogate``. A curve is described by how far it
is, how low it came, and how much of that it gained since half of its age. The curves in a ``Book`` that looked alike at that age,
weighted by nearness, predict the end; dividing out what is known of ends in general leaves what this curve says by itself, as one
Gaussian observation for the surrogate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np

AGES = np.array([0.02, 0.04, 0.06, 0.08, 0.1, 0.14, 0.2, 0.28, 0.4, 0.55, 0.75])
"""Shares of a full training at which curves are compared."""

MOST_AT_AN_AGE = 160
NEAR_VALUE, NEAR_GAIN = 0.12, 0.08
MOST_LEFT_OUT, MOST_DOUBT = 10, 4.0
NINETY = 1.645
BEST = 20.0
"""No result is told from one that is this good."""

BROAD = 0.1
"""How probable it is that a curve is like none before."""

FLOOR = 0.015
"""Standard deviation of an end that is all but seen."""

SYNTHETIC_CURVES = 400


def squashed(z: np.ndarray) -> np.ndarray:
    """Results on a scale that is even about 0 to 1: what is worse than ordinary by much is just bad, divergence is the worst, -1;
    better than very good is better still, on a logarithmic scale.
    """
    return np.asarray(np.where(z < 0, np.tanh(np.minimum(z, 0.0)), _beyond(z)))


def _beyond(z: np.ndarray) -> np.ndarray:
    return np.asarray(np.minimum(z, 1.0) + np.log(np.clip(z, 1.0, BEST)))


def levelled(z: np.ndarray) -> np.ndarray:
    """Values along a curve, where early losses may be many units above any end: logarithmic below 0 and above 1."""
    return np.asarray(np.where(z < 0, -np.log1p(-np.minimum(z, 0.0)), _beyond(z)))


def in_units(losses: np.ndarray, location: float | np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """Losses in units of the task, infinite ones very bad."""
    return -(np.where(np.isfinite(losses), losses, 1e30) - location) / scale


@dataclass(frozen=True)
class Book:
    """At each of ``AGES`` the curves seen there: columns value, gain, end. ``synthetic``: no task has been seen yet.

    ``doubt``: at each age, by how much variances are raised, so that curves of one task are foretold from those of the others with
    as much certainty as is claimed.
    """

    at: tuple[np.ndarray, ...]
    ends: np.ndarray
    doubt: np.ndarray = field(default_factory=lambda: np.ones(len(AGES)))
    synthetic: bool = False

    @cached_property
    def population(self) -> tuple[float, float]:
        """Mean and variance of ends."""
        return float(np.mean(self.ends)), float(np.var(self.ends)) + 0.02

    def predict(self, age_N: np.ndarray, z_N: np.ndarray, z_half_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the end that each curve says by itself. ``z_half_N``: the value at half the age."""
        value_N, gain_N = levelled(z_N), levelled(z_N) - levelled(z_half_N)
        cell_N = _cells(age_N)
        mean_N, variance_N = np.maximum(value_N, -1.0), np.full(len(age_N), 0.1)
        for cell in np.unique(cell_N):
            here = cell_N == cell
            if len(self.at[cell]):
                mean_N[here], variance_N[here] = _alike(self.at[cell], value_N[here], gain_N[here])
                variance_N[here] *= self.doubt[cell]
        if self.synthetic:
            variance_N = variance_N + (0.25 * (1.0 - np.minimum(age_N, 1.0))) ** 2
        return self._by_itself(mean_N, variance_N)

    def usual(self, age: float) -> np.ndarray:
        """Values z that curves have at that age, from low to high."""
        value_K = self.at[int(_cells(np.array([age]))[0])][:, 0]
        if not len(value_K):
            return np.array([-1.0, -0.5, 0.0])
        value = np.quantile(value_K, [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.97])
        good = np.minimum(value, 1.0) * np.exp(np.maximum(value - 1.0, 0.0))
        return np.asarray(np.where(value < 0, -np.expm1(-np.minimum(value, 0.0)), good))

    def log_density(self, age_N: np.ndarray, z_N: np.ndarray) -> np.ndarray:
        """How usual it is to be at z at that age: the logarithm of a density over z, whatever becomes of the curve."""
        value_N, cell_N = levelled(z_N), _cells(age_N)
        log_N = np.zeros(len(z_N))
        for cell in np.unique(cell_N):
            here = cell_N == cell
            log_N[here] = _log_smoothed(self.at[cell][:, 0], value_N[here])
        return np.asarray(log_N - np.log1p(-np.minimum(z_N, 0.0)) - np.log(np.clip(z_N, 1.0, BEST)))

    def _by_itself(self, mean_N: np.ndarray, variance_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        center, spread = self.population
        precision_N = 1.0 / variance_N - 1.0 / spread
        says = precision_N > 0.5
        safe_N = np.where(says, precision_N, 1.0)
        return np.where(says, (mean_N / variance_N - center / spread) / safe_N, mean_N), np.where(says, 1.0 / safe_N, 2.0)


def _cells(age_N: np.ndarray) -> np.ndarray:
    """Which of ``AGES`` is nearest."""
    cell_N = np.interp(np.log(np.maximum(age_N, 1e-6)), np.log(AGES), np.arange(len(AGES)))
    return np.asarray(np.round(cell_N).astype(int))


def _log_smoothed(seen_K: np.ndarray, value_N: np.ndarray) -> np.ndarray:
    """The logarithm of a density that was sampled at ``seen_K``: Gaussian kernels over a broad ground."""
    if not len(seen_K):
        return _log_normal(value_N, 0.0, 1.5)
    spread = float(np.std(seen_K))
    width = max(0.6 * float(np.subtract(*np.quantile(seen_K, [0.75, 0.25]))) * len(seen_K) ** -0.2, 0.05)
    near_N = np.exp(-0.5 * ((value_N[:, None] - seen_K) / width) ** 2).mean(1)
    close_N = np.log(near_N + 1e-300) - math.log(width * math.sqrt(2 * math.pi))
    broad_N = _log_normal(value_N, float(np.mean(seen_K)), 2.0 * spread + 0.5)
    return np.asarray(np.logaddexp(close_N + math.log(1.0 - BROAD), broad_N + math.log(BROAD)))


def _log_normal(value: np.ndarray, mean: float | np.ndarray, deviation: float) -> np.ndarray:
    return np.asarray(-0.5 * ((value - mean) / deviation) ** 2 - math.log(deviation) - 0.5 * math.log(2 * math.pi))


def _alike(seen_K3: np.ndarray, value_N: np.ndarray, gain_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is still to come, by nearest curves: mean and variance of ends."""
    far_NK = ((value_N[:, None] - seen_K3[:, 0]) / NEAR_VALUE) ** 2 + ((gain_N[:, None] - seen_K3[:, 1]) / NEAR_GAIN) ** 2
    nearest_N1 = far_NK.min(1, keepdims=True)
    weight_NK = np.exp(-0.5 * (far_NK - nearest_N1)) + 1e-4
    weight_NK /= weight_NK.sum(1, keepdims=True)
    to_come_K = seen_K3[:, 2] - np.maximum(seen_K3[:, 0], -1.0)
    mean_N = weight_NK @ to_come_K
    support_N = 1.0 / (weight_NK**2).sum(1)
    variance_N = np.maximum(weight_NK @ to_come_K**2 - mean_N**2, 0.0) * (1.0 + 1.0 / support_N)
    variance_N += FLOOR**2 + 0.002 * np.minimum(nearest_N1[:, 0], 25.0) + 0.0025 / support_N
    return mean_N + np.maximum(value_N, -1.0), variance_N


Curve = tuple[Sequence[float], np.ndarray, float]
"""Ages of the points, the best values so far at them, and the end."""


def book_of(curves: Sequence[Curve], *, synthetic: bool = False) -> Book:
    at: list[list[tuple[float, float, float]]] = [[] for _ in AGES]
    for ages, best, end in curves:
        level = levelled(best)
        point_A = np.searchsorted(ages, AGES + 1e-9) - 1
        half_A = np.maximum(np.searchsorted(ages, AGES / 2 + 1e-9) - 1, 0)
        gain_A = level[point_A] - level[half_A]
        for cell in np.flatnonzero(point_A >= 0):
            at[cell].append((float(level[point_A[cell]]), float(gain_A[cell]), end))
    return Book(tuple(_thinned(rows) for rows in at), np.array([end for _, _, end in curves]), synthetic=synthetic)


def _thinned(rows: Sequence[tuple[float, float, float]]) -> np.ndarray:
    table = np.array(rows, dtype=float).reshape(len(rows), 3)
    if len(table) <= MOST_AT_AN_AGE:
        return table
    by_end = table[np.argsort(table[:, 2], kind="stable")]
    return np.asarray(by_end[np.linspace(0, len(table) - 1, MOST_AT_AN_AGE).round().astype(int)])


@cache
def synthetic_book() -> Book:
    """For a store that is still empty: power laws and late starts, half of them ending at an ordinary value."""
    rng = np.random.default_rng(0)
    ages = np.linspace(0.02, 1.0, 50)
    made: list[Curve] = []
    for _ in range(SYNTHETIC_CURVES):
        end = rng.normal(0, 0.1) if rng.random() < 0.5 else rng.uniform(0, 1.05)
        start = min(-rng.exponential(1.0) if rng.random() < 0.6 else 0.0, end - 0.02)
        onset = np.exp(rng.uniform(np.log(0.01), np.log(0.6))) if rng.random() < 0.35 else 0.0
        bend, power = np.exp(rng.uniform(np.log(0.02), 0.0)), rng.uniform(0.5, 3)
        since = np.clip((ages - onset) / (1 - onset), 0, 1)
        done = (1 - (1 + since / bend) ** -power) / (1 - (1 + 1 / bend) ** -power)
        best = np.maximum.accumulate(start + (end - start) * done + rng.normal(0, 0.01, len(ages)))
        made.append((ages.tolist(), best, float(squashed(best[-1:])[0])))
    return book_of(made, synthetic=True)


def book_of_tasks(tasks: Sequence[Sequence[Curve]]) -> Book:
    """The book of several tasks' curves, with the doubt that leaving one of them out teaches."""
    whole = book_of([curve for task in tasks for curve in task])
    if len(tasks) < 2:
        return whole
    off: list[list[np.ndarray]] = [[] for _ in AGES]
    for left_out in np.linspace(0, len(tasks) - 1, min(len(tasks), MOST_LEFT_OUT)).astype(int):
        others = book_of([curve for k, task in enumerate(tasks) if k != left_out for curve in task])
        for cell, seen_K3 in enumerate(book_of(tasks[left_out]).at):
            if len(others.at[cell]) and len(seen_K3):
                mean_K, variance_K = _alike(others.at[cell], seen_K3[:, 0], seen_K3[:, 1])
                off[cell].append(np.abs(seen_K3[:, 2] - mean_K) / np.sqrt(variance_K))
    ninth = [float(np.quantile(np.concatenate(ratios), 0.9)) / NINETY if ratios else 1.0 for ratios in off]
    return replace(whole, doubt=np.clip(np.array(ninth), 1.0, MOST_DOUBT) ** 2)


def pack(book: Book) -> Mapping[str, np.ndarray]:
    return {"book/ends": book.ends, "book/doubt": book.doubt, **{f"book/at/{cell}": table for cell, table in enumerate(book.at)}}


def unpack(arrays: Mapping[str, np.ndarray]) -> Book:
    return Book(tuple(arrays[f"book/at/{cell}"] for cell in range(len(AGES))), arrays["book/ends"], arrays["book/doubt"])
