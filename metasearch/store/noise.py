"""How far apart two results must lie to differ: the noise between seeds, and Student's t-test with it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Noise:
    """``deviation``: standard deviation between seeds of one config. ``freedom``: degrees of freedom of that estimate."""

    deviation: float
    freedom: int

    @staticmethod
    def pooled(groups: Sequence[Sequence[float]]) -> Noise | None:
        """Of several configs, whose noise is taken for equal; each group holds the results of one. None if none has two."""
        return Noise.of((len(group), statistics.variance(group)) for group in groups if len(group) > 1)

    @staticmethod
    def of(groups: Iterable[tuple[int, float]]) -> Noise | None:
        """As ``pooled``, from the number of results and the variance of each group of at least two."""
        counted = list(groups)
        freedom = sum(count - 1 for count, _ in counted)
        squares = sum((count - 1) * variance for count, variance in counted)
        return Noise(math.sqrt(squares / freedom), freedom) if freedom else None

    def ties(self, one: float, seeds: int, other: float, other_seeds: int) -> bool:
        """Does a two-sided t-test at ``CONFIDENCE`` not tell the higher mean ``other`` from ``one``, each over so many seeds?"""
        from scipy.stats import t

        allowed = float(t.ppf((1 + CONFIDENCE) / 2, self.freedom)) * self.deviation * math.sqrt(1 / seeds + 1 / other_seeds)
        return other - one <= allowed
