"""What the results of one sweep say of the kernel with which they are read: its length scales, signal and noise.

Type II maximum a posteriori (Rasmussen and Williams, 2006, equations 5.8 and 5.9) by L-BFGS, from the kernel that is assumed before
anything is known, whose values are the medians of the priors. Takes a few milliseconds.

Shapes: N results, P parameters that differ among them, D coordinates, H hyperparameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

from metasearch.meta.features import Layout
from metasearch.meta.surrogate import JITTER, PRACTICE_DEVIATION, Belief, Kernel, Places, response_features, squared_distances

FEWEST_RESULTS, MOST_RESULTS = 8, 64
STEPS = 12
WEIGHT_SPREAD = 0.8
VARIANCE_SPREADS = (1.0, 1.5, 1.0, 1.0)
"""Of the logs of signal, response, level and noise."""

FURTHEST = 3.0
"""Logs of hyperparameters move no further than so many standard deviations of their priors."""


@dataclass(frozen=True)
class Results:
    """Of one task that no other task tells of. ``doubt_N``: what practice holds against each config; ``usual_doubt``: the usual."""

    points_ND: np.ndarray
    doubt_N: np.ndarray
    z_N: np.ndarray
    variance_N: np.ndarray
    usual_doubt: float

    def ahead_by(self, kernel: Kernel, layout: Layout, points_ND: np.ndarray, doubt_N: np.ndarray) -> Belief:
        """How far other points are believed to be ahead of the best of these, by ``kernel``."""
        places = Places(kernel, layout, None, np.zeros(0), self.usual_doubt)
        places.add(np.concatenate([self.points_ND, points_ND]), np.concatenate([self.doubt_N, doubt_N]))
        seen, wanted = np.split(np.arange(len(places.mean)), [len(self.z_N)])
        return places.ahead(seen, self.z_N, self.variance_N, wanted)

    def tuned(self, kernel: Kernel, layout: Layout) -> Kernel:
        """``kernel`` with the hyperparameters that explain the results best; of many the best and some of the rest."""
        if len(self.z_N) < FEWEST_RESULTS:
            return kernel
        problem = _Problem(kernel, layout, self)
        bounds = [(-FURTHEST * spread, FURTHEST * spread) for spread in problem.spread_H]
        start = np.zeros(len(bounds))
        found = minimize(problem.loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
        return problem.kernel_at(found.x)

    def most_telling(self) -> np.ndarray:
        if len(self.z_N) <= MOST_RESULTS:
            return np.arange(len(self.z_N))
        best = np.argsort(-self.z_N, kind="stable")[: MOST_RESULTS // 2]
        return np.unique(np.concatenate([best, np.linspace(0, len(self.z_N) - 1, MOST_RESULTS // 2).astype(int)]))


class _Problem:
    """Unknowns are the logs of factors: of the weights of P parameters, then of signal, response, level and noise."""

    def __init__(self, kernel: Kernel, layout: Layout, results: Results) -> None:
        kept = results.most_telling()
        self.kernel, points_ND, doubt_N = kernel, results.points_ND[kept], results.doubt_N[kept]
        scaled, names = kernel.scaled(points_ND, layout), np.array([name for name, _ in layout.groups])
        self.names = sorted(set(names[np.ptp(points_ND, axis=0) > 0].tolist()))
        squares = [squared_distances(part, part) for part in (scaled[:, names == name] for name in self.names)]
        self.square_PNN = np.array(squares).reshape(len(squares), len(kept), len(kept))
        features = response_features(points_ND, layout)
        self.response_NN = (kernel.response + kernel.own_response) * (features @ features.T)
        self.fixed_NN = np.diag(results.variance_N[kept] + JITTER) + PRACTICE_DEVIATION**2 * np.outer(doubt_N, doubt_N)
        self.surprise_N = results.z_N[kept] - kernel.expected(doubt_N - results.usual_doubt, len(results.z_N))
        self.spread_H = np.array([WEIGHT_SPREAD] * len(self.names) + list(VARIANCE_SPREADS))

    def loss(self, log_H: np.ndarray) -> tuple[float, np.ndarray]:
        """The negative log posterior up to a constant, and its gradient."""
        count, kernel = len(self.names), self.kernel
        weight_P, (signal, response, level, noise) = np.exp(2.0 * log_H[:count]), np.exp(log_H[count:])
        far = np.sqrt(5.0 * np.tensordot(weight_P, self.square_PNN, axes=1))
        near = (kernel.shared + kernel.own) * signal * np.exp(-far)
        matern, steep = near * (1.0 + far + far**2 / 3.0), near * (1.0 + far)
        covariance = self.fixed_NN + matern + response * self.response_NN + level * kernel.level
        covariance[np.diag_indices_from(covariance)] += noise * kernel.noise
        root = cholesky(covariance, lower=True, check_finite=False)
        inverse = cho_solve((root, True), np.eye(len(root)), check_finite=False)
        explained = inverse @ self.surprise_N
        slope = 0.5 * (inverse - np.outer(explained, explained))
        gradient = [
            *(-5.0 / 3.0 * weight_P * np.tensordot(self.square_PNN, slope * steep, axes=2)),
            float((slope * matern).sum()),
            response * float((slope * self.response_NN).sum()),
            level * kernel.level * float(slope.sum()),
            noise * kernel.noise * float(np.trace(slope)),
        ]
        misfit = 0.5 * float(self.surprise_N @ explained) + float(np.log(np.diagonal(root)).sum())
        off = log_H / self.spread_H
        return misfit + 0.5 * float(off @ off), np.array(gradient) + off / self.spread_H

    def kernel_at(self, log_H: np.ndarray) -> Kernel:
        count, kernel = len(self.names), self.kernel
        by = dict(zip(self.names, np.exp(log_H[:count]).tolist(), strict=True))
        signal, response, level, noise = (math.exp(log) for log in log_H[count:])
        return replace(
            kernel,
            weights={name: weight * by.get(name, 1.0) for name, weight in kernel.weights.items()},
            option_weights={name: weight * by.get(name, 1.0) for name, weight in kernel.option_weights.items()},
            shared=kernel.shared * signal,
            own=kernel.own * signal,
            response=kernel.response * response,
            own_response=kernel.own_response * response,
            level=kernel.level * level,
            noise=kernel.noise * noise,
        )
