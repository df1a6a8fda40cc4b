"""A hierarchical multi-task Gaussian process over (task, config): what earlier tasks say about a config on this one.

The value of config x on task s is, in units in which 0 is an ordinary result of the task and 1 a very good one,

    z(s, x) = mean - practice · doubt(x) + shared(x) + near(d_s, x) + own_s(x) + level_s + noise

``shared`` is one function for all tasks, ``near`` varies with the task's descriptor d, ``own_s`` belongs to one task. Each is a
Matérn-5/2 process over the points of ``features.Layout`` with a distance weight for each parameter, plus a quadratic response, plus
a main effect of each parameter (after Duvenaud et al., 2011, equation 3, of order one): what one parameter does whatever the others
are. ``doubt`` is what practice knows before any result (``practice``).
All correlations between tasks are positive by construction (Swersky et al., 2013; Tighineanu et al., 2022, for the hierarchy).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import ndtr

from metasearch.meta.features import Layout

NEAR_RESPONSE = 0.2
"""Variance of the quadratic response within ``near``, as a share of its Matérn part."""

MAIN_WEIGHT = 1.5
"""One over the length scale of main effects."""

PRACTICE_DEVIATION, PRACTICE_HEARD = 0.3, 10
"""How uncertain the kernel's ``practice`` is on a task without history, and after so many trials it counts half."""

JITTER = 1e-8


@dataclass(frozen=True)
class Kernel:
    """Hyperparameters. ``weights`` and ``option_weights``: one over the length scale, by parameter. The rest are variances, but for
    ``near_reach`` (a distance between descriptors) and ``own_zoom`` (how much shorter the length scales of ``own`` are).

    ``usual_rate``, ``offsets`` and ``task_offsets``: where the best learning rate lies, and how far it moves with each other
    coordinate (by its label) and with each number of the task's descriptor. Learning rates are compared after that is taken away.

    ``practice``: what is expected of a config that practice doubts altogether, below one that it does not doubt.

    ``mains``: the variance of each parameter's main effect in ``shared``; ``own_main``: that in ``own``, as a share of it.
    None are learned where tasks are described: what changes with the description would pass for what all tasks share.
    """

    weights: Mapping[str, float]
    option_weights: Mapping[str, float]
    absent_weight: float = 0.7
    mean: float = 0.1
    shared: float = 0.1
    near: float = 0.0
    near_reach: float = 1.0
    own: float = 0.1
    own_zoom: float = 1.0
    response: float = 0.003
    own_response: float = 0.003
    level: float = 0.02
    noise: float = 0.003
    usual_rate: float = 0.0
    offsets: Mapping[str, float] = field(default_factory=dict)
    task_offsets: Sequence[float] = ()
    practice: float = 0.0
    mains: Mapping[str, float] = field(default_factory=dict)
    own_main: float = 0.0

    def normalised(self, points_ND: np.ndarray, layout: Layout, descriptor_NE: np.ndarray) -> np.ndarray:
        """Points whose learning rates are relative to what is usual for such a config on such a task."""
        offset_D = np.array([self.offsets.get(label, 0.0) for label in layout.labels])
        moved_N = self.usual_rate + points_ND @ offset_D
        if len(self.task_offsets):
            moved_N = moved_N + descriptor_NE @ np.array(self.task_offsets)
        return np.asarray(points_ND - moved_N[:, None] * layout.rates)

    def expected(self, doubt_N: np.ndarray, seen: int) -> np.ndarray:
        """Of configs that practice doubts so much more than usual, on a task without history of which so many trials were seen."""
        return np.asarray(self.mean - self.practice * PRACTICE_HEARD / (PRACTICE_HEARD + seen) * doubt_N)

    def main_effects(self, left_ND: np.ndarray, right_MD: np.ndarray, layout: Layout) -> np.ndarray:
        """Covariances of what the parameters do one by one, in ``shared``, between normalised points."""
        total_NM, names = np.zeros((len(left_ND), len(right_MD))), np.array([name for name, _ in layout.groups])
        for name, variance in self.mains.items():
            total_NM += variance * matern(left_ND[:, names == name], right_MD[:, names == name], MAIN_WEIGHT)
        return total_NM

    def scaled(self, points_ND: np.ndarray, layout: Layout) -> np.ndarray:
        """Points in which Euclidean distance is what the Matérn kernels measure."""
        return np.asarray(points_ND * np.array([self._width(name, kind) for name, kind in layout.groups]))

    def _width(self, name: str, kind: str) -> float:
        if kind == "absent":
            return self.absent_weight
        return self.weights.get(name, 1.0) if kind == "number" else self.option_weights.get(name, 1.0) / math.sqrt(2)

    def record(self) -> dict[str, object]:
        return asdict(self)


def squared_distances(left_ND: np.ndarray, right_MD: np.ndarray) -> np.ndarray:
    square_NM = np.asarray(-2.0 * left_ND @ right_MD.T)
    square_NM += (left_ND**2).sum(1)[:, None]
    square_NM += (right_MD**2).sum(1)
    return np.asarray(np.maximum(square_NM, 0.0, out=square_NM))


def matern(left_ND: np.ndarray, right_MD: np.ndarray, zoom: float = 1.0) -> np.ndarray:
    """Matérn-5/2 correlations between scaled points. Worked out in place: most of the time of a decision goes here."""
    far_NM = squared_distances(left_ND, right_MD)
    far_NM *= 5.0 * zoom * zoom
    np.sqrt(far_NM, out=far_NM)
    alike_NM = far_NM / 3.0
    alike_NM += 1.0
    alike_NM *= far_NM
    alike_NM += 1.0
    np.negative(far_NM, out=far_NM)
    alike_NM *= np.exp(far_NM, out=far_NM)
    return np.asarray(alike_NM)


def response_features(points_ND: np.ndarray, layout: Layout) -> np.ndarray:
    """Features of the quadratic response: u and u² of every number, every option, every absence."""
    number_D = np.array([kind == "number" for _, kind in layout.groups], dtype=bool)
    u_NH = points_ND[:, number_D]
    return np.concatenate([u_NH, np.minimum(u_NH**2, 2.0), points_ND[:, ~number_D]], axis=1)


@dataclass(frozen=True)
class Rows:
    """Results of past tasks. ``task_N``: index of each row's task in ``descriptor_TE``, whose columns are standardised.
    ``doubt_N``: what practice holds against each config.
    """

    points_ND: np.ndarray
    z_N: np.ndarray
    variance_N: np.ndarray
    task_N: np.ndarray
    descriptor_TE: np.ndarray
    doubt_N: np.ndarray


@dataclass(frozen=True)
class Belief:
    """Mean and standard deviation of z at every place."""

    mean: np.ndarray
    deviation: np.ndarray

    def expected_improvement(self, best: float, cost: np.ndarray, deviations: float = 1.0) -> np.ndarray:
        """Over ``best`` and per ``cost`` (Močkus, 1975; Jones et al., 1998, equation 15); if there is none anywhere, what is least
        improbable at any cost. ``deviations``: what they are multiplied with.
        """
        deviation = deviations * self.deviation
        gain = (self.mean - best - 1e-3) / deviation
        improvement = deviation * (gain * ndtr(gain) + np.exp(-0.5 * gain**2) / math.sqrt(2 * math.pi))
        rounded = np.round(improvement / cost, 12)
        return np.asarray(rounded if rounded.max() > 0 else gain)


class Surrogate(Protocol):
    """Points of one target task, and what is believed of the results there. Points are named by the order in which they were added.

    ``noise``: the variance of a result about what is believed of its place, where a belief does not hold that already.
    """

    @property
    def noise(self) -> float: ...

    def add(self, points_ND: np.ndarray, doubt_N: np.ndarray) -> None:
        """Adds points at the end, as the layout of the task has them, and what practice holds against them."""
        ...

    def keep(self, kept: np.ndarray) -> None:
        """Forgets all points but those at the places ``kept``, which are then named in that order."""
        ...

    def believe(self, seen: np.ndarray, z: np.ndarray, variance: np.ndarray, wanted: np.ndarray) -> Belief:
        """The belief at the places ``wanted`` after observations ``z`` with ``variance`` at the places ``seen``."""
        ...

    def ahead(self, seen: np.ndarray, z: np.ndarray, variance: np.ndarray, wanted: np.ndarray) -> Belief:
        """The belief on how far the places ``wanted`` are ahead of the best of ``seen``, which is what ends highest in the mean
        after the same observations. That is not known for sure either, but what is near it shares its errors: a copy is not ahead
        (Zhou et al., 2023, "A corrected expected improvement acquisition function under noisy observations").
        """
        ...

    def log_evidence(self, seen: np.ndarray, z_GN: np.ndarray, variance_GN: np.ndarray) -> np.ndarray:
        """Log marginal likelihood of several readings of the same observations, up to a constant."""
        ...


@dataclass(frozen=True)
class _Views:
    """Normalised points, and the same as the Matérn kernels and as the quadratic response take them."""

    points: np.ndarray
    scaled: np.ndarray
    features: np.ndarray

    @staticmethod
    def of(points_ND: np.ndarray, kernel: Kernel, layout: Layout) -> _Views:
        return _Views(points_ND, kernel.scaled(points_ND, layout), response_features(points_ND, layout))

    def with_more(self, other: _Views) -> _Views:
        return _Views(
            np.concatenate([self.points, other.points]),
            np.concatenate([self.scaled, other.scaled]),
            np.concatenate([self.features, other.features]),
        )

    def at(self, places: np.ndarray) -> _Views:
        return _Views(self.points[places], self.scaled[places], self.features[places])


class Places:
    """Points as one kernel sees them, for a target task: prior mean and covariance of z, given what past tasks showed.

    Grows: points are added at the end, and those that are kept never change. Covariances are worked out with those points only
    that something was seen at. With ``rows`` None nothing is known of other tasks: then it is uncertain how far practice is right,
    and it is heard the less, the more was seen (after Hvarfner et al., 2022, whose prior fades with the number of trials).
    ``usual_doubt``: where the kernel's mean is expected.
    """

    def __init__(
        self, kernel: Kernel, layout: Layout, rows: Rows | None, descriptor_E: np.ndarray, usual_doubt: float = 0.0
    ) -> None:
        self.kernel, self.layout, self.descriptor_E, self.usual_doubt = kernel, layout, descriptor_E, usual_doubt
        self.past = None if rows is None else _Past(kernel, layout, rows, descriptor_E)
        self._views = _Views.of(np.zeros((0, len(layout.groups))), kernel, layout)
        self._known = np.zeros((len(rows.z_N) if rows is not None else 0, 0))
        self.mean, self.doubt, self.variance = np.zeros(0), np.zeros(0), np.zeros(0)
        self._row_N, self._covariance_RN = np.zeros(0, dtype=int), np.zeros((0, 0))

    def add(self, points_ND: np.ndarray, doubt_N: np.ndarray) -> None:
        new, before = self._read(points_ND), len(self.mean)
        mean, variance, known = self._beforehand(new, doubt_N)
        self._views, self.doubt = self._views.with_more(new), np.concatenate([self.doubt, doubt_N])
        self.mean, self.variance = np.concatenate([self.mean, mean]), np.concatenate([self.variance, variance])
        self._known = np.concatenate([self._known, known], axis=1)
        with_rows = np.argsort(self._row_N, kind="stable")[before - len(self._covariance_RN) :]
        columns = self._between(with_rows, np.arange(before, len(self.mean)))
        self._covariance_RN = np.concatenate([self._covariance_RN, columns], axis=1)
        self._row_N = np.concatenate([self._row_N, np.full(len(points_ND), -1)])

    def keep(self, kept: np.ndarray) -> None:
        self._views, self._known, self.doubt = self._views.at(kept), self._known[:, kept], self.doubt[kept]
        self.mean, self.variance = self.mean[kept], self.variance[kept]
        row_N = self._row_N[kept]
        self._covariance_RN = self._covariance_RN[np.ix_(row_N[row_N >= 0], kept)]
        self._row_N = np.where(row_N >= 0, np.cumsum(row_N >= 0) - 1, -1)

    def _covariances(self, seen: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Between the places ``seen``, with which covariances are kept from now on, and ``wanted``."""
        without = np.unique(seen[self._row_N[seen] < 0])
        if len(without):
            self._row_N[without] = len(self._covariance_RN) + np.arange(len(without))
            rows = self._between(without, np.arange(len(self.mean)))
            self._covariance_RN = np.concatenate([self._covariance_RN, rows])
        return np.asarray(self._covariance_RN[np.ix_(self._row_N[seen], wanted)])

    def _between(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        kernel, here, there = self.kernel, self._views.at(left), self._views.at(right)
        base, response = matern(here.scaled, there.scaled), here.features @ there.features.T
        own = base if kernel.own_zoom == 1.0 else matern(here.scaled, there.scaled, kernel.own_zoom)
        mains = self._main * kernel.main_effects(here.points, there.points, self.layout)
        prior = (kernel.shared + self._near) * base + self._linear * response + kernel.own * own + kernel.level + mains
        if self.past is None:
            return np.asarray(prior + PRACTICE_DEVIATION**2 * np.outer(self.doubt[left], self.doubt[right]))
        return np.asarray(prior - self._known[:, left].T @ self._known[:, right])

    def _beforehand(self, new: _Views, doubt_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and variance before anything is observed here, and covariances with the whitened past results."""
        mean = self.kernel.mean - self.kernel.practice * (doubt_N - self.usual_doubt)
        variance = self._variance(new.features, doubt_N)
        if self.past is None:
            return mean, variance, np.zeros((0, len(doubt_N)))
        known = self.past.seen_from(new)
        return mean + known.T @ self.past.surprise, variance - (known**2).sum(0), known

    def foreseen(self, points_ND: np.ndarray, doubt_N: np.ndarray) -> Belief:
        """What is believed of points that are not added, before anything is observed here."""
        mean, variance, _ = self._beforehand(self._read(points_ND), doubt_N)
        return Belief(mean, np.sqrt(np.maximum(variance, JITTER)))

    def _read(self, points_ND: np.ndarray) -> _Views:
        descriptor_NE = np.tile(self.descriptor_E, (len(points_ND), 1))
        return _Views.of(self.kernel.normalised(points_ND, self.layout, descriptor_NE), self.kernel, self.layout)

    def _variance(self, features: np.ndarray, doubt_N: np.ndarray) -> np.ndarray:
        """Before anything is observed, on this or any task."""
        kernel = self.kernel
        doubted = 0.0 if self.past is not None else (PRACTICE_DEVIATION * doubt_N) ** 2
        alike = kernel.shared + self._near + kernel.own + kernel.level + self._main * sum(kernel.mains.values())
        return np.asarray(alike + self._linear * (features**2).sum(1) + doubted)

    @property
    def _near(self) -> float:
        return self.kernel.near if self.past is not None else 0.0

    @property
    def _linear(self) -> float:
        """Variance of the quadratic response on one task, by feature."""
        return self.kernel.response + self.kernel.own_response + self._near * NEAR_RESPONSE

    @property
    def _main(self) -> float:
        """Variance of main effects on one task, over that in ``shared``."""
        return 1.0 + self.kernel.own_main

    @property
    def noise(self) -> float:
        return self.kernel.noise

    def believe(self, seen: np.ndarray, z: np.ndarray, variance: np.ndarray, wanted: np.ndarray) -> Belief:
        prior, mean = self.variance[wanted], self._expected(len(seen))
        if not len(seen):
            return Belief(mean[wanted], np.sqrt(np.maximum(prior, JITTER)))
        known, across = self._covariances(seen, seen), self._covariances(seen, wanted)
        return _conditioned(known + np.diag(variance + self.noise), across, z - mean[seen], mean[wanted], prior)

    def ahead(self, seen: np.ndarray, z: np.ndarray, variance: np.ndarray, wanted: np.ndarray) -> Belief:
        mean, best = self._expected(len(seen)), seen[[int(np.argmax(self.believe(seen, z, variance, seen).mean))]]
        known = self._covariances(seen, seen) + np.diag(variance + self.noise)
        across = self._covariances(seen, wanted) - self._covariances(seen, best)
        apart = self.variance[wanted] + self.variance[best] - 2.0 * self._covariances(best, wanted)[0]
        return _conditioned(known, across, z - mean[seen], mean[wanted] - mean[best], apart)

    def log_evidence(self, seen: np.ndarray, z_GN: np.ndarray, variance_GN: np.ndarray) -> np.ndarray:
        covariance = self._covariances(seen, seen)[None] + _diagonals(variance_GN + self.noise)
        factor = np.linalg.cholesky(covariance)
        surprise = np.linalg.solve(factor, (z_GN - self._expected(len(seen))[seen])[:, :, None])[:, :, 0]
        return np.asarray(-0.5 * (surprise**2).sum(1) - np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1))

    def _expected(self, seen: int) -> np.ndarray:
        """The prior mean at every place once so many were ``seen``."""
        if self.past is not None:
            return self.mean
        return self.kernel.expected(self.doubt - self.usual_doubt, seen)


class _Past:
    """The past rows under one kernel, factored once."""

    def __init__(self, kernel: Kernel, layout: Layout, rows: Rows, descriptor_E: np.ndarray) -> None:
        self.kernel, self.layout = kernel, layout
        descriptor_NE = rows.descriptor_TE[rows.task_N]
        self.rows = past = _Views.of(kernel.normalised(rows.points_ND, layout, descriptor_NE), kernel, layout)
        self.nearness_N = _nearness(descriptor_NE, descriptor_E[None], kernel)[:, 0]
        base, response = matern(past.scaled, past.scaled), past.features @ past.features.T
        mains = kernel.main_effects(past.points, past.points, layout)
        same = rows.task_N[:, None] == rows.task_N[None]
        own = kernel.own * matern(past.scaled, past.scaled, kernel.own_zoom) + kernel.own_response * response + kernel.level
        covariance = kernel.shared * base + kernel.response * response + mains + same * (own + kernel.own_main * mains)
        if kernel.near:
            nearness_NN = _nearness(descriptor_NE, descriptor_NE, kernel)
            covariance = covariance + kernel.near * nearness_NN * (base + NEAR_RESPONSE * response)
        self.factor = cholesky(covariance + np.diag(rows.variance_N + kernel.noise + JITTER), lower=True)
        self.surprise = solve_triangular(self.factor, rows.z_N - kernel.mean + kernel.practice * rows.doubt_N, lower=True)

    def seen_from(self, there: _Views) -> np.ndarray:
        base, response = matern(self.rows.scaled, there.scaled), self.rows.features @ there.features.T
        mains = self.kernel.main_effects(self.rows.points, there.points, self.layout)
        cross = self.kernel.shared * base + self.kernel.response * response + mains
        if self.kernel.near:
            cross = cross + self.kernel.near * self.nearness_N[:, None] * (base + NEAR_RESPONSE * response)
        return np.asarray(solve_triangular(self.factor, cross, lower=True))


def _conditioned(
    covariance: np.ndarray, across: np.ndarray, surprise: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> Belief:
    """A Gaussian with ``mean`` and ``variance`` once others, with noise in their ``covariance``, were off by ``surprise``."""
    factor = cholesky(covariance, lower=True)
    gain = solve_triangular(factor, across, lower=True)
    left = np.maximum(variance - (gain**2).sum(0), JITTER)
    return Belief(mean + gain.T @ solve_triangular(factor, surprise, lower=True), np.sqrt(left))


def _nearness(left_NE: np.ndarray, right_ME: np.ndarray, kernel: Kernel) -> np.ndarray:
    square = ((left_NE[:, None] - right_ME[None]) ** 2).sum(-1)
    return np.asarray(np.exp(-0.5 * square / kernel.near_reach**2))


def _diagonals(values_GN: np.ndarray) -> np.ndarray:
    groups, size = values_GN.shape
    made = np.zeros((groups, size, size))
    made[:, np.arange(size), np.arange(size)] = values_GN
    return made
