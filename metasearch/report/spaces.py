"""What the searched parameters did: strategies against each other, importance, slices, all at once."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from metasearch.core.config import STRATEGY, Value
from metasearch.core.history import History, Trial
from metasearch.report.figures import Figure, able, figure, short

LEAST_TRIALS = 10
"""Fewer trials than these say nothing about a parameter."""

MOST_SLICES = 12
MOST_AXES = 12


def searched(trials: Sequence[Trial]) -> list[str]:
    """The parameters that have more than one value among ``trials``."""
    values: dict[str, set[Value]] = {}
    for trial in trials:
        for name, value in trial.config.items():
            values.setdefault(name, set()).add(value)
    return sorted(name for name, seen in values.items() if len(seen) > 1)


def strategies(history: History) -> Figure | None:
    """Median of what the trials reached for each pair of options of two parts of the strategy; None if there are no two to compare.

    The parts are the two with most options that were tried.
    """
    trials = able(history)
    options = {part: sorted({str(t.config[part]) for t in trials if part in t.config}) for part in STRATEGY}
    first, second = sorted((part for part in STRATEGY), key=lambda part: -len(options[part]))[:2]
    if len(options[second]) < 2:
        return None
    task = history.sweep.task
    reached: dict[tuple[str, str], list[float]] = {}
    for trial in trials:
        if first in trial.config and second in trial.config:
            reached.setdefault((str(trial.config[first]), str(trial.config[second])), []).append(task.value(trial.best_loss))
    cells = [[reached.get((column, row), []) for column in options[first]] for row in options[second]]
    data = {
        "type": "heatmap",
        "x": options[first],
        "y": options[second],
        "z": [[short(statistics.median(cell)) if cell else None for cell in row] for row in cells],
        "text": [[f"{len(cell)} trials" if cell else "" for cell in row] for row in cells],
        "texttemplate": "%{z:.4g}<br>%{text}",
        "colorscale": "Viridis",
        "reversescale": task.better == "lower",
    }
    return figure([data], first, second)


def importances(history: History) -> dict[str, float]:
    """The share of each parameter in what tells the best tenth of the trials from the others: PED-ANOVA (Watanabe et al., 2023,
    equation 16), as Optuna computes it, over the trials that have the parameter; they sum to 1. Empty if trials are too few.
    """
    trials = able(history)
    found = {name: _importance(name, [trial for trial in trials if name in trial.config]) for name in searched(trials)}
    known = {name: share for name, share in found.items() if share is not None}
    total = sum(known.values())
    return {name: share / total for name, share in sorted(known.items(), key=lambda item: -item[1])} if total > 0 else {}


def _importance(name: str, trials: Sequence[Trial]) -> float | None:
    if len(trials) < LEAST_TRIALS:
        return None
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator

    values = [_axis_value(trial.config[name]) for trial in trials]
    if len(set(values)) < 2:
        return None
    distribution = _distribution(values, name)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # else it tells of every study
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    for trial, value in zip(trials, values, strict=True):
        study.add_trial(optuna.trial.create_trial(value=trial.best_loss, params={name: value}, distributions={name: distribution}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is marked experimental
        return float(PedAnovaImportanceEvaluator().evaluate(study, params=[name])[name])


def _distribution(values: Sequence[Any], name: str) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if any(isinstance(value, str) for value in values):
        return CategoricalDistribution(sorted(set(values)))
    return FloatDistribution(min(values), max(values), log=is_log(values))


def is_log(values: Sequence[float]) -> bool:
    """Do numbers span so much that only their logarithm is worth showing?"""
    return min(values) > 0 and max(values) / min(values) > 20


def _axis_value(value: Value) -> float | str:
    return str(value) if isinstance(value, bool | str) else float(value)


def importance(shares: Mapping[str, float]) -> Figure | None:
    """``shares``: what ``importances`` gives."""
    if not shares:
        return None
    names = list(shares)[::-1]
    bars = {"type": "bar", "orientation": "h", "y": names, "x": [short(shares[name]) for name in names]}
    return figure([{**bars, "marker": {"color": "#3b82c4"}}], "share of importance", "", height=120 + 22 * len(names))


def slices(history: History, shares: Mapping[str, float]) -> list[Figure]:
    """The metric against each of the most important parameters, one point for each trial."""
    trials = able(history)
    names = (list(shares) or searched(trials))[:MOST_SLICES]
    return [_slice(name, [trial for trial in trials if name in trial.config], history) for name in names]


def _slice(name: str, trials: Sequence[Trial], history: History) -> Figure:
    values = [_axis_value(trial.config[name]) for trial in trials]
    numbers = [value for value in values if not isinstance(value, str)]
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": values,
        "y": [short(history.sweep.task.value(trial.best_loss)) for trial in trials],
        "text": [f"trial {trial.number}" for trial in trials],
        "marker": {"color": [trial.number for trial in trials], "colorscale": "Viridis", "size": 6},
    }
    drawn = figure([points], name, history.sweep.task.metric, height=280)
    drawn["layout"]["xaxis"]["type"] = ("log" if is_log(numbers) else "linear") if len(numbers) == len(values) else "category"
    return drawn


def parallel(history: History, shares: Mapping[str, float]) -> Figure | None:
    """Parallel coordinates of the trials over the parameters that all of them have, coloured by the metric."""
    trials = able(history)
    shared = [name for name in searched(trials) if all(name in trial.config for trial in trials)]
    if len(shared) < 2 or len(trials) < 2:
        return None
    ranked = [name for name in shares if name in shared] or shared
    task = history.sweep.task
    values = [short(task.value(trial.best_loss)) for trial in trials]
    axes = [_axis(name, [_axis_value(trial.config[name]) for trial in trials]) for name in ranked[:MOST_AXES]]
    axes.append({"label": task.metric, "values": values})
    line = {"color": values, "colorscale": "Viridis", "reversescale": task.better == "lower", "showscale": True}
    return {"data": [{"type": "parcoords", "dimensions": axes, "line": line}], "layout": {"height": 460}}


def _axis(name: str, values: Sequence[Any]) -> dict[str, Any]:
    if any(isinstance(value, str) for value in values):
        options = sorted(set(map(str, values)))
        ticks = list(range(len(options)))
        return {"label": name, "values": [options.index(str(v)) for v in values], "tickvals": ticks, "ticktext": options}
    if is_log(values):
        return {"label": f"log10 {name}", "values": [short(math.log10(value)) for value in values]}
    return {"label": name, "values": [short(value) for value in values]}
