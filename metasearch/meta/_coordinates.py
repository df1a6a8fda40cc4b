"""Configs as points, for the algorithms of others that are compared with ours: standardised numbers and one-hot choices.

Shapes: C configs, P columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Code = Mapping[str, float | str]

_FURTHEST = 4.0
"""Standard deviations at which a number is cut: what lies further away is far away, however far."""

_LOG_OF_ZERO = -100.0
"""No number of this size has a code as low; what lies below it is the code of 0 on a scale of decades."""


@dataclass(frozen=True)
class Coordinates:
    """One column for each number, each option of a choice, and each parameter's absence; parameters that never vary have none.

    A number that is absent stands at the mean.
    """

    names: tuple[str, ...]
    numbers: Mapping[str, tuple[float, float]]
    options: Mapping[str, tuple[str | None, ...]]

    @staticmethod
    def of(codes: Sequence[Code]) -> Coordinates:
        """The coordinates in which the numbers of ``codes`` have mean 0 and standard deviation 1."""
        numbers: dict[str, tuple[float, float]] = {}
        options: dict[str, tuple[str | None, ...]] = {}
        for name in sorted({name for code in codes for name in code}):
            given = [code.get(name) for code in codes]
            values = [value for value in given if isinstance(value, float | int)]
            if len(set(values)) > 1:
                regular = np.array([value for value in values if value > _LOG_OF_ZERO])
                numbers[name] = (float(regular.mean()), float(regular.std()) or 1.0)
            texts = sorted({value for value in given if isinstance(value, str)})
            if None in given or (texts and len(set(given)) > 1):
                options[name] = (*texts, None) if None in given else tuple(texts)
        return Coordinates(tuple(sorted(numbers.keys() | options.keys())), numbers, options)

    @property
    def owners(self) -> np.ndarray:
        """Which of ``names`` each column belongs to."""
        widths = [(name in self.numbers) + len(self.options.get(name, ())) for name in self.names]
        return np.repeat(np.arange(len(self.names)), widths)

    def points(self, codes: Sequence[Code]) -> np.ndarray:
        """The points of ``codes``, as rows."""
        columns = []
        for name in self.names:
            given = [code.get(name) for code in codes]
            if name in self.numbers:
                centre, width = self.numbers[name]
                off = [(value - centre) / width if isinstance(value, float | int) else 0.0 for value in given]
                columns.append(np.clip(np.array(off, dtype=float), -_FURTHEST, _FURTHEST))
            columns += [np.array([value == option for value in given], dtype=float) for option in self.options.get(name, ())]
        return np.stack(columns, axis=1) if columns else np.zeros((len(codes), 0))


def squared_distances(one_AP: np.ndarray, other_BP: np.ndarray) -> np.ndarray:
    """Of each point to each, A × B."""
    squares_AB = (one_AP**2).sum(axis=1)[:, None] + (other_BP**2).sum(axis=1) - 2.0 * one_AP @ other_BP.T
    return np.asarray(np.maximum(squares_AB, 0.0))
