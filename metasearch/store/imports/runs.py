"""The trials of a sweep as the runs that experiment trackers know: parameters, metrics by step, and how it ended."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from metasearch.core.config import Value
from metasearch.core.errors import UserError
from metasearch.core.event import Fact, Reported
from metasearch.core.history import History, State


@dataclass(frozen=True)
class Measured:
    """What was reported at one step, the task's metric by its own name and sign. Numbers that are not finite are left out."""

    step: int
    time: float
    values: dict[str, float]


@dataclass(frozen=True)
class Run:
    """One trial that has ended or waits. ``best``: its best value of ``metric``, None if it has none. ``about``: all else."""

    name: str
    metric: str
    config: dict[str, Value]
    about: dict[str, Any]
    started: float
    ended: float
    failed: bool
    best: float | None
    points: list[Measured] = field(default_factory=list)


def runs_of(facts: Iterable[Fact]) -> list[Run]:
    """The trials of a sweep; those that run are left out. Raises UserError if none is left."""
    facts = list(facts)
    history = History.fold(facts)
    task = history.sweep.task
    runs: dict[int, Run] = {}
    for trial in history:
        if trial.state not in (State.RUNNING, State.INTERRUPTED):
            about = {"sweep": history.sweep.name, "task": task.name, "trial": trial.number, "state": trial.state.value}
            about |= {"strategy": trial.config.strategy, "origin": trial.origin, "seed": trial.seed, "reason": trial.verdict.reason}
            best = task.sign * trial.best_loss if math.isfinite(trial.best_loss) else None
            failed = trial.state is State.FAILED
            name = f"{history.sweep.name}-{trial.number:04d}"
            runs[trial.number] = Run(name, task.metric, dict(trial.config), about, trial.first_time, trial.last_time, failed, best)
    for fact in facts:
        if isinstance(fact, Reported) and fact.trial in runs:
            values = {**fact.metrics, task.metric: task.sign * fact.loss, "training_seconds": fact.seconds}
            finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
            runs[fact.trial].points.append(Measured(fact.step, fact.time, finite))
    if not runs:
        raise UserError(f"The sweep {history.sweep.name} has no trial that has ended yet.")
    return list(runs.values())


def tracker(module: str, extra: str) -> Any:
    """The package of a tracker. Raises UserError with the command that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(f"This needs the package {module} ({error}): pip install 'metasearch[{extra}]'") from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``path`` when all is written. Raises UserError if there is something already."""
    if path.exists():
        raise UserError(f"{path} is there already. Remove it, or name another folder.")
    draft = path.with_name(f".{path.name}.tmp")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        draft.rename(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}. Name another folder.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
