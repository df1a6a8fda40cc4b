"""The meta-selector in anyone's Optuna study, define-by-run.

    sampler = MetaSampler(store="./store")
    study = optuna.create_study(sampler=sampler, pruner=MetaPruner(sampler))

The sampler knows every sweep of the store before its first trial. A study is folded to a history for each decision, so that it may
be shared between processes, resumed, or begun with another sampler: nothing is remembered but what Optuna records.

Nobody tells a define-by-run study's conditions. Where a parameter was asked for under some options of another and never under the
rest, that is taken for its condition; where nothing explains why it is missing, its default stands in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtr

from metasearch.core.config import Config, Value
from metasearch.core.domains import Choice, Domain, Fixed, Float, Int
from metasearch.core.errors import UserError
from metasearch.core.event import Action, Fact, Failed, Judged, Opened, Proposed, Reported, TrialId
from metasearch.core.history import COMPLETED, DIVERGED, History
from metasearch.core.rng import derive, derive_seed
from metasearch.core.space import Parameter, Space, When
from metasearch.core.sweep import Sweep
from metasearch.core.task import Task
from metasearch.meta.selector import Selector, belief_on_ends
from metasearch.store.archive import Store
from metasearch.sweep import learned

__all__ = ["MetaPruner", "MetaSampler"]

ORIGIN = "metasearch:origin"
"""The system attribute of a trial that says which arm of the meta-selector proposed it."""

META = {"searcher": "meta", "scheduler": "meta"}

LEAST_CHANCE = 0.05
STARTUP_TRIALS = 5


class MetaSampler(BaseSampler):
    """``store``: whose sweeps are known beforehand; without one, or with an empty one, the study alone is learned from.

    ``metric``: what the objective's value is called. ``descriptor``: numbers that describe the task, to be compared with those of
    the store's tasks. ``exclude``: sweeps not to be learned from, such as an import of this very study.
    """

    def __init__(
        self,
        store: str | Store | None = None,
        *,
        metric: str = "loss",
        descriptor: Mapping[str, float] | None = None,
        exclude: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        self.selector = _selector(Store(store) if isinstance(store, str) else store, exclude)
        self._metric, self._descriptor, self._seed = metric, dict(descriptor or {}), seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every parameter that any trial of the study had, with its newest distribution."""
        _check(study)
        found: dict[str, BaseDistribution] = {}
        for known in study.get_trials(deepcopy=False):
            found |= known.distributions
        return {name: found[name] for name in sorted(found) if not found[name].single()}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """All parameters at once; those that the objective does not ask for this time are ignored."""
        if not search_space:
            return {}
        config = self._proposed(study, trial, {name: domain_of(d) for name, d in search_space.items()})
        return {name: original(distribution, config[name]) for name, distribution in search_space.items() if name in config}

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """A parameter that is met for the first time: chosen given those that this trial has already."""
        given: dict[str, Domain] = {name: Fixed(_plain(value)) for name, value in trial.params.items()}
        config = self._proposed(study, trial, {**given, param_name: domain_of(param_distribution)}, param_name)
        return original(param_distribution, config[param_name])

    def history(
        self, study: Study, domains: Mapping[str, Domain], trials: Sequence[FrozenTrial], seed: int = 0, asked: str | None = None
    ) -> History:
        """What ``trials`` say of the study, as a sweep over ``domains``, of which ``asked`` exists without any condition.

        Raises ValueError for several objectives, as Optuna's own samplers do.
        """
        _check(study)
        mode = "max" if study.direction is StudyDirection.MAXIMIZE else "min"
        source = {"name": study.study_name, "mode": mode}
        task = Task(study.study_name, "own", self._metric, source=source, descriptor=self._descriptor)
        space = space_of(domains, trials, asked)
        steps = [step for trial in trials for step in trial.intermediate_values]
        first = 1 if min(steps, default=1) < 1 else 0
        horizon = max(max(steps, default=1) + first, 1)
        sweep = Sweep(study.study_name, task, space, horizon, seed=seed, max_failures=0)
        facts: list[Fact] = [Opened(0.0, sweep.record())]
        for number, trial in enumerate(trials):
            facts += _facts(TrialId(number), trial, _config(trial, space), task.sign, horizon, first)
        return History.fold(facts)

    def _proposed(self, study: Study, trial: FrozenTrial, domains: Mapping[str, Domain], asked: str | None = None) -> Config:
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number and t.params]
        # A stream of its own for every trial, so that processes that see the same history do not propose the same.
        history = self.history(study, domains, others, derive_seed(self._seed, "trial", trial.number) % 2**31, asked)
        rng = derive(self._seed, "propose", trial.number, len(trial.params))
        proposal = self.selector.propose(history, rng)
        if proposal is None:  # every config of a small space was tried
            return history.sweep.space.sample(rng)
        if ORIGIN not in trial.system_attrs:
            study._storage.set_trial_system_attr(trial._trial_id, ORIGIN, proposal.origin)
        return proposal.config


class MetaPruner(BasePruner):
    """Prunes a trial once it is improbable that its end will be the best of the study, judged by its curve, by the others, and by
    what curves of earlier tasks did.

    ``least_chance``: prunes below this probability. ``startup_trials``: so many must have completed before anything is pruned.
    """

    def __init__(self, sampler: MetaSampler, *, least_chance: float = LEAST_CHANCE, startup_trials: int = STARTUP_TRIALS) -> None:
        if not 0 <= least_chance < 1:
            raise UserError(f"least_chance must be from 0 up to, but not, 1, found {least_chance}.")
        self.sampler, self.least_chance, self.startup_trials = sampler, least_chance, startup_trials

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        known = study.get_trials(deepcopy=False)
        complete = [t for t in known if t.state is TrialState.COMPLETE]
        if not trial.intermediate_values or not trial.params or len(complete) < self.startup_trials:
            return False
        if not math.isfinite(trial.intermediate_values[max(trial.intermediate_values)]):
            return True
        others = [t for t in known if t.number != trial.number and t.params]
        domains = {name: domain_of(d) for t in [*others, trial] for name, d in t.distributions.items()}
        history = self.sampler.history(study, domains, [*others, trial])
        belief, *_ = belief_on_ends(self.sampler.selector, history)
        rows = np.array([t.number for t in history if t.steps][-len(belief.mean) :])
        ended = np.array([history[int(number)].ended for number in rows])
        if not ended.any():
            return False
        best = belief.mean[ended].max()
        return bool(ndtr((belief.mean[-1] - best) / belief.deviation[-1]) < self.least_chance)


def _selector(store: Store | None, exclude: Sequence[str]) -> Selector:
    """What the store teaches, kept there so that the next sampler begins at once; without sweeps, one that knows nothing."""
    if store is None or not set(store.sweeps()) - set(exclude):
        return cast(Selector, learned.foreseen(META, None).searcher)
    card = learned.prepared(store, learned.SELECTOR, exclude, kind="")
    return cast(Selector, learned.algorithms(META, store, {card.part: card.digest}).searcher)


def _check(study: Study) -> None:
    if len(study.directions) > 1:
        raise ValueError(f"The study {study.study_name} has several objectives; MetaSampler and MetaPruner need one.")


def space_of(domains: Mapping[str, Domain], trials: Sequence[FrozenTrial], asked: str | None = None) -> Space:
    """The space of ``domains``, with the conditions that the trials which asked for all their parameters let one infer."""
    whole = [trial.params for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    often = {name: sum(name in params for params in whole) for name in domains}
    order = sorted(domains, key=lambda name: (-often[name], name))  # whatever opens a parameter is there at least as often
    parameters = []
    for position, name in enumerate(order):
        conditional = name != asked and 0 < often[name] < len(whole)
        found = (_condition(name, parent, domains[parent], whole) for parent in order[:position]) if conditional else iter(())
        parameters.append(Parameter(name, domains[name], next((when for when in found if when), {})))
    return Space(tuple(parameters))


def _condition(name: str, parent: str, domain: Domain, whole: Sequence[Mapping[str, Any]]) -> When:
    """Under which options of ``parent`` the parameter exists, if it never did under the others; else empty."""
    if not isinstance(domain, Choice):
        return {}
    opening = {_plain(params[parent]) if parent in params else None for params in whole if name in params}
    closing = {_plain(params[parent]) for params in whole if name not in params and parent in params}
    allowed = tuple(option for option in domain.options if option not in closing)
    return {parent: allowed} if allowed and None not in opening and not opening & closing else {}


def _config(trial: FrozenTrial, space: Space) -> Config:
    """What the trial has, and the defaults of what it should have."""
    values = {name: _plain(value) for name, value in trial.params.items()}
    for parameter in space:
        if parameter.name not in values and parameter.open_in(values):
            values[parameter.name] = parameter.domain.default
    return Config(values)


def domain_of(distribution: BaseDistribution) -> Domain:
    """Our domain for a distribution of Optuna. Options of a choice that are no plain values stand for themselves as text."""
    if distribution.single():
        return Fixed(_plain(_only(distribution)))
    if isinstance(distribution, FloatDistribution):
        return Float(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
    if isinstance(distribution, IntDistribution):
        return Int(distribution.low, distribution.high, log=distribution.log, step=None if distribution.log else distribution.step)
    assert isinstance(distribution, CategoricalDistribution)
    return Choice(tuple(_plain(option) for option in distribution.choices))


def original(distribution: BaseDistribution, value: Value) -> Any:
    """The value of ``distribution`` that ours stands for."""
    if isinstance(distribution, CategoricalDistribution):
        return next(option for option in distribution.choices if _plain(option) == value and type(_plain(option)) is type(value))
    return value


def _only(distribution: BaseDistribution) -> Any:
    return distribution.choices[0] if isinstance(distribution, CategoricalDistribution) else cast(Any, distribution).low


def _plain(value: Any) -> Value:
    return value if isinstance(value, bool | int | float | str) else str(value)


def _facts(number: TrialId, trial: FrozenTrial, config: Config, sign: float, horizon: int, first: int) -> Iterator[Fact]:
    """A trial as a sweep would have logged it; its value is that of its last step."""
    yield Proposed(0.0, number, config, 0, trial.system_attrs.get(ORIGIN, "optuna"))
    values = {step + first: value for step, value in sorted(trial.intermediate_values.items())}
    if trial.state is TrialState.COMPLETE:
        values[max(values, default=horizon)] = cast(float, trial.value)
    seconds = trial.duration.total_seconds() if trial.duration is not None else 0.0
    for position, (step, value) in enumerate(values.items()):
        loss = sign * value if math.isfinite(value) else math.inf
        yield Reported(0.0, number, 0, step, loss, seconds * (position + 1) / len(values))
        if loss == math.inf:
            yield Judged(0.0, number, step, Action.STOP, DIVERGED)
            return
    if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and values:
        reason = COMPLETED if trial.state is TrialState.COMPLETE else "pruned"
        yield Judged(0.0, number, max(values), Action.STOP, reason)
    elif trial.state.is_finished():
        yield Failed(0.0, number, 0, "failed")
