"""Hyperparameters of the surrogate from past results: type II maximum likelihood over random subsets of tasks, by Adam.

Location and scale of every past task are fitted too (a shift and a log scale with narrow priors), because the median and the best
of a few dozen trials are poor estimates of what is ordinary and what is very good on a task.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from metasearch.meta.features import Layout
from metasearch.meta.surrogate import MAIN_WEIGHT, NEAR_RESPONSE, PRACTICE_DEVIATION, Kernel, Rows

STEPS = 150
TASKS_AT_ONCE, ROWS_AT_ONCE = 6, 240
RATE = 0.05

VARIANCES = ("shared", "near", "own", "response", "own_response", "level", "noise", "near_reach", "own_zoom", "absent_weight")
PRIOR_SPREAD = (1.0, 1.0, 1.0, 1.5, 1.5, 1.0, 1.0, 0.7, 0.3, 0.5)
"""Standard deviations of the log-normal priors about the starting kernel, in the order of ``VARIANCES``."""

MAINS, OWN_MAIN, MAIN_SPREAD, OWN_MAIN_SPREAD = 0.1, 0.5, 1.5, 1.0
"""Variance of all main effects together, that of a task's own as a share of it, and the spreads of the priors of their logs."""

WEIGHT_SPREAD, MEAN_SPREAD, SHIFT_SPREAD, SCALE_SPREAD = 0.8, 0.5, 0.1, 0.25
OFFSET_SPREAD, TASK_OFFSET_SPREAD = 0.12, 0.03
GOOD_SHARE = 0.25
"""The rows whose learning rates tell what is usual."""


@dataclass(frozen=True)
class Fitted:
    """``shift_T`` and ``log_scale_T``: z of task t becomes (z - shift) · exp(-log_scale)."""

    kernel: Kernel
    shift_T: np.ndarray
    log_scale_T: np.ndarray


def fit(kernel: Kernel, layout: Layout, rows: Rows, rng: np.random.Generator) -> Fitted:
    """The kernel that explains ``rows`` best, starting from ``kernel``, whose values are also the medians of the priors."""
    problem = _Problem(kernel, layout, rows)
    optimizer = torch.optim.Adam(problem.unknowns.values(), lr=RATE)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small are slower on several, and the result would depend on how many
    try:
        for _ in range(STEPS):
            optimizer.zero_grad()
            problem.loss(_subset(rows, rng)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    finally:
        torch.set_num_threads(threads)
    return problem.fitted()


def _subset(rows: Rows, rng: np.random.Generator) -> np.ndarray:
    chosen = rng.permutation(len(rows.descriptor_TE))[:TASKS_AT_ONCE]
    picked = np.flatnonzero(np.isin(rows.task_N, chosen))
    return rng.permutation(picked)[:ROWS_AT_ONCE]


class _Problem:
    """Unknowns on log scales and the negative log posterior of a subset of rows."""

    def __init__(self, kernel: Kernel, layout: Layout, rows: Rows) -> None:
        self.kernel, self.rows_in_all = kernel, len(rows.z_N)
        self.names = list(layout.names)
        self.numbers = [name for name in layout.names if name in layout.numbers]
        self.options = [name for name in layout.names if layout.options.get(name)]
        weights = [kernel.weights.get(n, 1.0) for n in self.numbers] + [kernel.option_weights.get(n, 1.0) for n in self.options]
        tasks = len(rows.descriptor_TE)
        self.start = {
            "weights": torch.log(torch.tensor(weights, dtype=torch.float64)),
            "variances": torch.log(torch.tensor([max(getattr(kernel, name), 1e-4) for name in VARIANCES], dtype=torch.float64)),
            "mains": torch.full((len(layout.names),), math.log(MAINS / max(len(layout.names), 1)), dtype=torch.float64),
            "own_main": torch.tensor([math.log(OWN_MAIN)], dtype=torch.float64),
            "mean": torch.tensor([kernel.mean], dtype=torch.float64),
            "practice": torch.tensor([kernel.practice], dtype=torch.float64),
            "shift": torch.zeros(tasks, dtype=torch.float64),
            "log_scale": torch.zeros(tasks, dtype=torch.float64),
            "offsets": torch.zeros(len(layout.groups), dtype=torch.float64),
            "task_offsets": torch.zeros(rows.descriptor_TE.shape[1], dtype=torch.float64),
            "usual_rate": torch.tensor([_usual_rate(layout, rows)], dtype=torch.float64),
        }
        self.unknowns = {name: value.clone().requires_grad_(True) for name, value in self.start.items()}
        place = {("number", n): i for i, n in enumerate(self.numbers)}
        place |= {("option", n): i + len(self.numbers) for i, n in enumerate(self.options)}
        self.column = torch.tensor([place.get((kind, name), len(weights)) for name, kind in layout.groups])
        self.owned = [torch.tensor([name == owner for owner, _ in layout.groups]) for name in self.names]
        self.half = torch.tensor([1 / math.sqrt(2) if kind == "option" else 1.0 for _, kind in layout.groups], dtype=torch.float64)
        self.points, self.z = torch.tensor(rows.points_ND), torch.tensor(rows.z_N)
        self.labels, self.rates = layout.labels, torch.tensor(layout.rates, dtype=torch.float64)
        moving = [bool(label) and not rate for label, rate in zip(layout.labels, layout.rates, strict=True)]
        self.moving = torch.tensor(moving, dtype=torch.float64) * float(layout.rates.any())
        self.number = torch.tensor([kind == "number" for _, kind in layout.groups])
        self.variance, self.task = torch.tensor(rows.variance_N), torch.tensor(rows.task_N)
        self.descriptor, self.doubt = torch.tensor(rows.descriptor_TE), torch.tensor(rows.doubt_N)
        self.spread = torch.tensor(PRIOR_SPREAD, dtype=torch.float64)

    def loss(self, picked: np.ndarray) -> torch.Tensor:
        i, u = torch.tensor(picked), self.unknowns
        log_scale = u["log_scale"][self.task[i]]
        surprise = (self.z[i] - u["shift"][self.task[i]]) * torch.exp(-log_scale) - u["mean"] + u["practice"] * self.doubt[i]
        noise = self.variance[i] * torch.exp(-2 * log_scale) + self._of("noise")
        factor = torch.linalg.cholesky(self._covariance(i) + torch.diag(noise))
        explained = torch.cholesky_solve(surprise[:, None], factor)[:, 0]
        misfit = 0.5 * (surprise * explained).sum() + torch.log(torch.diagonal(factor)).sum() + log_scale.sum()
        return misfit + len(picked) / self.rows_in_all * self._penalty()

    def _of(self, name: str) -> torch.Tensor:
        return torch.exp(self.unknowns["variances"][VARIANCES.index(name)])

    def _covariance(self, i: torch.Tensor) -> torch.Tensor:
        widths = torch.exp(torch.cat([self.unknowns["weights"], self.unknowns["variances"][-1:]]))[self.column] * self.half
        points = self._normalised(i)
        numbers = points[:, self.number]
        features = torch.cat([numbers, (numbers**2).clamp_max(2.0), points[:, ~self.number]], 1)
        scaled, response = points * widths, features @ features.T
        length = (scaled * scaled).sum(1)
        far = torch.sqrt(5 * ((length[:, None] + length[None] - 2 * scaled @ scaled.T).clamp_min(0) + 1e-12))
        same = (self.task[i][:, None] == self.task[i][None]).double()
        base = _matern(far)
        own = self._of("own") * _matern(far * self._of("own_zoom")) + self._of("own_response") * response + self._of("level")
        covariance = self._of("shared") * base + self._of("response") * response + same * own
        if self.kernel.near:
            apart = ((self.descriptor[self.task[i]][:, None] - self.descriptor[self.task[i]][None]) ** 2).sum(-1)
            near = self._of("near") * torch.exp(-0.5 * apart / self._of("near_reach") ** 2)
            return covariance + near * (base + NEAR_RESPONSE * response)
        return covariance + self._main_effects(points) * (1.0 + torch.exp(self.unknowns["own_main"]) * same)

    def _main_effects(self, points: torch.Tensor) -> torch.Tensor:
        """As ``Kernel.main_effects``. Nothing but learning rates moves while a kernel is fitted: only they need gradients."""
        variance_P = torch.exp(self.unknowns["mains"])
        total_NN = torch.zeros(len(points), len(points), dtype=torch.float64)
        for own_D, variance in zip(self.owned, variance_P, strict=True):
            with torch.set_grad_enabled(bool((self.rates * own_D).any())):
                left = points[:, own_D]
                effect_NN = _matern(MAIN_WEIGHT * torch.sqrt(5 * ((left[:, None] - left[None]) ** 2).sum(-1) + 1e-12))
            total_NN = total_NN + variance * effect_NN
        return total_NN

    def _normalised(self, i: torch.Tensor) -> torch.Tensor:
        """As ``Kernel.normalised``."""
        u = self.unknowns
        moved = u["usual_rate"] + self.points[i] @ (u["offsets"] * self.moving) + self.descriptor[self.task[i]] @ u["task_offsets"]
        return self.points[i] - moved[:, None] * self.rates

    def _penalty(self) -> torch.Tensor:
        u = self.unknowns
        parts = (
            (u["weights"] - self.start["weights"]) / WEIGHT_SPREAD,
            (u["variances"] - self.start["variances"]) / self.spread,
            u["mean"] / MEAN_SPREAD,
            (u["mains"] - self.start["mains"]) / MAIN_SPREAD,
            (u["own_main"] - self.start["own_main"]) / OWN_MAIN_SPREAD,
            (u["practice"] - self.start["practice"]) / PRACTICE_DEVIATION,
            u["shift"] / SHIFT_SPREAD,
            u["log_scale"] / SCALE_SPREAD,
            u["offsets"] / OFFSET_SPREAD,
            u["task_offsets"] / TASK_OFFSET_SPREAD,
            (u["usual_rate"] - self.start["usual_rate"]) / OFFSET_SPREAD,
        )
        return 0.5 * torch.stack([(part**2).sum() for part in parts]).sum()

    def fitted(self) -> Fitted:
        values = {name: value.detach().numpy() for name, value in self.unknowns.items()}
        weights = np.exp(values["weights"]).tolist()
        variances = dict(zip(VARIANCES, np.exp(values["variances"]).tolist(), strict=True))
        if not self.kernel.near:
            variances["near"] = 0.0
        kernel = replace(
            self.kernel,
            weights={**self.kernel.weights, **dict(zip(self.numbers, weights, strict=False))},
            option_weights={**self.kernel.option_weights, **dict(zip(self.options, weights[len(self.numbers) :], strict=True))},
            mains={} if self.kernel.near else dict(zip(self.names, np.exp(values["mains"]).tolist(), strict=True)),
            own_main=float(np.exp(values["own_main"][0])),
            mean=float(values["mean"][0]),
            practice=float(values["practice"][0]),
            usual_rate=float(values["usual_rate"][0]),
            offsets={
                label: float(off) for label, off, moves in zip(self.labels, values["offsets"], self.moving, strict=True) if moves
            },
            task_offsets=values["task_offsets"].tolist() if self.kernel.near else (),
            **variances,
        )
        return Fitted(kernel, values["shift"].copy(), values["log_scale"].copy())


def _usual_rate(layout: Layout, rows: Rows) -> float:
    """The median learning rate of good results."""
    good = rows.z_N >= np.quantile(rows.z_N, 1 - GOOD_SHARE)
    return float(np.median(rows.points_ND[good][:, layout.rates])) if layout.rates.any() else 0.0


def _matern(far: torch.Tensor) -> torch.Tensor:
    return (1 + far + far * far / 3) * torch.exp(-far)
