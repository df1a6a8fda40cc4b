"""Results from before metasearch, and the facts that they become."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from metasearch.core.config import Config, Value
from metasearch.core.errors import UserError
from metasearch.core.event import Action, Closed, Fact, Failed, Judged, Opened, Proposed, Reported, TrialId
from metasearch.core.history import COMPLETED, DIVERGED, State
from metasearch.core.scales import Scale
from metasearch.core.sweep import Sweep
from metasearch.core.task import OWN, Task
from metasearch.store.archive import Store
from metasearch.store.tables import space_of

"""The kind of their task: that of a sweep over one's own training, so that both are one task if they name the same one."""


@dataclass(frozen=True)
class Point:
    """One value of the metric, as it was measured. ``seconds``: training time so far, 0 if unknown."""

    step: int
    value: float
    seconds: float = 0.0


@dataclass(frozen=True)
class EarlierTrial:
    """``label``: what it was called. ``state``: completed, stopped or failed; whoever diverged shows it in the last value."""

    label: str
    config: Mapping[str, Value]
    points: Sequence[Point]
    state: State = State.COMPLETED
    error: str = ""


@dataclass(frozen=True)
class Results:
    """The trials of one study. ``refused``: what cannot be imported, each with its reason. ``scales``: those on which numbers were
    searched, where the source says so and it is not the linear one.
    """

    source: str
    name: str
    trials: Sequence[EarlierTrial]
    refused: Sequence[str] = ()
    mode: str = "min"
    scales: Mapping[str, Scale] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskAs:
    """What the imported trials learned, as a sweep over one's own training would say it."""

    name: str
    metric: str = "loss"
    mode: str = "min"
    unit: str = "steps"
    descriptor: Mapping[str, float] = field(default_factory=dict)

    def task(self) -> Task:
        source = {"name": self.name, "mode": self.mode}
        return Task(self.name, OWN, self.metric, self.unit, source, descriptor=dict(self.descriptor))


def write(store: Store, logs: Mapping[str, Sequence[Fact]]) -> None:
    """Writes each sweep's whole log in one append. Raises UserError, with nothing written, if a sweep is there already."""
    known = sorted(set(logs) & set(store.sweeps()))
    if known:
        raise UserError(f"The store {store.url} already has a sweep {known[0]}. Give this one another name: --name …")
    for name, facts in logs.items():
        with store.open_log(name) as log:
            log.append(facts)


def as_facts(results: Results, task: TaskAs, name: str, now: float, *, skip: bool = False) -> tuple[Sweep, list[Fact]]:
    """The sweep and its whole log; writes nothing."""
    checked = [(trial, faults_of(trial)) for trial in results.trials]
    refused = [*results.refused, *(f"{trial.label}: {', '.join(faults)}" for trial, faults in checked if faults)]
    whole = _shifted([trial for trial, faults in checked if not faults])
    if refused and not skip:
        raise UserError(
            f"{len(refused)} of {len(refused) + len(whole)} trials of {results.source} cannot be imported. Nothing was written. "
            "Mend them, or leave them out with --skip:",
            refused,
        )
    if not whole:
        raise UserError(f"There is nothing to import from {results.source}.", refused)
    space = space_of([Config(trial.config) for trial in whole], results.scales)
    horizon = max((point.step for trial in whole for point in trial.points), default=1)
    sweep = Sweep(name, task.task(), type(space)(space.parameters), horizon, reports=min(horizon, 10), max_failures=0)
    environment = {"imported": {"source": results.source, "trials": len(whole), "left out": refused}}
    facts: list[Fact] = [Opened(now, sweep.record(), environment)]
    for number, trial in enumerate(whole):
        facts += _facts(TrialId(number), trial, sweep.task.sign, now)
    return sweep, [*facts, Closed(now, f"imported from {results.source}")]


def faults_of(trial: EarlierTrial) -> list[str]:
    """Everything that keeps a trial from being one of ours."""
    faults = [] if trial.config else ["it has no parameters"]
    for name, value in trial.config.items():
        if not isinstance(value, str | bool | int | float) or (isinstance(value, float) and not math.isfinite(value)):
            faults.append(f'parameter "{name}": expected a finite number, true, false or text, found {value!r}')
    if not trial.points and trial.state is not State.FAILED:
        faults.append("it has no value of the metric")
    steps = [point.step for point in trial.points]
    if any(later <= earlier for earlier, later in pairwise(steps)) or min(steps, default=0) < 0:
        faults.append(f"its steps must be whole numbers from 0 that grow, found {', '.join(map(str, steps[:8]))}")
    return faults


def sweep_name(text: str) -> str:
    """What a sweep may be called, made of whatever a study was called."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:100] or "imported"


def _shifted(trials: Sequence[EarlierTrial]) -> list[EarlierTrial]:
    """Steps that are counted from 0 are counted from 1, those of all trials alike: a step is what was trained before the report."""
    if not any(point.step == 0 for trial in trials for point in trial.points):
        return list(trials)
    return [
        EarlierTrial(t.label, t.config, [Point(p.step + 1, p.value, p.seconds) for p in t.points], t.state, t.error) for t in trials
    ]


def _facts(number: TrialId, trial: EarlierTrial, sign: float, now: float) -> Iterator[Fact]:
    yield Proposed(now, number, Config(trial.config), 0, "imported", trial.label)
    for point in trial.points:
        finite = math.isfinite(point.value)
        loss = sign * point.value if finite else math.inf
        yield Reported(now, number, 0, point.step, loss, point.seconds, {}, last=point is trial.points[-1])
        if not finite:
            yield Judged(now, number, point.step, Action.STOP, DIVERGED)
            return
    if trial.state is State.FAILED:
        yield Failed(now, number, 0, trial.error or "failed", trial.error)
    else:
        reason = COMPLETED if trial.state is State.COMPLETED else trial.error or "stopped early"
        yield Judged(now, number, trial.points[-1].step, Action.STOP, reason)


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configs by dotted names; lists as text; None, as a choice may be, as the text none."""
    found: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            found[f"{prefix}{name}"] = ", ".join(map(str, value))
        else:
            found[f"{prefix}{name}"] = "none" if value is None else value
    return found
