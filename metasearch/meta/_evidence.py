"""What the curves of a sweep tell of configs at one moment, to the surrogates with history and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metasearch.core.config import Config
from metasearch.core.history import History
from metasearch.meta import _units as units
from metasearch.meta._ground import Ground
from metasearch.meta._traces import Traces
from metasearch.meta.surrogate import Belief, Surrogate

ROWS = 300

WORST = -1.0
"""What the first config is compared with: nearly all are expected to reach more."""

PENDING_VARIANCE = 0.01
"""Of trials that have not reported yet, which are taken to end as expected (Ginsbourger et al., 2010), so that the next differ."""


@dataclass(frozen=True)
class Known:
    """What trials at the places ``seen`` told of their ends, z and its variance, and the places ``wanted`` that are asked about.

    ``best``: the highest value that a trial has now. ``location``, ``scale``: units of the task.
    """

    places: Surrogate
    seen: np.ndarray
    z: np.ndarray
    variance: np.ndarray
    wanted: np.ndarray
    best: float
    location: float
    scale: float

    def belief(self) -> Belief:
        return self.places.believe(self.seen, self.z, self.variance, self.wanted)

    def ahead(self) -> Belief:
        """How far the places are believed to be ahead of the best trial, or, before any, of ``best``."""
        if len(self.seen):
            return self.places.ahead(self.seen, self.z, self.variance, self.wanted)
        belief = self.belief()
        return Belief(belief.mean - self.best, belief.deviation)

    def ahead_tuned(self, ground: Ground) -> Belief:
        """The same by a kernel that is fitted to this sweep, without history."""
        return ground.tuned_ahead(self.seen, self.z, self.variance, self.wanted)


class Evidence:
    """``age_N``: shares of a full training, NaN for trials that have not reported; ``lowest_N``: the lowest loss of each.

    ``begun``: the trials that have reported. ``rows``: those of them that the surrogates hear of: all, or of many the lowest, the
    newest, and some of the rest.
    """

    def __init__(self, history: History, traces: Traces, ground: Ground) -> None:
        self.history, self.traces, self.ground = history, traces, ground
        self.age_N, self.lowest_N = traces.column("step") / traces.full, traces.column("lowest")
        self.begun = np.flatnonzero(~np.isnan(self.age_N))
        self.rows = self._rows()

    def configs(self, numbers: np.ndarray) -> list[Config]:
        return [self.history[int(number)].config for number in numbers]

    def seen_whole(self, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(self.traces.ended[numbers] | (self.age_N[numbers] >= 1.0))

    def on(self, configs: Sequence[Config], *, learned: bool, pending: bool = True) -> Known:
        """What is known to the surrogate with history (``learned``) or to that without, and ``configs`` as the places wanted.

        ``pending``: whether trials that have not reported yet are places seen.
        """
        rows = self.rows
        begin = np.array([n for n, trial in self.history.running.items() if pending and not trial.steps], dtype=int)
        at = self.ground.at([*configs, *self.configs(rows), *self.configs(begin)])
        wanted, seen, there = np.split(at, [len(configs), len(configs) + len(rows)])
        places = self.ground.places[int(learned)]
        z, variance, best, location, scale = np.zeros(0), np.zeros(0), WORST, 0.0, 1.0
        if len(rows):
            location, scale = self._units(places, seen, learned=learned)
            z, variance, now = self._looks(rows).readings(self.ground.theta.book, location, scale)
            best = float(now.max())
        if len(begin):
            z = np.concatenate([z, places.believe(seen, z, variance, there).mean])
            seen, variance = np.concatenate([seen, there]), np.concatenate([variance, np.full(len(there), PENDING_VARIANCE)])
        return Known(places, seen, z, variance, wanted, best, location, scale)

    def _rows(self) -> np.ndarray:
        begun = self.begun
        if len(begun) <= ROWS:
            return begun
        ranked = begun[np.argsort(self.lowest_N[begun], kind="stable")]
        spread = begun[np.linspace(0, len(begun) - 1, ROWS // 3).astype(int)]
        return np.unique(np.concatenate([ranked[: ROWS // 2], begun[-ROWS // 6 :], spread]))

    def _units(self, places: Surrogate, seen: np.ndarray, *, learned: bool) -> tuple[float, float]:
        """Location and scale of this task. ``seen``: the places of ``rows``."""
        if not learned:
            return units.plain(self._looks(self.begun), self._first_loss())

        def evidence(kept: np.ndarray, z_GN: np.ndarray, variance_GN: np.ndarray) -> np.ndarray:
            return places.log_evidence(seen[kept], z_GN, variance_GN)

        return units.learned(self.ground.theta, self._looks(self.rows), self._first_loss(), evidence)

    def _looks(self, rows: np.ndarray) -> units.Looks:
        half_N = self.traces.column("half")[rows]
        return units.Looks(self.lowest_N[rows], half_N, self.age_N[rows], self.seen_whole(rows))

    def _first_loss(self) -> float:
        first = self.traces.column("first")[self.begun]
        finite = first[np.isfinite(first)]
        return float(np.median(finite)) if len(finite) else 1.0
