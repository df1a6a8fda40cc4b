"""In which units the losses of a sweep are compared with those of earlier tasks: location and scale of its task.

Shapes: N trials, G readings of their curves in other units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from metasearch.meta import curves
from metasearch.meta.theta import Theta, Units

MOST_LOOKED_AT = 24
SCALES, WHOLE_VALUES = np.linspace(-2, 2, 7), np.linspace(-0.2, 1.2, 8)
"""The grid on which units are looked for: log scales, in deviations from what is expected, and values of the best."""

DOUBT = 0.3
"""Variance by which units may be off what the surrogate expects: a config may simply fail, which is no reason to change units."""

SEEN_VARIANCE = 1e-4

Evidence = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Log marginal likelihood, (G,), of what the curves of some trials (their indices) say of their ends (means, variances; (G, N))."""


@dataclass(frozen=True)
class Looks:
    """How curves look now: the lowest loss, the lowest at half of their age, their age as a share of a full training, and whether
    there is no more to see; (N,) each.
    """

    lowest_N: np.ndarray
    half_N: np.ndarray
    age_N: np.ndarray
    whole_N: np.ndarray

    def taken(self, at: np.ndarray) -> Looks:
        return Looks(self.lowest_N[at], self.half_N[at], self.age_N[at], self.whole_N[at])

    def readings(
        self, book: curves.Book, location: float | np.ndarray, scale: float | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What each curve says of its end (mean, variance), and the value it has now. The units may differ from curve to curve."""
        z = curves.in_units(self.lowest_N, location, scale)
        half = curves.in_units(self.half_N, location, scale)
        end, variance = book.predict(np.minimum(self.age_N, 0.99), z, half)
        now = curves.squashed(z)
        return np.where(self.whole_N, now, np.maximum(end, now)), np.where(self.whole_N, SEEN_VARIANCE, variance), now

    def log_usual(
        self, book: curves.Book, location: np.ndarray, scale: np.ndarray, end_N: np.ndarray, variance_N: np.ndarray
    ) -> np.ndarray:
        """Log density of each curve as it is now, apart from what it says of its end (``readings``); 0 where it has no loss."""
        finite = np.isfinite(self.lowest_N)
        z = np.where(finite, curves.in_units(self.lowest_N, location, scale), 0.0)
        center, spread = book.population
        log = book.log_density(np.minimum(self.age_N, 0.99), z)
        log += 0.5 * (end_N - center) ** 2 / (spread + variance_N) + 0.5 * np.log(2 * math.pi * (spread + variance_N))
        bent = np.log(np.maximum(1.0 - np.tanh(np.clip(z, -8, 0)) ** 2, 1e-12)) - np.log(np.maximum(z, 1.0))
        return np.asarray(np.where(finite, np.where(self.whole_N, bent, log), 0.0))


def learned(theta: Theta, looks: Looks, first: float, evidence: Evidence) -> tuple[float, float]:
    """Location and scale, averaged over a grid by how probable they are, given the curves and what past tasks were like.

    ``first``: a usual first loss.
    """
    units = theta.units
    if not np.isfinite(looks.lowest_N).any():
        return first, math.exp(units.expected_log_scale(first))
    kept, lowest = _looked_at(looks.lowest_N), float(np.min(looks.lowest_N))
    expected, width = units.expected_log_scale(first), units.log_scale_spread
    values = _values_of_the_best(theta.book, looks.taken(np.array([int(np.argmin(looks.lowest_N))])))
    log_scale_G, best_G = (grid.ravel() for grid in np.meshgrid(expected + width * SCALES, values))
    scale_G = np.exp(log_scale_G)
    location_G = lowest + best_G * scale_G
    shape, many = (len(scale_G), len(kept)), looks.taken(np.tile(kept, len(scale_G)))
    location, scale = np.repeat(location_G, len(kept)), np.repeat(scale_G, len(kept))
    end, variance, _ = many.readings(theta.book, location, scale)
    score_G = evidence(kept, end.reshape(shape), variance.reshape(shape) + DOUBT)
    score_G = score_G + many.log_usual(theta.book, location, scale, end, variance).reshape(shape).sum(1)
    score_G -= np.isfinite(looks.lowest_N[kept]).sum() * log_scale_G
    score_G -= 0.5 * ((log_scale_G - expected) / width) ** 2
    score_G -= 0.5 * (((first - location_G) / scale_G - units.shift) / units.shift_spread) ** 2
    weight_G = softmax(score_G)
    mean_scale = math.exp(float(weight_G @ log_scale_G))
    return lowest + float(weight_G @ best_G) * mean_scale, mean_scale


def plain(looks: Looks, first: float) -> tuple[float, float]:
    """Without past tasks. Location: the median of the further half. Scale: between what is usual and how far the best is below."""
    usual = Units().expected_log_scale(first)
    finite = np.isfinite(looks.lowest_N)
    if not finite.any():
        return first, math.exp(usual)
    lowest, age = looks.lowest_N[finite], looks.age_N[finite]
    far = lowest[age >= np.median(age)]
    location = float(np.median(far)) if len(lowest) >= 4 else 0.5 * (first + float(np.median(far)))
    reach = max(location - float(lowest.min()), 0.01 * abs(first), 1e-9)
    scale = math.exp((8 * usual + len(lowest) * math.log(reach)) / (8 + len(lowest)))
    return location, max(scale, 0.8 * reach)


def _looked_at(lowest_N: np.ndarray) -> np.ndarray:
    """All, or of many the lowest and some of the rest."""
    if len(lowest_N) <= MOST_LOOKED_AT:
        return np.arange(len(lowest_N))
    ranked = np.argsort(lowest_N, kind="stable")
    spread = np.linspace(0, len(lowest_N) - 1, MOST_LOOKED_AT // 2).astype(int)
    return np.unique(np.concatenate([ranked[: MOST_LOOKED_AT // 2], spread]))


def _values_of_the_best(book: curves.Book, best: Looks) -> np.ndarray:
    """Values that the lowest curve may have now, in units of the task."""
    if best.whole_N[0]:
        return WHOLE_VALUES
    return np.unique(np.concatenate([book.usual(min(float(best.age_N[0]), 0.99)), WHOLE_VALUES[::2]]))
