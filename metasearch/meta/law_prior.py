"""What the curves of earlier sweeps say of every curve: the prior of the law's parameters, learned by expectation-maximisation.

Shape parameters differ little between runs and are shared; level and amplitude are each run's own. They may shift with the
learning rate, relative to what is usual for its optimizer: a linear term, fitted with them. What is claimed of ends is then checked
on curves of tasks that were left out, and deviations are raised until it holds.

Shapes: P parameters, R runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Value
from metasearch.meta.forecast import Gaussian, ends, fit
from metasearch.meta.loss_law import P, Path, losses

SCHEDULE_FREE = frozenset({"schedule_free_adamw", "prodigy", "hypergradient_adamw"})
"""Optimizers that set their own pace: for them the law is one in tokens, with a learning rate that never changes."""

FEWEST_POINTS = 5
MOST_RUNS = 160
ROUNDS = 3
BELIEF = 10.0
"""The first prior counts as much as so many runs."""

FOLDS = 3
SEEN_SHARES = (0.3, 0.5)
NINETY = 1.645
MOST_DOUBT = 4.0
WARMUP_KNOTS = 4

# Published fits of 25M to 400M Transformers: alpha .43-.51, beta .58-.60, gamma .63-.66, C 2.0-2.1 per unit of learning rate, which
# is some hundreds per horizon at the reference. A higher learning rate comes the sooner to the onset, and adds the more noise.
_MEAN = (1.5, *np.log((5.0, 0.5, 0.1, 300.0, 0.58, 0.64, 1e-3, 0.01)).tolist())
_SPREAD = (1.5, 1.0, 0.4, 0.7, 1.5, 0.3, 0.3, 1.5, 1.5)
_SLOPE = (0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, -1.0)
_SHIFTS = np.array([slope != 0.0 for slope in _SLOPE])
"""Only the noise and the onset shift with the learning rate. A level that did would be traded for noise, which a run at a constant
learning rate cannot tell apart, and every decay would seem to pay."""


@dataclass(frozen=True)
class LawPrior:
    """``mean_P`` + ``slope_P`` · log(learning rate / what is usual for the optimizer), ``covariance_PP``.

    ``deviation``: of a report about its law. ``doubt``: factor on the deviations of forecasts. ``usual``: the usual learning rate
    by optimizer; ``lowest``, ``highest``: the range in which runs ended among the best third. ``runs``: how many taught it.
    """

    mean_P: np.ndarray = field(default_factory=lambda: np.array(_MEAN))
    slope_P: np.ndarray = field(default_factory=lambda: np.array(_SLOPE))
    covariance_PP: np.ndarray = field(default_factory=lambda: np.diag(np.square(_SPREAD)))
    deviation: float = 0.02
    doubt: float = 1.5
    usual: Mapping[str, float] = field(default_factory=dict)
    lowest: Mapping[str, float] = field(default_factory=dict)
    highest: Mapping[str, float] = field(default_factory=dict)
    runs: int = 0

    def of(self, optimizer: str, reference: float) -> Gaussian:
        """The prior of a run whose learning rates are counted in units of ``reference``."""
        return Gaussian(self.mean_P + self.slope_P * self.offset(optimizer, reference), self.covariance_PP)

    def offset(self, optimizer: str, reference: float) -> float:
        usual = self.usual.get(optimizer)
        return 0.0 if usual is None else float(np.clip(math.log(reference / usual), -6.0, 6.0))


@dataclass(frozen=True)
class Run:
    """A curve and the learning rates that it followed."""

    task: str
    optimizer: str
    reference: float
    path: Path
    progress_N: np.ndarray
    loss_N: np.ndarray
    ended: bool


def followed(
    progress: Sequence[float], lrs: Sequence[float], optimizer: str, warmup: float, reference: float, epochs: float
) -> Path:
    """The path through the reported learning rates, from 0 over the warm-up; level before the first report and after the last."""
    if optimizer in SCHEDULE_FREE:
        return Path(np.array([0.0, 1.0]), np.ones(2), epochs)
    ramp = min(warmup, progress[0])
    rising = np.linspace(0.0, ramp, WARMUP_KNOTS + 1) if ramp > 0 else np.zeros(1)
    share = rising / warmup if warmup > 0 else np.ones(1)
    first = lrs[0] if warmup <= progress[0] else lrs[0] * warmup / progress[0]
    factors = np.concatenate([share * first, lrs]) / reference
    return Path(np.concatenate([rising, progress]), factors, epochs)


def reference_of(lrs: Sequence[float]) -> float:
    return max(lrs)


def epochs_of(descriptor: Mapping[str, float], horizon: int) -> float:
    tokens = descriptor.get("log10_train_tokens")
    return 0.0 if tokens is None else horizon / 10.0**tokens


def share_of(config: Mapping[str, Value], name: str) -> float:
    """A number of a config that is a share of the horizon; 0 if it has none."""
    value = config.get(name, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def runs_of(task: PastTask) -> list[Run]:
    return [run for trial in task.trials if (run := _run(task, trial)) is not None]


def _run(task: PastTask, trial: PastTrial) -> Run | None:
    """None for a trial whose curve is too short, diverged, or came without learning rates."""
    usable = len(trial.lrs) == len(trial.steps) >= FEWEST_POINTS and not trial.diverged
    if not usable or not np.isfinite(trial.lrs).all() or max(trial.lrs) <= 0:
        return None
    progress, optimizer, reference = np.array(trial.steps) / task.horizon, str(trial.config.get("optimizer", "")), max(trial.lrs)
    path = followed(
        progress.tolist(),
        trial.lrs,
        optimizer,
        share_of(trial.config, "warmup"),
        reference,
        epochs_of(task.descriptor, task.horizon),
    )
    return Run(task.id, optimizer, reference, path, progress, np.array(trial.losses), bool(progress[-1] > 0.95))


def learn(archive: Archive) -> LawPrior:
    """The prior that an archive teaches; the one from published fits if it holds no curve with its learning rates."""
    runs = [run for task in archive for run in runs_of(task)]
    runs = [runs[i] for i in np.unique(np.linspace(0, len(runs) - 1, min(len(runs), MOST_RUNS)).astype(int))] if runs else []
    if not runs:
        return LawPrior()
    lowest, highest = _range(runs)
    prior = replace(_fitted(runs), lowest=lowest, highest=highest)
    return replace(prior, doubt=_doubt(runs, prior))


def _usual(runs: Sequence[Run]) -> dict[str, float]:
    """The geometric mean of the learning rates of each optimizer."""
    names = sorted({run.optimizer for run in runs})
    return {name: float(np.exp(np.mean([math.log(r.reference) for r in runs if r.optimizer == name]))) for name in names}


def _range(runs: Sequence[Run]) -> tuple[dict[str, float], dict[str, float]]:
    """The lowest and the highest learning rate of each optimizer with which a run ended among the best third of its task."""
    good_loss = {task: np.quantile([r.loss_N[-1] for r in runs if r.task == task], 1 / 3) for task in {run.task for run in runs}}
    good = [run for run in runs if run.loss_N[-1] <= good_loss[run.task]]
    names = sorted({run.optimizer for run in good})
    rates = {name: [run.reference for run in good if run.optimizer == name] for name in names}
    return {name: min(found) for name, found in rates.items()}, {name: max(found) for name, found in rates.items()}


def _fitted(runs: Sequence[Run]) -> LawPrior:
    first = replace(LawPrior(), usual=_usual(runs))
    prior = first
    offset_R = np.array([first.offset(run.optimizer, run.reference) for run in runs])
    for _ in range(ROUNDS):
        known = [fit(prior.of(r.optimizer, r.reference), prior.deviation, r.path, r.progress_N, r.loss_N) for r in runs]
        mean_RP = np.array([each.mean_P for each in known])
        mean_P, slope_P, covariance_PP = _pooled(first, mean_RP, np.array([each.covariance_PP for each in known]), offset_R)
        prior = replace(prior, mean_P=mean_P, slope_P=slope_P, covariance_PP=covariance_PP)
        off = np.concatenate([_residuals(run, mean_P) for run, mean_P in zip(runs, mean_RP, strict=True)])
        prior = replace(prior, deviation=max(1.48 * float(np.median(np.abs(off))) * 1.2, 1e-3), runs=len(runs))
    return prior


def _residuals(run: Run, mean_P: np.ndarray) -> np.ndarray:
    return np.asarray(run.loss_N - losses(mean_P[None], run.path, run.progress_N)[0])


def _pooled(
    first: LawPrior, mean_RP: np.ndarray, covariance_RPP: np.ndarray, offset_R: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, slope and covariance over runs, drawn towards the first prior as if that were ``BELIEF`` runs more."""
    design_R2 = np.stack([np.ones_like(offset_R), offset_R], axis=1)
    start_2P = np.stack([first.mean_P, first.slope_P])
    gram_22 = design_R2.T @ design_R2 + BELIEF * np.eye(2)
    fitted_2P = np.linalg.solve(gram_22, design_R2.T @ mean_RP + BELIEF * start_2P)
    level_P = (mean_RP.sum(0) + BELIEF * first.mean_P) / (len(mean_RP) + BELIEF)
    fitted_2P = np.where(_SHIFTS, fitted_2P, np.stack([level_P, np.zeros(P)]))
    off_RP = mean_RP - design_R2 @ fitted_2P
    spread_PP = off_RP.T @ off_RP + covariance_RPP.sum(0) + BELIEF * first.covariance_PP
    covariance_PP = spread_PP / (len(mean_RP) + BELIEF) + 1e-4 * np.eye(P)
    return fitted_2P[0], fitted_2P[1], covariance_PP


def _doubt(runs: Sequence[Run], prior: LawPrior) -> float:
    """By how much forecasts of ends must be less certain to hold on tasks that taught nothing, or on runs, if there is one task."""
    tasks = sorted({run.task for run in runs})
    fold_of = {task: i % FOLDS for i, task in enumerate(tasks)}
    fold_R = [fold_of[run.task] if len(tasks) > 1 else i % FOLDS for i, run in enumerate(runs)]
    off: list[float] = []
    for fold in sorted(set(fold_R)):
        others = [run for run, own in zip(runs, fold_R, strict=True) if own != fold]
        held_out = [run for run, own in zip(runs, fold_R, strict=True) if own == fold and run.ended]
        known = _fitted(others) if others else LawPrior()
        off += [ratio for run in held_out for share in SEEN_SHARES if (ratio := _surprise(run, known, share)) is not None]
    return float(np.clip(np.quantile(off, 0.9) / NINETY, 1.0, MOST_DOUBT)) if len(off) >= FEWEST_POINTS else prior.doubt


def _surprise(run: Run, prior: LawPrior, share: float) -> float | None:
    """How many deviations the end lay off what was foretold from the first ``share`` of the run."""
    seen = run.progress_N <= share
    if seen.sum() < 2:
        return None
    known = fit(prior.of(run.optimizer, run.reference), prior.deviation, run.path, run.progress_N[seen], run.loss_N[seen])
    draws_M = ends(known, [run.path], at=float(run.progress_N[-1])).draws_MF[:, 0]
    return abs(float(run.loss_N[-1] - draws_M.mean())) / math.hypot(float(draws_M.std()), prior.deviation)
