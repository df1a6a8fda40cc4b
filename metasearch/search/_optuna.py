"""Optuna's samplers over our history: the history as an Optuna study, a space as Optuna's distributions.

A sampler is made anew for every proposal and seeded from the proposal's own stream, and the study follows from the history, so a
resumed sweep proposes what an uninterrupted one would.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from metasearch.core.config import Config, Value
from metasearch.core.domains import Boolean, Choice, Domain, Float, Int
from metasearch.core.event import Fact, Failed, Judged, Proposed, Thawed
from metasearch.core.history import History, State, Trial
from metasearch.core.space import Parameter

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Outcome:
    """What Optuna is told of a trial that does not run: its state, its value, its intermediate values by step."""

    state: TrialState
    value: float | None = None
    intermediate: dict[int, float] = field(default_factory=dict)


class Study:
    """View: an in-memory Optuna study in which running and interrupted trials are RUNNING and all others as ``outcome`` says.

    What Optuna was told cannot be taken back; once a paused trial is thawed, the study is made anew when it is next needed.
    """

    def __init__(self, history: History, outcome: Callable[[Trial], Outcome]) -> None:
        self._outcome = outcome
        self._stale = False
        parameters = history.sweep.space.parameters
        self._domains = [(p, _distinct_name(p, k, parameters), _distribution(p.domain)) for k, p in enumerate(parameters)]
        self._build(history)

    def update(self, history: History, fact: Fact) -> None:
        if self._stale:
            return
        if isinstance(fact, Proposed):
            self._add(history[fact.trial])
        elif isinstance(fact, Judged | Failed):
            self._tell(history[fact.trial])
        elif isinstance(fact, Thawed):
            self._stale = fact.trial in self._told

    def sample(self, sampler: BaseSampler) -> Config:
        """The sampler's next config: open parameters are suggested one by one, in the order of the space."""
        values: dict[str, Value] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the GP warns of every infinite value that it clips
            self._study.sampler = sampler
            asked = self._study.ask()
            for parameter, name, distribution in self._domains:
                if parameter.open_in(values):
                    code = None if distribution is None else _suggest(asked, name, distribution)
                    values[parameter.name] = _value(parameter.domain, code)
            # Samplers ignore failed trials: this one leaves no trace, and the trial itself comes back as a fact.
            self._study.tell(asked, state=TrialState.FAIL)
        return Config(values)

    def refreshed(self, history: History) -> Study:
        """This study, made anew if it is out of date."""
        if self._stale:
            self._build(history)
        return self

    @property
    def outcomes(self) -> int:
        """How many trials Optuna was told of."""
        return len(self._told)

    def _build(self, history: History) -> None:
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(storage=self._storage)
        self._ids: list[int] = []
        self._told: set[int] = set()
        self._stale = False
        for trial in history:
            self._add(trial)
            self._tell(trial)

    def _add(self, trial: Trial) -> None:
        """Values that an amended space no longer allows are left out."""
        codes: dict[str, Any] = {}
        distributions: dict[str, BaseDistribution] = {}
        for parameter, name, distribution in self._domains:
            value = trial.config.get(parameter.name)
            if distribution is None or value is None or not parameter.open_in(trial.config):
                continue
            if parameter.domain.fault(value) is None:
                codes[name], distributions[name] = _code(parameter.domain, value), distribution
        template = create_trial(state=TrialState.RUNNING, params=codes, distributions=distributions)
        self._ids.append(self._storage.create_new_trial(self._study._study_id, template_trial=template))

    def _tell(self, trial: Trial) -> None:
        if trial.state in (State.RUNNING, State.INTERRUPTED):
            return
        optuna_id, outcome = self._ids[trial.number], self._outcome(trial)
        for step, loss in outcome.intermediate.items():
            self._storage.set_trial_intermediate_value(optuna_id, step, loss)
        values = None if outcome.value is None else [outcome.value]
        self._storage.set_trial_state_values(optuna_id, outcome.state, values)
        self._told.add(trial.number)


def _distinct_name(parameter: Parameter, position: int, parameters: Sequence[Parameter]) -> str:
    """Optuna wants one distribution per name, a space may have several."""
    alone = sum(other.name == parameter.name for other in parameters) == 1
    return parameter.name if alone else f"{parameter.name}#{position}"


def _distribution(domain: Domain) -> BaseDistribution | None:
    """None if there is nothing to choose. Floats are searched in their scale, in which Optuna knows no complement."""
    if isinstance(domain, Float):
        return FloatDistribution(domain.scale.encode(domain.low), domain.scale.encode(domain.high))
    if isinstance(domain, Int) and domain.log:
        return IntDistribution(domain.low, domain.high, log=True)
    if isinstance(domain, Int):
        return IntDistribution(domain.low, domain.nearest(domain.high), step=domain.step or 1)
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.options)
    return CategoricalDistribution((False, True)) if isinstance(domain, Boolean) else None


def _suggest(asked: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, FloatDistribution):
        return asked.suggest_float(name, distribution.low, distribution.high)
    if isinstance(distribution, IntDistribution):
        return asked.suggest_int(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, CategoricalDistribution)
    return asked.suggest_categorical(name, distribution.choices)


def _code(domain: Domain, value: Any) -> Any:
    if isinstance(domain, Int) and not domain.log:
        return domain.nearest(value)  # Optuna refuses numbers between the steps
    return domain.scale.encode(value) if isinstance(domain, Float) else value


def _value(domain: Domain, code: Any) -> Value:
    if isinstance(domain, Float):
        return domain.nearest(domain.scale.decode(code))
    if isinstance(domain, Int):
        return domain.nearest(code)
    return domain.default if code is None else code
