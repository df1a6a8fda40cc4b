"""The loss of a training run as a function of its learning-rate schedule: the Multi-Power Law.

Luo, Wen, Lyu, Xiong, Li, Sun, Xiao, Ma (2025), "A Multi-Power Law for Loss Curve Prediction Across Learning Rate Schedules", eq. 4:

    L(t) = L0 + A·S(t)^-alpha - B · sum_k (f_{k-1} - f_k) · (1 - (1 + C·f_k^-gamma·S_k(t))^-beta)

Here in scale-free units: ``f`` is the learning rate over a reference of the run, ``S`` its integral over progress (tokens over
horizon), ``S_k`` the integral since change k. The learning rate starts from 0, and what the warm-up raises it by is part of the
sum, so that B·f is what the present learning rate adds to the loss once its changes are forgotten.

Short runs need two things more. At first next to nothing is learned: the power of S is replaced by ``A·(1 + (S/s)^2)^(-alpha/2)``,
a power law beyond the onset s and level before it, so that L0 + A is about the loss of an untrained model. And on small corpora the
validation loss gains ``O · max(0, epochs - 1)^2``.

Shapes: K knots of a path, N points of a curve, P = 9 parameters, M sets of parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

NAMES = ("level", "amplitude", "alpha", "noise", "C", "beta", "gamma", "overfit", "onset")
"""L0, A, alpha, B, C, beta, gamma, O, s. All but the first are kept as natural logarithms."""

P = len(NAMES)

LOWEST_FACTOR = 1e-3
"""Learning rates below this share of the reference count as this one, where they would be divided by."""


@dataclass(frozen=True)
class Path:
    """A learning rate over progress: straight lines between knots. A jump is two knots at one progress.

    ``progress_K`` never falls and starts at 0; ``factor_K`` is the learning rate over the reference. ``epochs``: how often the
    training text is read in a full run; 0 if nobody knows.
    """

    progress_K: np.ndarray
    factor_K: np.ndarray
    epochs: float = 0.0

    @cached_property
    def integrals(self) -> np.ndarray:
        """S at each knot, (K,)."""
        steps = np.diff(self.progress_K) * (self.factor_K[1:] + self.factor_K[:-1]) / 2
        return np.concatenate([[0.0], np.cumsum(steps)])

    @cached_property
    def changes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where the learning rate changes: by how much it falls, what it is afterwards, and the integral there."""
        fall_K = -np.diff(self.factor_K, prepend=0.0)
        there = fall_K != 0.0
        return fall_K[there], np.maximum(self.factor_K[there], LOWEST_FACTOR), self.integrals[there]

    def integral(self, progress_N: np.ndarray) -> np.ndarray:
        """S at each progress. Between knots the learning rate is a line, so its integral is a parabola."""
        after_N = np.clip(np.searchsorted(self.progress_K, progress_N, side="right"), 1, len(self.progress_K) - 1)
        start_N, end_N = self.progress_K[after_N - 1], self.progress_K[after_N]
        width_N = np.where(end_N > start_N, end_N - start_N, 1.0)
        gone_N = np.clip(progress_N - start_N, 0.0, None)
        slope_N = (self.factor_K[after_N] - self.factor_K[after_N - 1]) / width_N
        return np.asarray(self.integrals[after_N - 1] + gone_N * (self.factor_K[after_N - 1] + 0.5 * slope_N * gone_N))

    def overread(self, progress_N: np.ndarray) -> np.ndarray:
        return np.asarray(np.maximum(self.epochs * progress_N - 1.0, 0.0) ** 2)


def losses(parameters_MP: np.ndarray, path: Path, progress_N: np.ndarray) -> np.ndarray:
    """(M, N) of the law."""
    level, amplitude, alpha, noise, c, beta, gamma, overfit, onset = _natural(parameters_MP)
    fall_K, factor_K, start_K = path.changes
    sum_N = np.maximum(path.integral(progress_N), 1e-9)
    since_NK = np.maximum(sum_N[:, None] - start_K, 0.0)
    reach_MNK = 1.0 + (c[:, None] * factor_K ** -gamma[:, None])[:, None, :] * since_NK
    gone_MN = (1.0 - reach_MNK ** -beta[:, None, None]) @ fall_K
    decayed_MN = amplitude[:, None] * (1.0 + (sum_N / onset[:, None]) ** 2) ** (-alpha[:, None] / 2)
    overfitted_MN = overfit[:, None] * path.overread(progress_N)
    return np.asarray(level[:, None] + decayed_MN - noise[:, None] * gone_MN + overfitted_MN)


def losses_and_slopes(parameters_P: np.ndarray, path: Path, progress_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) of the law and its derivatives (N, P) with respect to the parameters."""
    level, amplitude, alpha, noise, c, beta, gamma, overfit, onset = (float(value[0]) for value in _natural(parameters_P[None]))
    fall_K, factor_K, start_K = path.changes
    sum_N = np.maximum(path.integral(progress_N), 1e-9)
    far_NK = c * factor_K**-gamma * np.maximum(sum_N[:, None] - start_K, 0.0)
    left_NK = (1.0 + far_NK) ** -beta
    bend_NK = beta * left_NK * far_NK / (1.0 + far_NK)
    square_N = (sum_N / onset) ** 2
    decayed_N, gone_N = amplitude * (1.0 + square_N) ** (-alpha / 2), (1.0 - left_NK) @ fall_K
    overfitted_N = overfit * path.overread(progress_N)
    slopes = (
        np.ones_like(sum_N),
        decayed_N,
        -decayed_N * alpha / 2 * np.log1p(square_N),
        -noise * gone_N,
        -noise * (bend_NK @ fall_K),
        -noise * beta * ((left_NK * np.log1p(far_NK)) @ fall_K),
        noise * gamma * ((bend_NK * np.log(factor_K)) @ fall_K),
        overfitted_N,
        decayed_N * alpha * square_N / (1.0 + square_N),
    )
    return level + decayed_N - noise * gone_N + overfitted_N, np.stack(slopes, axis=1)


def _natural(parameters_MP: np.ndarray) -> tuple[np.ndarray, ...]:
    """The parameters as the law has them; logarithms are bounded so that no draw overflows."""
    return parameters_MP[:, 0], *np.exp(np.clip(parameters_MP[:, 1:], -16.0, 16.0)).T
