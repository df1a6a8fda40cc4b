"""Experience from nothing but an archive of twins: hyperparameters and usual learning rates by the marginal likelihood.

Where the usual learning rate of a kind lies is the sum of a term for its optimizer, one for its model and one in the log of the
width, so that pairs that were never seen are known too. Deviations are checked on tasks that are left out.

Shapes: N rows, K unknown terms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize

from metasearch.core.archive import Archive
from metasearch.meta._twins import AHEAD, FEATURES, Kind, Row, rows_of
from metasearch.meta.experience import LENGTH, Array, Experience, Scales, covariance, relative

TERM_SPREAD, WIDTH_SPREAD, LENGTH_SPREAD, SCALE_SPREAD = 1.0, 0.3, 0.1, 1.0
COMMON_SPREAD = 1.5
"""Of the log odds of the share that trainings of all lengths have in common."""

NINETY = 1.645
MOST_DOUBT = 3.0
ITERATIONS = 120
LEAST_WIDTH = 0.1
"""A feature that was hardly seen to vary, or never seen, does not put trials out of reach by a little more."""


def anew(archive: Archive) -> Experience:
    """What the twins of an archive teach. Tasks are left out together if their names agree up to the last slash."""
    rows = rows_of(archive)
    optimizers, models = sorted({row.kind.optimizer for row in rows}), sorted({row.kind.model for row in rows})
    first = _first_usual(archive, optimizers, models)
    draft = Experience(usual=first).with_rows(rows)
    assert len(draft.gain_N) == len(rows), "more rows than are kept"
    whole = _centered(_whole(draft, rows, optimizers, models))
    return with_late_scales(_checked(whole, [row.task.rpartition("/")[0] for row in rows]))


def with_late_scales(experience: Experience) -> Experience:
    """The same with scales of their own for what is late, if anything is; usual learning rates and doubt are those of all."""
    late = experience.late
    if not len(late.gain_N):
        return experience
    _, scales = _Fit(late, np.zeros((len(late.gain_N), 0)), []).likeliest()
    return replace(experience, late_scales=replace(scales, doubt=experience.scales.doubt))


def _whole(draft: Experience, rows: Sequence[Row], optimizers: Sequence[str], models: Sequence[str]) -> Experience:
    """Scales, and where the usual learning rate of each optimizer, model, width and length lies."""
    columns = [[float(row.kind.optimizer == name) for row in rows] for name in optimizers]
    columns += [[float(row.kind.model == name) for row in rows] for name in models]
    columns += [[row.kind.log_width for row in rows], [row.kind.log_length for row in rows]]
    terms_NK = np.array(columns).T
    spreads = [TERM_SPREAD] * (len(optimizers) + len(models)) + [WIDTH_SPREAD, LENGTH_SPREAD]
    term_K, scales = _Fit(draft, terms_NK, spreads).likeliest()
    own = dict(zip([*optimizers, *(f"/{model}" for model in models)], term_K[:-2].tolist(), strict=True))
    usual = {name: rate + own[name.split("/")[0]] + own["/" + name.split("/")[1]] for name, rate in draft.usual.items()}
    change_NSC, features_NF = relative(draft.change_NSC, draft.features_NF, terms_NK @ term_K)
    per_width, per_length = (np.array([draft.per_width, draft.per_length]) + term_K[-2:]).tolist()
    shifts = {"usual": usual, "per_width": per_width, "per_length": per_length}
    return replace(draft, change_NSC=change_NSC, features_NF=features_NF, **shifts, scales=scales)


def _first_usual(archive: Archive, optimizers: Sequence[str], models: Sequence[str]) -> dict[str, float]:
    """The geometric mean of all learning rates of an optimizer: the middle of what was tried."""
    tried: dict[str, list[float]] = {name: [] for name in optimizers}
    shift_of = Experience().shift_of
    for task, trial in ((past, trial) for past in archive for trial in past.trials if not trial.directed):
        kind = Kind.of(trial.config, task.horizon, task)
        if kind.optimizer in tried:
            tried[kind.optimizer].append(math.log(max(trial.lrs)) - shift_of(kind))
    return {f"{optimizer}/{model}": float(np.mean(tried[optimizer])) for optimizer, model in product(optimizers, models)}


class _Fit:
    """Unknowns: log odds of what is common, logs of the other scales, and terms of which the sum, ``terms_NK`` times them, is what
    the usual learning rate of each row changes by.
    """

    def __init__(self, draft: Experience, terms_NK: np.ndarray, term_spreads: Sequence[float]) -> None:
        center_F, width_F = _center_and_width(draft.features_NF)
        scales = Scales(center=tuple(center_F.tolist()), width=tuple(width_F.tolist()))
        self.draft, self.terms_NK = replace(draft, scales=scales), terms_NK
        logs = np.log([scales.signal, scales.noise, scales.share, *scales.reaches, *scales.feature_reaches])
        self.start_K = np.concatenate([[0.0], logs, np.zeros(len(term_spreads))])
        self.spread_K = np.array([COMMON_SPREAD] + [SCALE_SPREAD] * len(logs) + list(term_spreads))

    def likeliest(self) -> tuple[np.ndarray, Scales]:
        point_K = minimize(self.unlikely, self.start_K, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
        term_K, scales = self._unknown(point_K, np)
        return term_K, _plain(scales)

    def _unknown(self, point_K: Array, xp: Any) -> tuple[Array, Scales]:
        known = 4 + len(AHEAD) + len(FEATURES)
        signal, noise, share, *reaches = xp.exp(xp.clip(point_K[1:known], -7.0, 3.0))
        ours, traces = tuple(reaches[: len(AHEAD)]), tuple(reaches[len(AHEAD) :])
        found = {"signal": signal, "common": 1.0 / (1.0 + xp.exp(-point_K[0])), "noise": noise, "share": share}
        return point_K[known:], replace(self.draft.scales, reaches=ours, feature_reaches=traces, **found)

    def unlikely(self, point_K: np.ndarray) -> tuple[float, np.ndarray]:
        """Negative log posterior of the unknowns, which are normal about where they start, and its gradient."""
        asked_K = torch.from_numpy(point_K).requires_grad_()
        term_K, scales = self._unknown(asked_K, torch)
        change_NSC, features_NF, gain_N = map(torch.from_numpy, (self.draft.change_NSC, self.draft.features_NF, self.draft.gain_N))
        change_NSC, features_NF = relative(change_NSC, features_NF, torch.from_numpy(self.terms_NK) @ term_K, torch)
        center_F, width_F = torch.tensor(scales.center).double(), torch.tensor(scales.width).double()
        at_NF = torch.nan_to_num((features_NF - center_F) / width_F)
        noise_N = scales.noise**2 + (scales.share * gain_N) ** 2 + torch.from_numpy(self.draft.variance_N)
        factor_NN = torch.linalg.cholesky(covariance(scales, change_NSC, at_NF, change_NSC, at_NF, torch) + torch.diag(noise_N))
        weight_N = torch.cholesky_solve(gain_N[:, None], factor_NN)[:, 0]
        misfit = 0.5 * gain_N @ weight_N + factor_NN.diagonal().log().sum()
        off_K = (asked_K - torch.from_numpy(self.start_K)) / torch.from_numpy(self.spread_K)
        total = misfit + 0.5 * (off_K**2).sum()
        (slope_K,) = torch.autograd.grad(total, asked_K)
        return float(total.detach()), slope_K.numpy()


def _center_and_width(features_NF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations of what is no NaN, of which there may be nothing."""
    count_F = np.maximum(np.isfinite(features_NF).sum(0), 1)
    center_F = np.nansum(features_NF, 0) / count_F
    return center_F, np.maximum(np.sqrt(np.nansum((features_NF - center_F) ** 2, 0) / count_F), LEAST_WIDTH)


def _plain(scales: Scales) -> Scales:
    numbers = {name: tuple(map(float, v)) if isinstance(v, tuple) else float(v) for name, v in vars(scales).items()}
    return Scales(**numbers)  # type: ignore[arg-type]


def _centered(experience: Experience) -> Experience:
    """The same, its zero moved to the learning rate that is best early in a run of the usual length with a level schedule."""
    best = experience.early_best(experience.scales.center[LENGTH])
    usual = {name: rate + best for name, rate in experience.usual.items()}
    change_NSC, features_NF = relative(experience.change_NSC, experience.features_NF, np.full(len(experience.gain_N), best))
    center = tuple(c - best * (name == "highest") for c, name in zip(experience.scales.center, FEATURES, strict=True))
    scales = replace(experience.scales, center=center)
    return replace(experience, change_NSC=change_NSC, features_NF=features_NF, usual=usual, scales=scales)


def _checked(experience: Experience, group_N: Sequence[str]) -> Experience:
    """The same, its deviations raised until nine tenths of what is left out lie within them."""
    off_N = np.abs(experience.left_out(group_N)[1])
    doubt = float(np.clip(np.quantile(off_N, 0.9) / NINETY, 1.0, MOST_DOUBT))
    return replace(experience, scales=replace(experience.scales, doubt=doubt))
