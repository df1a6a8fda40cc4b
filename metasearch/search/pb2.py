"""Population based bandits: the population of PBT, whose children are chosen by a Gaussian process instead of by chance.

Parker-Holder, Nguyen and Roberts (2020), "Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits",
algorithm 1: a time-varying Gaussian process over the gains of every interval so far, and the upper confidence bound of the next.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from metasearch.core.config import Config
from metasearch.core.domains import Float, Int
from metasearch.core.history import History, Trial
from metasearch.search._rungs import even_rungs, grace_steps
from metasearch.search.pbt import Pbt

LENGTHS, FORGETTING, NOISES = (0.1, 0.3, 1.0), (0.0, 0.05, 0.2), (0.01, 0.1, 0.5)
"""Hyperparameters of the process; those of the highest marginal likelihood are used, anew for every child."""

MOST_ROWS = 200
CANDIDATES = 256
SURENESS = 2.0
"""Standard deviations above the mean of the bound that is maximised."""


@dataclass(frozen=True)
class Pb2(Pbt):
    """As PBT, but for how a child's numbers are found: among random ones, those with the highest bound on the gain of the next
    interval. ``resample`` does not count. Choices stay those of the parent.
    """

    def _explore(self, history: History, parent: Trial, rng: np.random.Generator) -> Config:
        space = history.sweep.space
        domains = self._mutable(space, parent.config)
        rungs = even_rungs(history.sweep.horizon, grace_steps(history.sweep.horizon, self.interval))
        rows = list(_gains(history, domains, rungs))[-MOST_ROWS:]
        if not domains or len(rows) < 2:
            return super()._explore(history, parent, rng)
        now = bisect_left(rungs, parent.step + 1)
        running = [_place(trial.config, domains) for trial in history.running.values()]
        drawn_MD = rng.random((CANDIDATES, len(domains)))
        best = _bandit(np.array([(*place, at) for place, at, _ in rows]), _standard(rows), drawn_MD, running, now)
        numbers = {name: domain.from_unit(u) for (name, domain), u in zip(domains.items(), drawn_MD[best].tolist(), strict=True)}
        return space.complete({**parent.config, **numbers})


_Row = tuple[tuple[float, ...], int, float]
"""Place in the unit cube, number of the interval, gain."""


def _gains(history: History, domains: Mapping[str, Float | Int], rungs: Sequence[int]) -> Iterator[_Row]:
    """By how much the log of the loss fell in every interval of every trial that has the numbers in question."""
    for trial in history:
        if not domains.keys() <= trial.config.keys():
            continue
        parent = None if trial.parent is None else history[trial.parent]
        before = math.nan if parent is None or trial.start not in parent.steps else parent.losses[parent.steps.index(trial.start)]
        for number, rung in enumerate(rungs):
            reached = bisect_left(trial.steps, rung)
            if trial.start >= rung or reached == len(trial.steps):
                continue
            loss = trial.losses[reached]
            if min(before, loss) > 0 and math.isfinite(before) and math.isfinite(loss):
                yield _place(trial.config, domains), number, math.log(before / loss)
            before = loss


def _place(config: Config, domains: Mapping[str, Float | Int]) -> tuple[float, ...]:
    """A config's numbers in the unit cube, by the scale of each; the middle for what it lacks."""
    return tuple(_unit(config.get(name), domain) for name, domain in domains.items())


def _unit(value: object, domain: Float | Int) -> float:
    if not isinstance(value, int | float):
        return 0.5
    low, high = domain.scale.encode(domain.low), domain.scale.encode(domain.high)
    return 0.5 if high == low else (domain.scale.encode(value) - low) / (high - low)


def _standard(rows: Sequence[_Row]) -> np.ndarray:
    """Gains, standardised within their interval, because they shrink as training goes on."""
    gain_N, at_N = np.array([gain for _, _, gain in rows]), np.array([at for _, at, _ in rows])
    standard_N = np.zeros(len(rows))
    for at in np.unique(at_N):
        of = at_N == at
        standard_N[of] = (gain_N[of] - gain_N[of].mean()) / max(float(gain_N[of].std()), 1e-9)
    return standard_N


def _bandit(seen_ND: np.ndarray, gain_N: np.ndarray, drawn_MD: np.ndarray, running: Sequence[tuple[float, ...]], now: int) -> int:
    """Which of ``drawn_MD`` has the highest bound. The last column of ``seen_ND`` is time. What is ``running`` narrows the bound as
    if it had brought what was expected of it (Desautels, Krause and Burdick, 2014).
    """
    length, forgetting, noise = max(product(LENGTHS, FORGETTING, NOISES), key=lambda how: _evidence(seen_ND, gain_N, *how))
    at_now = np.full((len(running), 1), now)
    waiting_ND = np.concatenate([np.array(running).reshape(len(running), drawn_MD.shape[1]), at_now], axis=1)
    wanted_MD = np.concatenate([drawn_MD, np.full((len(drawn_MD), 1), now)], axis=1)
    everything_ND = np.concatenate([seen_ND, waiting_ND])
    factor = cho_factor(_kernel(everything_ND, everything_ND, length, forgetting) + noise * np.eye(len(everything_ND)), lower=True)
    own = cho_factor(_kernel(seen_ND, seen_ND, length, forgetting) + noise * np.eye(len(seen_ND)), lower=True)
    mean_M = _kernel(wanted_MD, seen_ND, length, forgetting) @ cho_solve(own, gain_N)
    cross_MN = _kernel(wanted_MD, everything_ND, length, forgetting)
    variance_M = np.maximum(1.0 - np.einsum("mn,nm->m", cross_MN, cho_solve(factor, cross_MN.T)), 0.0)
    return int(np.argmax(mean_M + SURENESS * np.sqrt(variance_M)))


def _kernel(left_ND: np.ndarray, right_MD: np.ndarray, length: float, forgetting: float) -> np.ndarray:
    """Squared exponential in the numbers, times (1 - forgetting) to half of the time between."""
    apart_NM = ((left_ND[:, None, :-1] - right_MD[None, :, :-1]) ** 2).sum(-1)
    time_NM = np.abs(left_ND[:, None, -1] - right_MD[None, :, -1])
    return np.asarray(np.exp(-0.5 * apart_NM / length**2) * (1.0 - forgetting) ** (time_NM / 2.0))


def _evidence(seen_ND: np.ndarray, gain_N: np.ndarray, length: float, forgetting: float, noise: float) -> float:
    """Log marginal likelihood up to a constant."""
    factor = cho_factor(_kernel(seen_ND, seen_ND, length, forgetting) + noise * np.eye(len(seen_ND)), lower=True)
    return float(-0.5 * gain_N @ cho_solve(factor, gain_N) - np.log(np.diag(factor[0])).sum())


SEARCHER = Pb2
SCHEDULER = Pb2
