"""Grid search: every combination of a few values per parameter, in the order of the space, each once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metasearch.core.config import Config
from metasearch.core.drawing import tried
from metasearch.core.errors import UserError
from metasearch.core.event import Fact
from metasearch.core.history import History
from metasearch.core.protocols import Proposal


@dataclass(frozen=True)
class Grid:
    """At most ``resolution`` values of each number, evenly spaced in its scale, and every option of each choice."""

    resolution: int = 3

    def __post_init__(self) -> None:
        if self.resolution < 1:
            raise UserError("The searcher grid cannot be set up so:", [f"resolution must be at least 1, found {self.resolution}"])

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        config = history.view(self, self._place).next_untried(history)
        return None if config is None else Proposal(config, "grid")

    def _place(self, history: History) -> _Place:
        return _Place(history, self.resolution)


class _Place:
    """View: how far the grid is used up. Tried configs stay tried, so there is never a way back."""

    def __init__(self, history: History, resolution: int) -> None:
        self._rest = history.sweep.space.grid(resolution)
        self._next = next(self._rest, None)

    def update(self, history: History, fact: Fact) -> None:
        """What was tried is looked up when it is needed."""

    def next_untried(self, history: History) -> Config | None:
        known = tried(history)
        while self._next is not None and self._next.id in known:
            self._next = next(self._rest, None)
        return self._next


SEARCHER = Grid
