"""Conformal quantile regression (Salinas, Golebiowski, Klein, Seeger and Archambeau, 2023), by Syne Tune."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metasearch import catalog
from metasearch.core.config import Config
from metasearch.core.drawing import draw, nearest_untried
from metasearch.core.history import NEVER_BEST, History, Trial
from metasearch.core.protocols import Proposal

flat = catalog.load("search", "flat")

STARTUP = 5
"""Trials that the package wants to see before it makes a model."""

_PEER = "CQR"
_SEARCHERS = "syne_tune.optimizer.schedulers.searchers.conformal.conformal_quantile_regression_searcher"


@dataclass(frozen=True)
class Cqr:
    """Draws from the priors until ``STARTUP`` trials have reported, then the best of random candidates under sampled quantiles."""

    def __post_init__(self) -> None:
        flat.package(_SEARCHERS, _PEER)

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        space = flat.Flat.of(history.sweep.space)
        if not any(space.axes) or len(outcomes(history)) < STARTUP:
            config, reason = draw(history, rng), "start-up"
        else:
            config, reason = suggested(history, space, domains(space), rng), ""
        return None if config is None else Proposal(config, "cqr", reason)


def domains(space: Any) -> dict[str, Any]:
    """The space as Syne Tune writes it."""
    syne_tune = flat.package("syne_tune.config_space", _PEER)
    return {
        axis.name: syne_tune.choice([str(place) for place in range(len(axis.options))])
        if axis.options
        else syne_tune.uniform(0.0, 1.0)
        for axis in space
    }


def suggested(history: History, space: Any, domains: Mapping[str, Any], rng: np.random.Generator) -> Config | None:
    """What Syne Tune would try next in ``domains``; at random there as long as too few trials have reported."""
    seed = int(rng.integers(2**31))
    with flat.borrowed(seed):
        searcher = flat.package(_SEARCHERS, _PEER).ConformalQuantileRegression(dict(domains), seed, num_init_random_draws=STARTUP)
        for trial, loss in outcomes(history):
            searcher.on_trial_complete(trial.number, space.codes(trial.config), loss)
        codes = searcher.suggest()
    return nearest_untried(history, space.config(codes))


def outcomes(history: History) -> list[tuple[Trial, float]]:
    """Every trial by its last loss, running or not, as Syne Tune's own combination with ASHA has it.

    Diverged and failed trials count as the worst loss that anybody ended with.
    """
    ended = [(trial, math.inf if trial.state in NEVER_BEST else trial.loss) for trial in history]
    worst = max((loss for _, loss in ended if math.isfinite(loss)), default=0.0)
    return [(trial, min(loss, worst)) for trial, loss in ended if trial.steps or trial.state in NEVER_BEST]


SEARCHER = Cqr
