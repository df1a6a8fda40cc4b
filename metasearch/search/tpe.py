"""Tree-structured Parzen estimator (Bergstra, Bardenet, Bengio and Kégl, 2011), multivariate (Falkner et al., 2018), by Optuna."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from metasearch.core.drawing import draw, nearest_untried
from metasearch.core.history import History, State, Trial
from metasearch.core.protocols import Proposal
from metasearch.search._optuna import Outcome, Study


@dataclass(frozen=True)
class Tpe:
    """Draws from the priors until ``startup`` trials came to a standstill, then as Optuna's TPE, pending trials counting as bad.

    Parameters that all trials have are sampled together, those of branches one by one among the trials that took the branch.
    """

    startup: int = 10

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        study = history.view(self, lambda known: Study(known, _outcome)).refreshed(history)
        if study.outcomes < self.startup:
            config, reason = draw(history, rng), "start-up"
        else:
            sampler = TPESampler(seed=int(rng.integers(2**31)), n_startup_trials=self.startup)
            config, reason = nearest_untried(history, study.sample(sampler)), ""
        return None if config is None else Proposal(config, "tpe", reason)


def _outcome(trial: Trial) -> Outcome:
    """Completed trials count by their best loss.

    All others are "pruned": Optuna ranks them behind the completed ones, by how far they came, then by their last loss, and last of
    all those without any loss, which here are the diverged and the failed.
    """
    if trial.state is State.COMPLETED and math.isfinite(trial.best_loss):
        return Outcome(TrialState.COMPLETE, trial.best_loss)
    lost = trial.state in (State.DIVERGED, State.FAILED) or not math.isfinite(trial.loss)
    return Outcome(TrialState.PRUNED, intermediate={} if lost else {trial.step: trial.loss})


SEARCHER = Tpe
