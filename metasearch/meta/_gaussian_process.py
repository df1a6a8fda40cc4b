"""Gaussian process regression (Rasmussen and Williams, 2006, algorithm 2.1) with a Matérn-5/2 kernel, for a few hundred points.

Shapes: N points, M points asked for, P columns, G parameters, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from metasearch.meta._coordinates import squared_distances

_LENGTHS = (0.3, 1.0, 3.0)
"""Length scales that are tried, in units of the median distance between two points."""

_NOISES = (1e-3, 1e-2, 1e-1)
"""Variances of the noise that are tried, as shares of the signal's."""

_LESS = 4.0
"""A parameter's length scale grows by this factor if that makes the values more likely."""


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """A posterior with mean 0 far from all points; ``signal`` is the variance there. ``lengths``: one scale for each column.

    ``factor``: of the points' correlations, after Cholesky; ``weights``: of the points in the mean.
    """

    points: np.ndarray
    values: np.ndarray
    lengths: np.ndarray
    signal: float
    factor: np.ndarray
    weights: np.ndarray

    @staticmethod
    def fit(point_NP: np.ndarray, value_N: np.ndarray, owner_P: np.ndarray) -> GaussianProcess:
        """Values should have mean 0 and standard deviation 1. The columns of one parameter share a length scale.

        One scale for all and the noise come from a grid, by the marginal likelihood; then each parameter's is raised if that helps.
        """
        groups = int(owner_P.max()) + 1 if owner_P.size else 0
        square_GNN = np.stack([_squares(point_NP, point_NP, owner_P == group) for group in range(groups)] or [_none(point_NP)])
        length_G = np.full(len(square_GNN), _median_distance(square_GNN.sum(axis=0)))
        grid = [(factor, noise) for factor in _LENGTHS for noise in _NOISES]
        best, factor, noise = max(
            (_evidence(square_GNN, length_G * factor, noise, value_N), factor, noise) for factor, noise in grid
        )
        length_G = length_G * factor
        for group in range(groups):
            longer_G = np.where(np.arange(groups) == group, _LESS, 1.0) * length_G
            evidence = _evidence(square_GNN, longer_G, noise, value_N)
            if evidence > best:
                best, length_G = evidence, longer_G
        factor_NN, weight_N, signal = _solved(square_GNN, length_G, noise, value_N)
        length_P = length_G[owner_P] if groups else np.ones(point_NP.shape[1])
        return GaussianProcess(point_NP, value_N, length_P, signal, factor_NN, weight_N)

    def predict(self, point_MP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance at each point, without noise."""
        cross_NM = self._kernel(self.points, point_MP)
        solved_NM = solve_triangular(self.factor, cross_NM, lower=True, check_finite=False)
        variance_M = self.signal * np.maximum(1.0 - (solved_NM**2).sum(axis=0), 1e-9)
        return cross_NM.T @ self.weights, variance_M

    def sample(self, point_MP: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
        """Functions drawn from the posterior, at the points: S × M."""
        cross_NM = self._kernel(self.points, point_MP)
        solved_NM = solve_triangular(self.factor, cross_NM, lower=True, check_finite=False)
        covariance_MM = self._kernel(point_MP, point_MP) - solved_NM.T @ solved_NM
        root_MM = np.linalg.cholesky(covariance_MM + 1e-6 * np.eye(len(point_MP)))
        normal_SM = rng.standard_normal((samples, len(point_MP)))
        return np.asarray(cross_NM.T @ self.weights + np.sqrt(self.signal) * normal_SM @ root_MM.T)

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance at each of its points if that one were unknown (Rasmussen and Williams, equations 5.12)."""
        inverse_N = np.diag(cho_solve((self.factor, True), np.eye(len(self.values)), check_finite=False))
        return self.values - self.weights / inverse_N, self.signal / inverse_N

    def _kernel(self, one_AP: np.ndarray, other_BP: np.ndarray) -> np.ndarray:
        return _matern(squared_distances(one_AP / self.lengths, other_BP / self.lengths))


def _matern(square: np.ndarray) -> np.ndarray:
    """Matérn's kernel with ν = 5/2 of squared distances in length scales."""
    distance = np.sqrt(5.0 * square)
    return np.asarray((1.0 + distance + distance**2 / 3.0) * np.exp(-distance))


def _evidence(square_GNN: np.ndarray, length_G: np.ndarray, noise: float, value_N: np.ndarray) -> float:
    """The logarithm of the marginal likelihood, up to a constant, with the best variance of the signal."""
    factor_NN, _, signal = _solved(square_GNN, length_G, noise, value_N)
    return -0.5 * len(value_N) * float(np.log(signal)) - float(np.log(np.diag(factor_NN)).sum())


def _solved(
    square_GNN: np.ndarray, length_G: np.ndarray, noise: float, value_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """The Cholesky factor of the correlations, the weights of the points, and the likeliest variance of the signal."""
    correlation_NN = _matern(np.tensordot(length_G**-2.0, square_GNN, axes=1))
    factor_NN = np.linalg.cholesky(correlation_NN + noise * np.eye(len(value_N)))
    weight_N = cho_solve((factor_NN, True), value_N, check_finite=False)
    return factor_NN, weight_N, max(float(value_N @ weight_N) / len(value_N), 1e-6)


def _squares(one_AP: np.ndarray, other_BP: np.ndarray, columns_P: np.ndarray) -> np.ndarray:
    return squared_distances(one_AP[:, columns_P], other_BP[:, columns_P])


def _none(point_NP: np.ndarray) -> np.ndarray:
    return np.zeros((len(point_NP), len(point_NP)))


def _median_distance(square_NN: np.ndarray) -> float:
    apart = square_NN[square_NN > 1e-12]
    return float(np.sqrt(np.median(apart))) if apart.size else 1.0
