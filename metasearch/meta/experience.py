"""What a change of the learning rates ahead is worth, by experience: a Gaussian process over earlier changes.

What lies ahead of a trial, x (its highest learning rate, how flat it stays, whether the weights begin anew), is worth h(x, f) to
one whose trace has the features f; a change gains h(after, f) - h(before, f). Only such differences are seen, and only they are
foretold, so that no change gains nothing for certain and far from all experience nothing is certain. Learning rates are logarithms
relative to the one that is usual: their scale carries over between optimizers and models, the zero is learned for each pair.

Shapes: N rows, M changes asked for, F features, C coordinates of what lies ahead, S = 2 (without a change and with it).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy.linalg import cho_solve, solve_triangular
from scipy.stats import norm

from metasearch.core.archive import Archive
from metasearch.meta._twins import AHEAD, FEATURES, USUAL_LENGTH, Kind, Row, rows_of, usual_rates

SHIPPED = Path(__file__).with_name("optimizer.safetensors")
"""Learned on built-in texts alone, with its card in the metadata; docs/meta-optimizer.md has the command."""

PER_WIDTH, PER_LENGTH = -0.5, -0.1
MOST_ROWS = 2200
BELIEF = 3.0
"""What was shipped of a usual learning rate counts as much as so many good runs."""

FARTHEST = 6.0
EARLY, LENGTHS = 0.05, 9
"""Progress at which the best learning rate is asked for, and of how many lengths of training."""

LATE = 0.25
"""Progress beyond which nothing counts but what changes beyond it were worth, by scales of their own: early ones are worth more,
and other things decide.
"""

VAGUE, NOTHING = 0.25, 0.75
"""Where experience leaves more of the variance that is there without any, the law is asked too; where it leaves yet more, it tells
nothing.
"""

MOST_CERTAIN = 6
"""Of how many changes, the most promising ones, certainty is asked."""

SHORTER, LONGER = 1 / 4, 16.0
"""Nor of trainings that are so many times shorter or longer than all of which it was gathered."""

Array = Any
"""Of numpy or torch, as ``xp`` says."""

PROGRESS, HIGHEST, LENGTH = (FEATURES.index(name) for name in ("log_progress", "highest", "log_horizon"))


@dataclass(frozen=True)
class Scales:
    """Hyperparameters. ``reaches``: length scales of what lies ahead. ``feature_reaches``: of the standardised features.
    ``signal``: deviation of h; ``common``: the share of its variance that trainings of all lengths have in common. ``noise``: of a
    gain, and ``share`` of the gain itself on top. ``doubt``: factor on deviations, so that they hold on tasks that were left out.
    ``center``, ``width``: of the features.
    """

    reaches: tuple[float, ...] = (3.0, 2.0, 2.0)
    feature_reaches: tuple[float, ...] = (2.0,) * len(FEATURES)
    signal: float = 0.3
    common: float = 0.0
    noise: float = 0.01
    share: float = 0.2
    doubt: float = 1.0
    center: tuple[float, ...] = (0.0,) * len(FEATURES)
    width: tuple[float, ...] = (1.0,) * len(FEATURES)

    def standard(self, features_MF: np.ndarray) -> np.ndarray:
        """NaN becomes the mean."""
        return np.asarray(np.nan_to_num((features_MF - np.array(self.center)) / np.array(self.width)))

    def pack(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @staticmethod
    def unpack(plain: Mapping[str, Any]) -> Scales:
        """Raises ValueError if they are of other features."""
        listed: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in plain.items()}
        scales = Scales(**listed)
        if len(scales.feature_reaches) != len(FEATURES):
            raise ValueError(f"expected {len(FEATURES)} features, found {len(scales.feature_reaches)}")
        return scales


@dataclass(frozen=True, eq=False)
class Told:
    """Mean and deviation of the gain of each change, (M,) each; sure of the most promising alone. ``vague``: this is from afar."""

    mean_M: np.ndarray
    deviation_M: np.ndarray
    vague: bool

    def certainty(self, enough: float) -> np.ndarray:
        """The probability that a gain is more than ``enough``, (M,)."""
        return np.asarray(norm.cdf((self.mean_M - enough) / self.deviation_M))


@dataclass(frozen=True, eq=False)
class Experience:
    """Rows as arrays, learning rates in them relative to the usual one. ``usual``: its log by kind, of ``USUAL_WIDTH`` and
    ``USUAL_LENGTH``; ``per_width``, ``per_length``: how that changes with the logs of the width and the horizon.
    ``late_scales``: those of what is beyond ``LATE``; without them all changes count at any time.
    """

    change_NSC: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, len(AHEAD))))
    features_NF: np.ndarray = field(default_factory=lambda: np.zeros((0, len(FEATURES))))
    gain_N: np.ndarray = field(default_factory=lambda: np.zeros(0))
    variance_N: np.ndarray = field(default_factory=lambda: np.zeros(0))
    usual: Mapping[str, float] = field(default_factory=dict)
    per_width: float = PER_WIDTH
    per_length: float = PER_LENGTH
    scales: Scales = field(default_factory=Scales)
    late_scales: Scales | None = None

    def usual_of(self, kind: Kind) -> float:
        """The log of the learning rate relative to which those of this kind are counted."""
        return self.usual[kind.name] + self.shift_of(kind)

    def best_of(self, kind: Kind) -> float:
        """The log of the learning rate that is best early in a training of this kind with a level schedule. It is near the usual
        one, but a training's length may do more or less to it than to how learning rates are counted.
        """
        return self.usual[kind.name] + self._best_shift_of(kind)

    def shift_of(self, kind: Kind) -> float:
        return self.per_width * kind.log_width + self.per_length * kind.log_length

    def _best_shift_of(self, kind: Kind) -> float:
        """Of trainings that are longer than all known ones nothing is told but what holds for the longest of these."""
        if not len(self.gain_N):
            return self.shift_of(kind)
        return self.per_width * kind.log_width + float(np.interp(kind.log_length, *self._best_by_length))

    @cached_property
    def _best_by_length(self) -> tuple[np.ndarray, np.ndarray]:
        known_N = self.features_NF[:, LENGTH]
        horizons = np.linspace(known_N.min(), known_N.max(), LENGTHS)
        lengths, over = horizons - math.log(USUAL_LENGTH), [self.early_best(float(horizon)) for horizon in horizons]
        return lengths, self.per_length * lengths + np.array(over)

    def early_best(self, log_horizon: float) -> float:
        """The log of the best learning rate early in a run of that length with a level schedule, over the usual one."""
        rate_M = np.linspace(-3.0, 3.0, 61)
        features_F = np.array(self.scales.center)
        features_F[:1], features_F[HIGHEST], features_F[LENGTH] = math.log(EARLY), 0.0, log_horizon
        change_MSC = np.zeros((len(rate_M), 2, len(AHEAD)))
        change_MSC[:, 1, 0] = rate_M
        return float(rate_M[int(np.argmax(self.gains(change_MSC, features_F[None], most=0)[0]))])

    def foretold(self, kind: Kind, before_C: np.ndarray, after_MC: np.ndarray, trace_T: np.ndarray) -> Told | None:
        """What each change gains; learning rates as they are. None if experience is too far away: of other kinds of trials, or of
        much shorter or longer ones.
        """
        if kind.name not in self.usual or not self._reaches(trace_T[LENGTH]):
            return None
        change_MSC = np.stack([np.tile(before_C, (len(after_MC), 1)), after_MC], axis=1)
        changes = relative(change_MSC, kind.tell(trace_T)[None], np.array([self.usual_of(kind)]))
        mean_M, deviation_M, left_M = self._at(trace_T[PROGRESS]).gains(*changes, most=MOST_CERTAIN)
        left = float(np.nanmean(left_M))
        return Told(mean_M, deviation_M, left > VAGUE) if left < NOTHING else None

    def _at(self, log_progress: float) -> Experience:
        return self if self.late_scales is None or log_progress <= math.log(LATE) else self.late

    @cached_property
    def late(self) -> Experience:
        """What changes beyond ``LATE`` teach alone."""
        beyond = self.only(np.flatnonzero(self.features_NF[:, PROGRESS] > math.log(LATE)))
        return replace(beyond, scales=self.late_scales or self.scales, late_scales=None)

    def _reaches(self, log_horizon: float) -> bool:
        known_N = self.features_NF[:, LENGTH]
        return bool(len(known_N)) and bool(known_N.min() + math.log(SHORTER) <= log_horizon <= known_N.max() + math.log(LONGER))

    def gains(
        self, change_MSC: np.ndarray, features_MF: np.ndarray, most: int = sys.maxsize
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and deviation, learning rates relative to the usual one; and the share of the variance that experience left, which
        takes the longest: it is worked out for the ``most`` changes of the highest mean, and NaN for the others, whose deviations
        are those without experience. Features may be one row for all changes.
        """
        at_MF = self.scales.standard(features_MF)
        own_M = np.maximum(covariance(self.scales, change_MSC, at_MF, change_MSC, at_MF).diagonal(), 1e-12)
        cross_NM = covariance(self.scales, self.change_NSC, self._standard, change_MSC, at_MF)
        factor_NN, weight_N = self._solved
        mean_M, left_M = cross_NM.T @ weight_N, np.full(len(own_M), math.nan)
        best = np.argsort(-mean_M, kind="stable")[:most]
        known_NM = solve_triangular(factor_NN, cross_NM[:, best], lower=True, check_finite=False)
        left_M[best] = np.maximum(own_M[best] - (known_NM**2).sum(0), 1e-12) / own_M[best]
        return mean_M, self.scales.doubt * np.sqrt(own_M * np.nan_to_num(left_M, nan=1.0)), left_M

    def with_archive(self, archive: Archive) -> Experience:
        """This and what an archive teaches; of more rows than ``MOST_ROWS`` the newest half and an even choice of the others."""
        rows, usual = rows_of(archive), dict(self.usual)
        for name, (rate, runs) in usual_rates(archive, self._best_shift_of).items():
            if name in usual or name in {row.kind.name for row in rows}:
                usual[name] = (BELIEF * usual.get(name, rate) + runs * rate) / (BELIEF + runs)
        return replace(self, usual=usual).with_rows(rows) if rows else replace(self, usual=usual)

    def with_rows(self, rows: Sequence[Row]) -> Experience:
        own = [row for row in rows if row.kind.name in self.usual]
        change_NSC, features_NF = relative(
            np.array([[row.before_C, row.after_C] for row in own]).reshape(-1, 2, len(AHEAD)),
            np.array([row.features_F for row in own]).reshape(-1, len(FEATURES)),
            np.array([self.usual_of(row.kind) for row in own]),
        )
        both = replace(
            self,
            change_NSC=np.concatenate([self.change_NSC, change_NSC]),
            features_NF=np.concatenate([self.features_NF, features_NF]),
            gain_N=np.concatenate([self.gain_N, [row.gain for row in own]]),
            variance_N=np.concatenate([self.variance_N, [row.variance for row in own]]),
        )
        return both.only(_chosen(len(both.gain_N)))

    def only(self, kept: np.ndarray) -> Experience:
        return replace(
            self,
            change_NSC=self.change_NSC[kept],
            features_NF=self.features_NF[kept],
            gain_N=self.gain_N[kept],
            variance_N=self.variance_N[kept],
        )

    def left_out(self, task_N: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """What was foretold of each row by the rows of other tasks, and by how many deviations that was off, (N,) each."""
        inverse_NN = np.linalg.inv(self.noisy)
        weight_N, names = inverse_NN @ self.gain_N, np.array(task_N)
        mean_N, off_N = np.zeros(len(names)), np.zeros(len(names))
        for name in sorted(set(task_N)):
            own = np.flatnonzero(names == name)
            block = np.linalg.inv(inverse_NN[np.ix_(own, own)])
            missed = block @ weight_N[own]
            mean_N[own], off_N[own] = self.gain_N[own] - missed, missed / np.sqrt(block.diagonal())
        return mean_N, off_N

    @cached_property
    def _standard(self) -> np.ndarray:
        return self.scales.standard(self.features_NF)

    @cached_property
    def noisy(self) -> np.ndarray:
        known_NN = covariance(self.scales, self.change_NSC, self._standard, self.change_NSC, self._standard)
        noise_N = self.scales.noise**2 + (self.scales.share * self.gain_N) ** 2 + self.variance_N
        return np.asarray(known_NN + np.diag(noise_N))

    @cached_property
    def _solved(self) -> tuple[np.ndarray, np.ndarray]:
        factor_NN = np.linalg.cholesky(self.noisy)
        return factor_NN, cho_solve((factor_NN, True), self.gain_N)

    def pack(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays = {name: value for name, value in vars(self).items() if name in _ARRAYS}
        scales = {"scales": self.scales.pack(), "late_scales": None if self.late_scales is None else self.late_scales.pack()}
        return arrays, {"usual": dict(self.usual), "per_width": self.per_width, "per_length": self.per_length, **scales}

    @staticmethod
    def unpack(arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> Experience:
        known: dict[str, Any] = {name: arrays[name] for name in _ARRAYS}
        known |= {name: plain[name] for name in ("usual", "per_width", "per_length")}
        late = plain.get("late_scales")
        return Experience(**known, scales=Scales.unpack(plain["scales"]), late_scales=late and Scales.unpack(late))


_ARRAYS = ("change_NSC", "features_NF", "gain_N", "variance_N")


@cache
def shipped() -> Experience:
    """What comes with metasearch; nothing if the file is not there."""
    if not SHIPPED.exists():
        return Experience()
    with safe_open(SHIPPED, "numpy") as file:
        plain = json.loads(file.metadata()["plain"])
    return Experience.unpack(load_file(SHIPPED), plain)


def write(path: Path, experience: Experience, archive: Archive, python: str) -> dict[str, Any]:
    """Keeps what was learned from ``archive`` under Python ``python``, with its card, which is the answer."""
    arrays, plain = experience.pack()
    names = sorted({task.name for task in archive})
    card = {
        "learned_from": {name: sum(len(task.trials) for task in archive if task.name == name) for name in names},
        "rows": len(experience.gain_N),
        "python": python,
        "usual_lr": {name: float(f"{math.exp(rate):.2g}") for name, rate in experience.usual.items()},
        "doubt": experience.scales.doubt,
    }
    texts = {"plain": json.dumps(plain), "card": json.dumps(card)}
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path, texts)
    return card


def _chosen(rows: int) -> np.ndarray:
    if rows <= MOST_ROWS:
        return np.arange(rows)
    newest = MOST_ROWS // 2
    older = np.unique(np.linspace(0, rows - newest - 1, MOST_ROWS - newest).astype(int))
    return np.concatenate([older, np.arange(rows - newest, rows)])


def relative(change_NSC: Array, features_NF: Array, usual_N: Array, xp: Any = np) -> tuple[Array, Array]:
    """The same with learning rates relative to the usual one."""
    rate_C, highest_F = xp.asarray(np.eye(len(AHEAD))[0]), xp.asarray(np.eye(len(FEATURES))[HIGHEST])
    change_NSC = change_NSC - usual_N[:, None, None] * rate_C
    return xp.clip(change_NSC, -FARTHEST, FARTHEST), features_NF - usual_N[:, None] * highest_F


def covariance(scales: Scales, a_NSC: Array, a_NF: Array, b_MSC: Array, b_MF: Array, xp: Any = np) -> Array:
    """Of gains: four covariances of h, where the features are near each other. A part of h is the same for all lengths.

    What changes of one trial have in common is one column: their features, if given so, and what lies ahead without any change.
    """
    ahead: Any = 0.0
    alone = xp is np and bool((b_MSC[:, 0] == b_MSC[:1, 0]).all())
    to = (b_MSC[:1, 0] if alone else b_MSC[:, 0], b_MSC[:, 1])
    for i, j in product(range(2), repeat=2):
        far = xp.sqrt(5.0 * _apart(a_NSC[:, i], to[j], scales.reaches, xp) + 1e-12)
        ahead = ahead + (1.0 if i == j else -1.0) * (1.0 + far + far**2 / 3.0) * xp.exp(-far)  # Matérn-5/2
    reaches = [math.inf if n == LENGTH else reach for n, reach in enumerate(scales.feature_reaches)]
    near = xp.exp(-0.5 * _apart(a_NF, b_MF, reaches, xp))
    alike = xp.exp(-0.5 * _apart(a_NF[:, [LENGTH]], b_MF[:, [LENGTH]], scales.feature_reaches[LENGTH : LENGTH + 1], xp))
    return scales.signal**2 * ahead * near * (scales.common + (1.0 - scales.common) * alike)


def _apart(a_NK: Array, b_MK: Array, reaches: Sequence[float], xp: Any) -> Array:
    """(N, M) squared distances in units of ``reaches``."""
    a_NK, b_MK = (xp.stack([of[:, k] / reach for k, reach in enumerate(reaches)], 1) for of in (a_NK, b_MK))
    return xp.clip((a_NK**2).sum(1)[:, None] + (b_MK**2).sum(1)[None] - 2.0 * a_NK @ b_MK.T, 0.0, None)
