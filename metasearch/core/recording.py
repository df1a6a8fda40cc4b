"""Curves that were once measured: what a simulated sweep runs over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from metasearch.core.config import Config
from metasearch.core.space import Space


@dataclass(frozen=True)
class Recording:
    """One config's curve. ``steps`` rise strictly from above 0; ``costs`` are cumulative and never fall; all are equally long.

    A loss that is not finite is the last one: the trial diverged there.
    """

    config: Config
    steps: list[int]
    losses: list[float]
    costs: list[float]

    def __post_init__(self) -> None:
        assert len(self.steps) == len(self.losses) == len(self.costs) > 0, f"a curve needs points: {self}"


@dataclass(frozen=True)
class RecordedTable:
    """All curves of one task, by ``Config.id``. The candidates of ``space`` are exactly the recorded configs.

    ``descriptor``: numbers that describe the task, as in ``Task``.
    """

    task_name: str
    space: Space
    recordings: Mapping[str, Recording]
    descriptor: Mapping[str, float] = field(default_factory=dict)

    @property
    def horizon(self) -> int:
        """The last step of the longest curve."""
        return max(recording.steps[-1] for recording in self.recordings.values())
