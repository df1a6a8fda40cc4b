"""BOHB (Falkner, Klein and Hutter, 2018), "Robust and Efficient Hyperparameter Optimization at Scale": its authors' models.

The package hpbandster makes the models and draws from them; which trial goes on is up to a scheduler, ``hyperband`` in the paper.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from metasearch import catalog
from metasearch.core.config import Config
from metasearch.core.drawing import draw, nearest_untried
from metasearch.core.history import History, State, Trial
from metasearch.core.protocols import Proposal
from metasearch.search._rungs import check_halving, geometric_rungs

flat = catalog.load("search", "flat")

_SILENT = logging.Logger("bohb", logging.CRITICAL + 1)


@dataclass(frozen=True)
class Bohb:
    """A third of its proposals are drawn from the priors, as all are until there is a model, with the options of the package.

    Models are of the losses at the rungs of a scheduler with the same ``eta`` and ``grace``, and at the horizon; the highest one
    with enough trials counts. A diverged or failed trial counts as infinitely bad where it was heading for.
    """

    eta: int = 3
    grace: float = 1 / 27

    def __post_init__(self) -> None:
        check_halving("bohb", self.eta, self.grace)
        flat.package("hpbandster.optimizers.config_generators.bohb", "BOHB")

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        config = self._modelled(history, int(rng.integers(2**31)))
        chosen, reason = (draw(history, rng), "drawn") if config is None else (nearest_untried(history, config), "by the model")
        return None if chosen is None else Proposal(chosen, "bohb", reason)

    def _modelled(self, history: History, seed: int) -> Config | None:
        """The model's choice, None if there is no model or it is a prior's turn."""
        space = flat.Flat.of(history.sweep.space)
        if not any(space.axes):
            return None
        generators = flat.package("hpbandster.optimizers.config_generators.bohb", "BOHB")
        with flat.borrowed(seed):
            generator = generators.BOHB(configspace=_config_space(space, seed), logger=_SILENT)
            steps = [*geometric_rungs(history.sweep.horizon, self.eta, self.grace), history.sweep.horizon]
            results: dict[int, list[tuple[Trial, float]]] = {step: [] for step in steps}
            for trial in history:
                for step, loss in _losses(trial, steps):
                    results[step].append((trial, loss))
            for step in reversed(steps):
                _tell(generator, space, step, results[step])
                if generator.kde_models:
                    break
            codes, notes = generator.get_config(steps[-1])
        return space.config(codes) if notes["model_based_pick"] else None


def _config_space(space: Any, seed: int) -> Any:
    spaces = flat.package("ConfigSpace", "BOHB")
    made = spaces.ConfigurationSpace(seed=seed)
    for axis in space:
        options = [str(place) for place in range(len(axis.options))]
        made.add(spaces.Categorical(axis.name, options) if options else spaces.Float(axis.name, (0.0, 1.0)))
    return made


def _losses(trial: Trial, steps: list[int]) -> Iterator[tuple[int, float]]:
    """The loss at every one of ``steps`` that the trial reached; a completed one reached them all."""
    for step in steps:
        place = bisect_left(trial.steps, step)
        if place < len(trial.steps):
            loss = trial.losses[place]
        elif trial.state is State.COMPLETED:
            loss = trial.loss
        elif trial.state in (State.DIVERGED, State.FAILED):
            loss = math.inf
        else:
            return
        yield step, loss
        if not math.isfinite(loss):
            return


def _tell(generator: Any, space: Any, step: int, results: list[tuple[Trial, float]]) -> None:
    """Tells the package of all results at ``step``; the model is made with the last."""
    for place, (trial, loss) in enumerate(results, start=1):
        job = {"result": {"loss": loss}, "exception": None, "kwargs": {"budget": step, "config": space.codes(trial.config)}}
        generator.new_result(SimpleNamespace(**job), update_model=place == len(results))


SEARCHER = Bohb
