"""A sweep as a study of an Optuna storage, so that ``optuna-dashboard`` and Optuna's own plots show it."""

from __future__ import annotations

import datetime
import math
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from metasearch.core.config import Value
from metasearch.core.domains import Choice, Domain, Float, Int
from metasearch.core.errors import UserError
from metasearch.core.history import History, State, Trial

_STATES = {State.COMPLETED: TrialState.COMPLETE, State.STOPPED: TrialState.PRUNED, State.PAUSED: TrialState.PRUNED}


def export_study(history: History, storage: str, name: str | None = None) -> int:
    """Adds the trials of a sweep as the study ``name``; how many. ``storage``: a URL, or the path of an SQLite or a journal file.

    Trials that run are left out; diverged ones become failed. Raises UserError if the storage has a study of that name.
    """
    name = name or history.sweep.name
    sign = history.sweep.task.sign
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls its journal experimental
        opened = _storage(storage)
        if any(study.study_name == name for study in opened.get_all_studies()):
            raise UserError(f"The storage {storage} already has a study {name}. Give this one another name: --name …")
        study = optuna.create_study(storage=opened, study_name=name, direction="maximize" if sign < 0 else "minimize")
        study.set_metric_names([history.sweep.task.metric])
        study.set_user_attr("task", history.sweep.task.name)
        trials = [_frozen(trial, history, sign) for trial in history if trial.state not in (State.RUNNING, State.INTERRUPTED)]
        study.add_trials(trials)
    if isinstance(opened, RDBStorage):
        opened.engine.dispose()
    return len(trials)


def _storage(storage: str) -> BaseStorage:
    path = Path(storage)
    if "://" not in storage and not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent} for the storage {storage}.")
    if "://" in storage or path.suffix in (".db", ".sqlite", ".sqlite3"):
        return RDBStorage(storage if "://" in storage else f"sqlite:///{storage}")
    if path.suffix not in (".log", ".journal"):
        raise UserError(f"An Optuna storage is a URL, a file .db or .sqlite, or a journal .log or .journal; found {storage}.")
    return JournalStorage(JournalFileBackend(storage))


def _frozen(trial: Trial, history: History, sign: float) -> FrozenTrial:
    distributions = {
        p.name: distribution
        for p in history.sweep.space.open_parameters(trial.config)
        if p.name in trial.config and (distribution := _distribution(p.domain, trial.config[p.name])) is not None
    }
    state = _STATES.get(trial.state, TrialState.FAIL)
    if state is TrialState.PRUNED and not trial.steps:
        state = TrialState.FAIL
    frozen = create_trial(
        state=state,
        value=sign * trial.loss if state is TrialState.COMPLETE else None,
        params={name: trial.config[name] for name in distributions},
        distributions=distributions,
        intermediate_values={s: sign * x for s, x in zip(trial.steps, trial.losses, strict=True) if math.isfinite(x)},
        user_attrs=_attributes(trial),
    )
    frozen.datetime_start = datetime.datetime.fromtimestamp(trial.first_time)
    frozen.datetime_complete = datetime.datetime.fromtimestamp(trial.last_time)
    return frozen


def _attributes(trial: Trial) -> dict[str, Any]:
    about = {"state": trial.state.value, "strategy": trial.config.strategy, "origin": trial.origin, "reason": trial.verdict.reason}
    return {**about, "trial": trial.number, "seed": trial.seed, "seconds": trial.seconds, "errors": trial.errors}


def _distribution(domain: Domain, value: Value) -> BaseDistribution | None:
    """In the parameter's own values, for people to read; a value that the range no longer allows is left out."""
    if domain.fault(value) is not None:
        return None
    if isinstance(domain, Float):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    if isinstance(domain, Int):
        return IntDistribution(domain.low, domain.high, log=domain.log)
    options = domain.options if isinstance(domain, Choice) else (False, True) if isinstance(value, bool) else (value,)
    return CategoricalDistribution(options)
