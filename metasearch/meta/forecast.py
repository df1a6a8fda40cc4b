"""From a partial curve and the learning rates that it followed to the loss under any future schedule, with its certainty.

Maximum a posteriori by Levenberg-Marquardt, then Laplace's approximation. Residuals are Student-t (4 degrees of freedom; Lange,
Little and Taylor, 1989), so that a single odd report does not bend the curve.

Shapes: N points of a curve, P parameters of the law, M draws, F futures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from metasearch.core.rng import derive
from metasearch.meta.loss_law import P, Path, losses, losses_and_slopes

MOST_POINTS = 32
"""A longer curve is thinned to so many points, evenly in log progress."""

DEGREES = 4.0
ITERATIONS = 25
SETTLED = 1e-5
DRAWS = 64


@dataclass(frozen=True)
class Gaussian:
    """A prior or a posterior of the law's parameters."""

    mean_P: np.ndarray
    covariance_PP: np.ndarray


@dataclass(frozen=True)
class Ends:
    """Losses at the end of a run under several futures, drawn with the same parameters for all: ``draws_MF``, ``means`` (F,)."""

    draws_MF: np.ndarray

    @property
    def means(self) -> np.ndarray:
        return np.asarray(self.draws_MF.mean(0))


def fit(prior: Gaussian, deviation: float, path: Path, progress_N: np.ndarray, loss_N: np.ndarray) -> Gaussian:
    """What is known of the law's parameters once a curve was seen. ``deviation``: of a report about its law. Losses are finite."""
    kept = thinned(progress_N)
    progress_N, loss_N = progress_N[kept], loss_N[kept]
    precision_PP = np.linalg.inv(prior.covariance_PP)
    at_P, damping = _started(prior.mean_P, path, progress_N, loss_N), 1e-2
    law_N, slopes_NP = losses_and_slopes(at_P, path, progress_N)
    cost = _cost(loss_N - law_N, deviation, at_P - prior.mean_P, precision_PP)
    for _ in range(ITERATIONS):
        residual_N = loss_N - law_N
        weight_N = _weights(residual_N, deviation)
        pull_P = (slopes_NP * weight_N[:, None]).T @ residual_N - precision_PP @ (at_P - prior.mean_P)
        bent_PP = (slopes_NP * weight_N[:, None]).T @ slopes_NP + precision_PP
        there_P = at_P + np.linalg.solve(bent_PP + damping * np.diag(np.diag(bent_PP)), pull_P)
        there_law_N, there_slopes_NP = losses_and_slopes(there_P, path, progress_N)
        there_cost = _cost(loss_N - there_law_N, deviation, there_P - prior.mean_P, precision_PP)
        if not there_cost < cost:
            damping *= 8.0
            if damping > 1e6:
                break
            continue
        gained, cost = cost - there_cost, there_cost
        at_P, law_N, slopes_NP, damping = there_P, there_law_N, there_slopes_NP, damping / 4.0
        if gained < SETTLED * (1.0 + cost):
            break
    # No point tells more than the expected information of a Student-t, however near to the law it happens to lie.
    weight_N = np.minimum(_weights(loss_N - law_N, deviation), (DEGREES + 1) / (DEGREES + 3) / deviation**2)
    return Gaussian(at_P, np.linalg.inv((slopes_NP * weight_N[:, None]).T @ slopes_NP + precision_PP))


def ends(known: Gaussian, futures: Sequence[Path], doubt: float = 1.0, at: float = 1.0) -> Ends:
    """The losses at progress ``at`` under each of ``futures``. ``doubt``: by how much they are drawn apart, about their mean.

    Not the parameters: most are logarithms, whose tails would make the mean.
    """
    root_PP = np.linalg.cholesky(known.covariance_PP + 1e-12 * np.eye(P))
    draws_MP = known.mean_P + _normals() @ root_PP.T
    draws_MF = np.concatenate([losses(draws_MP, path, np.array([at])) for path in futures], axis=1)
    mean_F = draws_MF.mean(0)
    return Ends(mean_F + doubt * (draws_MF - mean_F))


def thinned(progress_N: np.ndarray) -> np.ndarray:
    """Which points of a long curve are looked at."""
    if len(progress_N) <= MOST_POINTS:
        return np.arange(len(progress_N))
    wanted = np.geomspace(progress_N[0], progress_N[-1], MOST_POINTS)
    return np.unique(np.clip(np.searchsorted(progress_N, wanted * (1 - 1e-9)), 0, len(progress_N) - 1))


def _started(mean_P: np.ndarray, path: Path, progress_N: np.ndarray, loss_N: np.ndarray) -> np.ndarray:
    """The prior's mean, moved so that the law passes through the newest point."""
    start_P = mean_P.copy()
    start_P[0] += loss_N[-1] - losses_and_slopes(mean_P, path, progress_N[-1:])[0][0]
    return start_P


def _weights(residual_N: np.ndarray, deviation: float) -> np.ndarray:
    return np.asarray((DEGREES + 1) / (DEGREES * deviation**2 + residual_N**2))


def _cost(residual_N: np.ndarray, deviation: float, off_P: np.ndarray, precision_PP: np.ndarray) -> float:
    """Twice the negative log posterior, up to a constant."""
    unlikely = (DEGREES + 1) * np.log1p((residual_N / deviation) ** 2 / DEGREES).sum()
    return float(unlikely + off_P @ precision_PP @ off_P)


@cache
def _normals() -> np.ndarray:
    """(M, P) fixed draws, in pairs of opposite sign: the same for all trials, so that forecasts differ by what is known alone."""
    half = derive(0, "forecast draws").standard_normal((DRAWS // 2, P))
    return np.concatenate([half, -half])
