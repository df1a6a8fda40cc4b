"""Grid search: every combination of a few values per parameter, in the order of the space, each once or a few times."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from metasearch.core.config import Config
from metasearch.core.errors import UserError
from metasearch.core.event import Fact, Proposed
from metasearch.core.history import History
from metasearch.core.protocols import Proposal


@dataclass(frozen=True)
class Grid:
    """At most ``resolution`` values of each number, evenly spaced in its scale, and every option of each choice.

    ``repeats``: how many trials each config gets, every one with a seed of its own. No config gets its second before all have had
    their first, so that a grid that was cut short is balanced.
    """

    resolution: int = 3
    repeats: int = 1

    def __post_init__(self) -> None:
        faults = [f"{name} must be at least 1, found {number}" for name, number in vars(self).items() if number < 1]
        if faults:
            raise UserError("The searcher grid cannot be set up so:", faults)

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        config = history.view(self, self._place).next_due(history)
        return None if config is None else Proposal(config, "grid")

    def _place(self, history: History) -> _Place:
        return _Place(history, self)


class _Place:
    """View: how far the grid is used up. Tried configs stay tried, so there is never a way back."""

    def __init__(self, history: History, grid: Grid) -> None:
        self._grid = grid
        self._tries = Counter(trial.config.id for trial in history)
        self._round, self._rest = 0, history.sweep.space.grid(grid.resolution)
        self._next = next(self._rest, None)

    def update(self, history: History, fact: Fact) -> None:
        if isinstance(fact, Proposed):
            self._tries[fact.config.id] += 1

    def next_due(self, history: History) -> Config | None:
        """The next config that has not had its trial of this round; None once all have had all of theirs."""
        while True:
            while self._next is not None and self._tries[self._next.id] > self._round:
                self._next = next(self._rest, None)
            if self._next is not None or self._round + 1 == self._grid.repeats:
                return self._next
            self._round, self._rest = self._round + 1, history.sweep.space.grid(self._grid.resolution)
            self._next = next(self._rest, None)


SEARCHER = Grid
