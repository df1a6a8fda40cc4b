"""Bayesian optimisation with a Gaussian process and log expected improvement (Ament et al., 2023), by Optuna."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from optuna.samplers import GPSampler, TPESampler
from optuna.trial import TrialState

from metasearch.core.drawing import draw, nearest_untried
from metasearch.core.history import History, State, Trial
from metasearch.core.protocols import Proposal
from metasearch.search._optuna import Outcome, Study


@dataclass(frozen=True)
class Gp:
    """Draws from the priors until ``startup`` trials came to a standstill, then as Optuna's GP sampler, pending trials considered.

    The process covers the parameters that all trials have in common; those of branches are sampled by Optuna's TPE, one by one.
    Needs torch, which Optuna imports with the first proposal after the start-up.
    """

    startup: int = 10

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        study = history.view(self, lambda known: Study(known, _outcome)).refreshed(history)
        if study.outcomes < self.startup:
            config, reason = draw(history, rng), "start-up"
        else:
            config, reason = nearest_untried(history, study.sample(self._sampler(int(rng.integers(2**31))))), ""
        return None if config is None else Proposal(config, "gp", reason)

    def _sampler(self, seed: int) -> GPSampler:
        branches = TPESampler(seed=seed, n_startup_trials=self.startup)
        return GPSampler(seed=seed, independent_sampler=branches, n_startup_trials=self.startup, warn_independent_sampling=False)


def _outcome(trial: Trial) -> Outcome:
    """Optuna's GP knows no partial curves: a trial that was stopped or paused counts by its last loss.

    Diverged and failed trials are infinitely bad, which Optuna clips to the worst finite value.
    """
    if trial.state in (State.DIVERGED, State.FAILED):
        return Outcome(TrialState.COMPLETE, math.inf)
    return Outcome(TrialState.COMPLETE, trial.best_loss if trial.state is State.COMPLETED else trial.loss)


SEARCHER = Gp
