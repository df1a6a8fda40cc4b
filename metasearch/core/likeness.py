"""How alike tasks are, by the numbers that describe them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_LEAST_WIDTH = 0.05
"""Numbers that hardly differ between the known tasks say little about how unlike another one is."""


@dataclass(frozen=True)
class DescriptorScale:
    """Where known tasks lie in each number of their descriptors, ``name_E``, and how widely they are spread."""

    name_E: tuple[str, ...]
    center_E: np.ndarray
    width_E: np.ndarray

    @staticmethod
    def of(descriptors: Sequence[Mapping[str, float]]) -> DescriptorScale:
        names = tuple(sorted({name for descriptor in descriptors for name in descriptor}))
        columns = [[d[name] for d in descriptors if name in d] for name in names]
        center = np.array([np.mean(column) for column in columns])
        return DescriptorScale(names, center, np.maximum(np.array([np.std(column) for column in columns]), _LEAST_WIDTH))

    def place(self, descriptor: Mapping[str, float]) -> np.ndarray:
        """A task among the known ones: standardised, cut at ± 3, 0 where a number is missing."""
        values = np.array([descriptor.get(name, math.nan) for name in self.name_E], dtype=float)
        return np.asarray(np.clip(np.nan_to_num((values - self.center_E) / self.width_E), -3.0, 3.0))

    def distance(self, one: Mapping[str, float], other: Mapping[str, float]) -> float | None:
        """The root of the mean squared difference of the numbers that both have; None if there is none.

        >>> scale = DescriptorScale.of([{"entropy": 4.0}, {"entropy": 6.0}])
        >>> scale.distance({"entropy": 4.0}, {"entropy": 5.0, "tokens": 1e6})
        1.0
        """
        both = np.array([name in one and name in other for name in self.name_E], dtype=bool)
        if not both.any():
            return None
        return float(np.sqrt(np.mean((self.place(one) - self.place(other))[both] ** 2)))
