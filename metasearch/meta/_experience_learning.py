"""Experience from nothing but an archive of twins: hyperparameters and usual learning rates by the marginal likelihood.

Where the usual learning rate of a kind lies is the sum of a term for its optimizer, one for its model and one in the log of the
width, so that pairs that were never seen are known too. Deviations are checked on tasks that are left out.

Shapes: N rows, K unknown terms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from itertools import product

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from metasearch.core.archive import Archive
from metasearch.meta._twins import AHEAD, FEATURES, Kind, Row, rows_of
from metasearch.meta.experience import HIGHEST, PER_WIDTH, Experience, Scales, relative

TERM_SPREAD, WIDTH_SPREAD, SCALE_SPREAD = 1.0, 0.3, 1.0
NINETY = 1.645
MOST_DOUBT = 3.0
FITTED_ROWS = 450
"""Hyperparameters are fitted to so many rows: that takes the cube of their number, many times."""

TYPICAL_HORIZON_SHARE = 0.05


def anew(archive: Archive) -> Experience:
    """What the twins of an archive teach. Tasks whose names agree up to the last slash are left out together."""
    rows = rows_of(archive)
    optimizers, models = sorted({row.kind.optimizer for row in rows}), sorted({row.kind.model for row in rows})
    first = _first_usual(archive, optimizers, models)
    draft = Experience(usual=first).with_rows(rows)
    assert len(draft.gain_N) == len(rows), "more rows than are kept"
    found = _Fit(draft, rows, optimizers, models)
    some = found.thinned()
    logs_K = minimize(some.unlikely, found.start_K, method="L-BFGS-B", options={"maxiter": 60}).x
    return _checked(_centered(found.at(logs_K)), [row.task.rpartition("/")[0] for row in rows])


def _first_usual(archive: Archive, optimizers: Sequence[str], models: Sequence[str]) -> dict[str, float]:
    """The geometric mean of all learning rates of an optimizer: the middle of what was tried."""
    tried: dict[str, list[float]] = {name: [] for name in optimizers}
    for trial in (trial for task in archive for trial in task.trials if not trial.directed):
        kind = Kind.of(trial.config)
        if kind.optimizer in tried:
            tried[kind.optimizer].append(math.log(max(trial.lrs)) - PER_WIDTH * kind.log_width)
    return {f"{optimizer}/{model}": float(np.mean(tried[optimizer])) for optimizer, model in product(optimizers, models)}


class _Fit:
    """Unknowns: logs of the hyperparameters, then the terms of optimizers, models and width."""

    def __init__(self, draft: Experience, rows: Sequence[Row], optimizers: Sequence[str], models: Sequence[str]) -> None:
        center_F, width_F = np.nanmean(draft.features_NF, 0), np.maximum(np.nanstd(draft.features_NF, 0), 1e-3)
        scales = Scales(center=tuple(center_F.tolist()), width=tuple(width_F.tolist()))
        self.draft, self.optimizers, self.models = replace(draft, scales=scales), optimizers, models
        columns = [[float(row.kind.optimizer == name) for row in rows] for name in optimizers]
        columns += [[float(row.kind.model == name) for row in rows] for name in models]
        columns += [[row.kind.log_width for row in rows]]
        self.terms_NK = np.array(columns).T
        logs = np.log([scales.signal, scales.noise, scales.share, *scales.reaches, *scales.feature_reaches])
        self.start_K = np.concatenate([logs, np.zeros(self.terms_NK.shape[1])])
        terms = [TERM_SPREAD] * (len(optimizers) + len(models))
        self.spread_K = np.array([SCALE_SPREAD] * len(logs) + terms + [WIDTH_SPREAD])

    def thinned(self) -> _Fit:
        """The same over an even choice of rows."""
        kept = np.unique(np.linspace(0, len(self.terms_NK) - 1, FITTED_ROWS).astype(int))
        some = copy(self)
        some.draft, some.terms_NK = self.draft.only(kept), self.terms_NK[kept]
        return some

    def at(self, point_K: np.ndarray) -> Experience:
        known = 3 + len(AHEAD) + len(FEATURES)
        signal, noise, share, *reaches = np.exp(np.clip(point_K[:known], -7.0, 3.0)).tolist()
        term_K, ours, traces = point_K[known:], tuple(reaches[: len(AHEAD)]), tuple(reaches[len(AHEAD) :])
        scales = replace(self.draft.scales, reaches=ours, feature_reaches=traces, signal=signal, noise=noise, share=share)
        own = dict(zip([*self.optimizers, *(f"/{model}" for model in self.models)], term_K[:-1].tolist(), strict=True))
        usual = {name: rate + own[name.split("/")[0]] + own["/" + name.split("/")[1]] for name, rate in self.draft.usual.items()}
        change_NSC, features_NF = relative(self.draft.change_NSC, self.draft.features_NF, self.terms_NK @ term_K)
        per_width = self.draft.per_width + float(term_K[-1])
        return replace(self.draft, change_NSC=change_NSC, features_NF=features_NF, usual=usual, per_width=per_width, scales=scales)

    def unlikely(self, point_K: np.ndarray) -> float:
        """Negative log posterior of the unknowns, which are normal about where they start."""
        experience = self.at(point_K)
        factor_NN, _ = cho_factor(experience.noisy, lower=True)
        weight_N = cho_solve((factor_NN, True), experience.gain_N)
        misfit = 0.5 * float(experience.gain_N @ weight_N) + float(np.log(factor_NN.diagonal()).sum())
        return misfit + 0.5 * float((((point_K - self.start_K) / self.spread_K) ** 2).sum())


def _centered(experience: Experience) -> Experience:
    """The same, its zero moved to the learning rate that is best early in a run of the usual length with a level schedule."""
    rate_M = np.linspace(-3.0, 3.0, 61)
    features_F = np.array(experience.scales.center)
    features_F[:1], features_F[HIGHEST] = math.log(TYPICAL_HORIZON_SHARE), 0.0
    change_MSC = np.zeros((len(rate_M), 2, len(AHEAD)))
    change_MSC[:, 1, 0] = rate_M
    best = float(rate_M[int(np.argmax(experience.gains(change_MSC, np.tile(features_F, (len(rate_M), 1)))[0]))])
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
