"""Population based training.

Jaderberg, Dalibard, Osindero, Czarnecki, Donahue, Razavi, Vinyals, Green, Dunning, Simonyan, Fernando and Kavukcuoglu (2017),
"Population Based Training of Neural Networks": truncation selection (exploit), perturb or resample (explore).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from metasearch.core.config import Config, Value
from metasearch.core.domains import Float, Int
from metasearch.core.drawing import draw, more_may_come, nearest_untried
from metasearch.core.errors import UserError
from metasearch.core.event import CONTINUE, Action, Fact, Failed, Judged, Proposed, TrialId, Verdict
from metasearch.core.history import History, State, Trial
from metasearch.core.protocols import Proposal
from metasearch.core.scales import Scale
from metasearch.core.space import Space
from metasearch.search._rungs import Rungs, even_rungs, grace_steps

_OPTIMIZATION = ("lr", "adam_lr_ratio", "weight_decay", "momentum", "beta1", "beta2", "eps")
_REGULARISATION = ("dropout", "embedding_dropout", "clip_norm", "clip_value", "clip_ratio", "clip_percentile")
SHAPELESS = (*_OPTIMIZATION, *_REGULARISATION)
"""Parameters that may change under trained weights, because no shape depends on them."""


@dataclass(frozen=True)
class Pbt:
    """Searcher and scheduler in one: give both places the same options.

    Every ``interval`` (a share of the horizon if below 1, else steps) a member among the worst ``quantile`` of those seen there is
    stopped. In its place comes a copy of one of the best ``quantile`` of the population, weights included, in whose config each
    parameter in ``mutate`` was drawn anew with probability ``resample``, else raised or lowered by a fifth.
    With fewer slots than members, members pause at every interval and those least trained go on first.
    """

    population: int = 10
    interval: float = 0.1
    quantile: float = 0.25
    resample: float = 0.25
    mutate: tuple[str, ...] = SHAPELESS

    def __post_init__(self) -> None:
        faults = [f"population must be at least 2, found {self.population}"] if self.population < 2 else []
        faults += [f"interval must be above 0, found {self.interval}"] if not self.interval > 0 else []
        faults += [f"quantile must lie in (0, 0.5], found {self.quantile}"] if not 0 < self.quantile <= 0.5 else []
        faults += [f"resample must lie in [0, 1], found {self.resample}"] if not 0 <= self.resample <= 1 else []
        if faults:
            raise UserError("Population based training cannot be set up so:", faults)

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        members = history.view((self, "members"), _Members).trials
        if len(members) >= self.population:
            return None
        founding = len(history) < self.population
        parents = [] if founding else self._parents(members.values())
        if not parents:
            # Later on, nobody to copy means: all have ended. If in failure, the population starts afresh, else the work is done.
            afresh = founding or not any(trial.ended for trial in members.values())
            config = draw(history, rng) if afresh else None
            return None if config is None else Proposal(config, "pbt")
        parent = parents[int(rng.integers(len(parents)))]
        config = nearest_untried(history, self._explore(history, parent, rng))
        if config is None:
            return None
        return Proposal(config, "pbt", f"continues trial {parent.number}", parent.number, parent.step)

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        rungs = history.view((self, "rungs"), self._rungs)
        rung = rungs.reached(trial)
        if rung is None:
            return CONTINUE
        better, seen = rungs.better(rung, trial.loss), len(rungs.scores[rung])
        if better >= seen - math.floor(seen * self.quantile):
            return Verdict(Action.STOP, f"rank {better + 1} of {seen} at step {rungs.steps[rung]}")
        if self._vacant(history) or any(other.step < trial.step for other in history.paused.values()):
            return Verdict(Action.PAUSE, "others are behind")
        return CONTINUE

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        if self._vacant(history) or not history.paused:
            return None
        return min(history.paused.values(), key=lambda trial: (trial.step, trial.number)).number

    def _parents(self, members: Iterable[Trial]) -> list[Trial]:
        """The best of those that could still be trained further."""
        able = [trial for trial in members if not trial.ended and math.isfinite(trial.loss)]
        able.sort(key=lambda trial: (trial.loss, trial.number))
        return able[: math.ceil(len(able) * self.quantile)]

    def _explore(self, history: History, parent: Trial, rng: np.random.Generator) -> Config:
        space = history.sweep.space
        values: dict[str, Value] = dict(parent.config)
        for name, domain in self._mutable(space, parent.config).items():
            values[name] = self._mutated(domain, float(parent.config[name]), rng)
        return space.complete(values)

    def _mutable(self, space: Space, config: Config) -> dict[str, Float | Int]:
        """The numbers of a config that may change; recorded configs may lack what is open."""
        known = {p.name: p.domain for p in space.open_parameters(config) if p.name in self.mutate and p.name in config}
        return {name: domain for name, domain in known.items() if isinstance(domain, Float | Int)}

    def _mutated(self, domain: Float | Int, number: float, rng: np.random.Generator) -> float:
        if rng.random() < self.resample:
            return domain.from_unit(rng.random())
        factor = 1.2 if rng.random() < 0.5 else 0.8
        return domain.nearest(1 - (1 - number) * factor if domain.scale is Scale.COMPLEMENT else number * factor)

    def _vacant(self, history: History) -> bool:
        members = history.view((self, "members"), _Members).trials
        return len(members) < self.population and more_may_come(history)

    def _rungs(self, history: History) -> Rungs:
        horizon = history.sweep.horizon
        return Rungs(history, even_rungs(horizon, grace_steps(horizon, self.interval)))


class _Members:
    """View: the trials that make up the population. Those that were stopped, diverged or failed have left it."""

    def __init__(self, history: History) -> None:
        self.trials: dict[TrialId, Trial] = {}
        for trial in history:
            self._see(trial)

    def update(self, history: History, fact: Fact) -> None:
        if isinstance(fact, Proposed | Judged | Failed):
            self._see(history[fact.trial])

    def _see(self, trial: Trial) -> None:
        if trial.state in (State.STOPPED, State.DIVERGED, State.FAILED):
            self.trials.pop(trial.number, None)
        else:
            self.trials[trial.number] = trial


SEARCHER = Pbt
SCHEDULER = Pbt
