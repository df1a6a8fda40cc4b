"""A greedy portfolio: the few configs of earlier sweeps that together did best on all their tasks, tried in that order.

Wistuba, Schilling and Schmidt-Thieme (2015), "Sequential Model-Free Hyperparameter Tuning"; Feurer, Eggensperger, Falkner, Lindauer
and Hutter (2022), "Auto-Sklearn 2.0". The archive's tasks hold different configs, so how a config would have done where it was not
tried is guessed from its neighbours there. Shapes: T tasks, C configs, N trials of one task, P columns.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.drawing import draw, nearest_untried
from metasearch.core.history import History
from metasearch.core.protocols import Proposal
from metasearch.meta._coordinates import Coordinates, squared_distances

LONGEST = 20
"""A portfolio holds at most so many configs."""

PER_TASK = 50
"""Only the best of every task may get into it."""

NEIGHBOURS = 3
"""The kernel of a guess is as wide as the distance to the neighbour of this rank."""


@dataclass(frozen=True)
class Portfolio:
    """What was learned: ``configs`` in the order in which they should be tried."""

    configs: tuple[Config, ...] = ()


@dataclass(frozen=True)
class PortfolioSearcher:
    """Proposes the portfolio, or without one the default config, then draws from the priors.

    In a finite space it is the nearest candidate left that is tried. Elsewhere parameters that a config lacks, and values out of
    range, are replaced by the space's defaults.
    """

    portfolio: Portfolio

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        ordered = self._ordered(history)
        position = sum(trial.origin == "portfolio" for trial in history)
        if position >= len(ordered):
            drawn = draw(history, rng)
            return None if drawn is None else Proposal(drawn, "random", "the portfolio is used up")
        config = nearest_untried(history, ordered[position])
        return None if config is None else Proposal(config, "portfolio", f"{position + 1} of {len(ordered)}")

    def _ordered(self, history: History) -> Sequence[Config]:
        space = history.sweep.space
        if not self.portfolio.configs:
            return [space.default()]
        if space.candidates:
            return self.portfolio.configs
        return list(dict.fromkeys(space.complete(config) for config in self.portfolio.configs))


class PortfolioMeta:
    """Learns a portfolio from an archive; an archive without a finite loss teaches it nothing."""

    def init(self, rng: np.random.Generator) -> Portfolio:
        return Portfolio()

    def learn(self, theta: Portfolio, archive: Archive, rng: np.random.Generator) -> Portfolio:
        tasks = [task for task in archive if any(math.isfinite(trial.lowest) for trial in task.trials)]
        if not tasks:
            return theta
        coordinates = Coordinates.of([trial.code for task in tasks for trial in task.trials])
        best = {trial.config: trial.code for task in tasks for trial in sorted(task.trials, key=_lowest)[:PER_TASK]}
        point_CP = coordinates.points(list(best.values()))
        configs = list(best)
        regret_TC = np.stack([_guessed(task, configs, point_CP, coordinates) for task in tasks])
        return Portfolio(tuple(configs[index] for index in greedy(regret_TC, LONGEST)))

    def build(self, theta: Portfolio) -> PortfolioSearcher:
        return PortfolioSearcher(theta)


def greedy(regret_TC: np.ndarray, longest: int) -> list[int]:
    """Configs, each the one that most lowers the mean over tasks of the least regret so far, until none lowers it."""
    chosen: list[int] = []
    least_T = np.ones(len(regret_TC))
    while len(chosen) < longest:
        mean_C = np.minimum(least_T[:, None], regret_TC).mean(axis=0)
        index = int(mean_C.argmin())
        if chosen and mean_C[index] >= least_T.mean() - 1e-9:
            break
        chosen.append(index)
        least_T = np.minimum(least_T, regret_TC[:, index])
    return chosen


def regrets(task: PastTask) -> np.ndarray:
    """(lowest loss - best of the task) / (median - best) of every trial, cut to [0, 1]; 1 without a finite loss."""
    lowest_N = np.array([trial.lowest for trial in task.trials])
    finite = lowest_N[np.isfinite(lowest_N)]
    floor, middle = float(finite.min()), statistics.median(lowest_N.tolist())
    width = (middle if math.isfinite(middle) else statistics.median(finite.tolist())) - floor
    if width <= 0:
        return np.asarray(np.where(lowest_N > floor, 1.0, 0.0))
    return np.asarray(np.clip((lowest_N - floor) / width, 0.0, 1.0))


def _guessed(task: PastTask, configs: Sequence[Config], point_CP: np.ndarray, coordinates: Coordinates) -> np.ndarray:
    """The regret of every config on a task: its own mean where it was tried, else a kernel regression on what was tried.

    Nadaraya and Watson's estimate with a Gaussian kernel, for each config as wide as its ``NEIGHBOURS``-th neighbour is far.
    """
    regret_N = regrets(task)
    distance_CN = squared_distances(point_CP, coordinates.points([trial.code for trial in task.trials]))
    rank = min(NEIGHBOURS, len(task.trials)) - 1
    width_C = np.maximum(np.partition(distance_CN, rank, axis=1)[:, rank], 1e-6)
    weight_CN = np.exp(-0.5 * distance_CN / width_C[:, None])
    guess_C = np.asarray(weight_CN @ regret_N / weight_CN.sum(axis=1))
    tried: dict[Config, list[float]] = {}
    for trial, regret in zip(task.trials, regret_N.tolist(), strict=True):
        tried.setdefault(trial.config, []).append(regret)
    for index, config in enumerate(configs):
        if config in tried:
            guess_C[index] = statistics.fmean(tried[config])
    return guess_C


def _lowest(trial: PastTrial) -> float:
    return trial.lowest


META = PortfolioMeta()
