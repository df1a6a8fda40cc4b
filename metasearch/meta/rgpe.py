"""Ranking-weighted Gaussian process ensemble: one model for each earlier task, weighted by how well it ranks this sweep's trials.

Feurer, Letham and Bakshy (2018), "Scalable Meta-Learning for Bayesian Optimization using Ranking-Weighted Gaussian Process
Ensembles", with its prevention of weight dilution. Shapes: N trials, M candidates, S samples, K models, of which the sweep's own
is the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from metasearch.core.archive import Archive, PastTask
from metasearch.core.config import Config
from metasearch.core.drawing import draw, untried_candidates
from metasearch.core.event import Amended, Fact
from metasearch.core.history import History, State, Trial
from metasearch.core.protocols import Proposal
from metasearch.core.rng import derive
from metasearch.meta._coordinates import Coordinates
from metasearch.meta._gaussian_process import GaussianProcess

LEAST = 3
"""Trials that a model needs."""

MOST_OF_SOURCE, MOST_OF_TARGET, MOST_RANKED = 100, 200, 64
"""Trials that a model of an earlier task, the model of the sweep, and the comparison of rankings see at most."""

CANDIDATES, SAMPLES = 512, 128


@dataclass(frozen=True, eq=False)
class Rgpe:
    """Expected improvement under the ensemble, over all candidates left or, in an infinite space, over random ones.

    With fewer than three trials to tell the sources apart they count alike; without sources it draws from the priors until then.
    A trial counts by its best loss if it completed, else by its last.
    """

    sources: Archive

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        seen = [trial for trial in history if trial.steps or trial.state is State.FAILED]
        if len(seen) < LEAST and not self.sources.tasks:
            drawn = draw(history, rng)
            return None if drawn is None else Proposal(drawn, "rgpe", "start-up")
        space = history.sweep.space
        candidates = untried_candidates(history) if space.candidates else [space.sample(rng) for _ in range(CANDIDATES)]
        if not candidates:
            return None
        models = history.view(self, lambda known: _Models(known, self.sources))
        chosen, share = models.choose(candidates, seen, rng)
        return Proposal(chosen, "rgpe", f"own weight {share:.2f}")


class RgpeMeta:
    """What it learns is which trials to keep: models are made once the space is known in which they have to be compared."""

    def init(self, rng: np.random.Generator) -> Archive:
        return Archive()

    def learn(self, theta: Archive, archive: Archive, rng: np.random.Generator) -> Archive:
        able = [task for task in archive if sum(np.isfinite(trial.lowest) for trial in task.trials) >= LEAST]
        return Archive(tuple(_thinned(task, rng) for task in able)) if len(archive) else theta

    def build(self, theta: Archive) -> Rgpe:
        return Rgpe(theta)


class _Models:
    """View: the models of the sources in the coordinates of this sweep's space, and what they say of a finite space."""

    def __init__(self, history: History, sources: Archive) -> None:
        self.sources = sources
        self._make(history)

    def update(self, history: History, fact: Fact) -> None:
        if isinstance(fact, Amended):
            self._make(history)

    def _make(self, history: History) -> None:
        space = self.space = history.sweep.space
        rng = derive(0, "coordinates")
        target = space.candidates or [space.sample(rng) for _ in range(CANDIDATES)]
        codes = [trial.code for task in self.sources for trial in task.trials]
        self.coordinates = Coordinates.of([*codes, *(space.encode(config) for config in target)])
        self.models = [self._model_of(task) for task in self.sources]
        self.known: dict[str, int] = {config.id: index for index, config in enumerate(space.candidates)}
        points = self._points(space.candidates)
        self.predicted = [model.predict(points) for model in self.models] if space.candidates else []

    def _model_of(self, task: PastTask) -> GaussianProcess:
        points = self.coordinates.points([trial.code for trial in task.trials])
        return GaussianProcess.fit(points, standardised([trial.lowest for trial in task.trials]), self.coordinates.owners)

    def _points(self, configs: Sequence[Config]) -> np.ndarray:
        return self.coordinates.points([self.space.encode(config) for config in configs])

    def choose(self, candidates: Sequence[Config], seen: Sequence[Trial], rng: np.random.Generator) -> tuple[Config, float]:
        """The candidate of the highest expected improvement, and the weight of the sweep's own model."""
        if len(seen) > MOST_OF_TARGET:
            seen = [seen[index] for index in _spread([_loss(trial) for trial in seen], MOST_OF_TARGET, rng)]
        own: GaussianProcess | None = None
        weight_K = np.append(np.full(len(self.models), 1.0 / max(len(self.models), 1)), 0.0)
        if len(seen) >= LEAST:
            points = self._points([trial.config for trial in seen])
            own = GaussianProcess.fit(points, standardised([_loss(trial) for trial in seen]), self.coordinates.owners)
            weight_K = ensemble_weights(self.models, own, rng)
        mean_M, variance_M = self._ensemble(candidates, own, weight_K)
        least = mean_M.min() if not seen else self._ensemble([trial.config for trial in seen], own, weight_K)[0].min()
        return candidates[int(_expected_improvement(mean_M, variance_M, float(least)).argmax())], float(weight_K[-1])

    def _ensemble(
        self, configs: Sequence[Config], own: GaussianProcess | None, weight_K: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The weighted mean of all models, and their variance."""
        points = self._points(configs)
        rows = [self.known[config.id] for config in configs] if self.known else []
        mean_M, variance_M = np.zeros(len(configs)), np.zeros(len(configs))
        for index, (model, weight) in enumerate(zip((*self.models, own), weight_K.tolist(), strict=True)):
            if weight == 0.0 or model is None:
                continue
            kept = self.predicted[index] if index < len(self.predicted) else None
            one_mean, one_variance = model.predict(points) if kept is None else (kept[0][rows], kept[1][rows])
            mean_M, variance_M = mean_M + weight * one_mean, variance_M + weight**2 * one_variance
        return mean_M, variance_M


def ensemble_weights(sources: Sequence[GaussianProcess], own: GaussianProcess, rng: np.random.Generator) -> np.ndarray:
    """How often each model, the last being the sweep's own, ranks the sweep's trials best, over samples of all models.

    A source is left out if its median ranking loss lies above the 95th percentile of the own model's. Ties go to the own model.
    """
    total = len(own.values)
    kept = rng.choice(total, MOST_RANKED, replace=False) if total > MOST_RANKED else np.arange(total)
    value_N = own.values[kept]
    mean_N, variance_N = (column[kept] for column in own.leave_one_out())
    left_out_SN = mean_N + np.sqrt(variance_N) * rng.standard_normal((SAMPLES, len(kept)))
    loss_KS = [_misranked(source.sample(own.points[kept], SAMPLES, rng), None, value_N) for source in sources]
    own_S = _misranked(left_out_SN, value_N, value_N)
    limit = np.quantile(own_S, 0.95)
    losses = [loss_S if np.median(loss_S) <= limit else np.full(SAMPLES, np.inf) for loss_S in loss_KS]
    winner_S = np.stack([own_S, *losses]).argmin(axis=0)  # the first of equals
    return np.roll(np.bincount(winner_S, minlength=len(losses) + 1) / SAMPLES, -1)


def standardised(losses: Sequence[float]) -> np.ndarray:
    """Mean 0 and standard deviation 1. Losses far above the median, and those that are not finite, count as equally bad."""
    loss_N = np.array(losses)
    finite = loss_N[np.isfinite(loss_N)]
    if not finite.size:
        return np.zeros(len(loss_N))
    middle = float(np.median(finite))
    worst = middle + 2.0 * max(middle - float(finite.min()), 1e-3 * abs(middle), 1e-12)
    cut_N = np.minimum(np.where(np.isfinite(loss_N), loss_N, worst), worst)
    spread = float(cut_N.std())
    return np.asarray((cut_N - cut_N.mean()) / spread) if spread > 0 else np.zeros(len(loss_N))


def _misranked(sample_SN: np.ndarray, other_N: np.ndarray | None, value_N: np.ndarray) -> np.ndarray:
    """Pairs in the wrong order, per sample. Of each pair the second is sampled too, or taken from ``other_N``."""
    second = sample_SN[:, None, :] if other_N is None else other_N[None, None, :]
    wrong_SNN = (sample_SN[:, :, None] < second) != (value_N[:, None] < value_N)
    return np.asarray(wrong_SNN.sum(axis=(1, 2)))


def _expected_improvement(mean_M: np.ndarray, variance_M: np.ndarray, least: float) -> np.ndarray:
    deviation_M = np.sqrt(np.maximum(variance_M, 1e-18))
    gap_M = (least - mean_M) / deviation_M
    density_M = np.exp(-0.5 * gap_M**2) / np.sqrt(2.0 * np.pi)
    return np.asarray(deviation_M * (gap_M * ndtr(gap_M) + density_M))


def _loss(trial: Trial) -> float:
    return trial.best_loss if trial.state is State.COMPLETED else np.inf if trial.state is State.FAILED else trial.loss


def _thinned(task: PastTask, rng: np.random.Generator) -> PastTask:
    chosen = _spread([trial.lowest for trial in task.trials], MOST_OF_SOURCE, rng)
    return replace(task, trials=tuple(task.trials[index] for index in chosen))


def _spread(losses: Sequence[float], most: int, rng: np.random.Generator) -> list[int]:
    """The better half of ``most`` and as many random others, in order; all if they are no more than that."""
    if len(losses) <= most:
        return list(range(len(losses)))
    ranked = np.argsort(losses, kind="stable")
    others = rng.choice(ranked[most // 2 :], most - most // 2, replace=False)
    return sorted(int(index) for index in (*ranked[: most // 2], *others))


META = RgpeMeta()
