"""The archive of a store: every sweep as the learned parts read it, taken from the kept views and not from the logs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.domains import Float, Int
from metasearch.core.errors import UserError
from metasearch.core.event import Directive
from metasearch.core.history import State
from metasearch.core.scales import Scale
from metasearch.core.space import Space
from metasearch.core.sweep import Sweep
from metasearch.store.files import Files
from metasearch.store.paths import StoreUnavailable
from metasearch.store.views import load_view

_POINT = ("step", "loss", "seconds", "lr")
_AT_ITS_END = (State.COMPLETED.value, State.DIVERGED.value)


@dataclass(frozen=True)
class _Part:
    """One sweep's share of the archive."""

    sweep: Sweep
    opened: float
    trials: tuple[PastTrial, ...]


def read_archive(files: Files, sweeps: Iterable[str]) -> Archive:
    """The trials of ``sweeps``, those of one task and horizon together, all in the order in which their sweeps were opened.

    Left out are trials without a report and trials that went on from another one's weights. A sweep that cannot be read is left
    out with a warning that names it. Raises StoreUnavailable if the store cannot be reached.
    """
    parts = [part for sweep in sweeps if (part := _read(files, sweep)) is not None and part.trials]
    by_task: dict[tuple[str, int], list[_Part]] = {}
    for part in sorted(parts, key=lambda part: (part.opened, part.sweep.name)):
        by_task.setdefault((part.sweep.task.id, part.sweep.horizon), []).append(part)
    return Archive(tuple(_merged(of_task) for of_task in by_task.values()))


def scales_of(spaces: Iterable[Space]) -> dict[str, Scale]:
    """The scale of every number that one of ``spaces`` searched; of several the last counts."""
    return {p.name: p.domain.scale for space in spaces for p in space if isinstance(p.domain, Float | Int)}


def _merged(parts: Sequence[_Part]) -> PastTask:
    """What a task is called and how it is described is as the newest of its sweeps has it."""
    task = parts[-1].sweep.task
    return PastTask(
        id=task.id,
        name=task.name,
        horizon=parts[-1].sweep.horizon,
        trials=tuple(trial for part in parts for trial in part.trials),
        names=frozenset(name for part in parts for name in part.sweep.space.names),
        descriptor=dict(task.descriptor),
        metric=task.metric,
        unit=task.unit,
    )


def _read(files: Files, sweep: str) -> _Part | None:
    """None, with a warning, if what lies there makes no sense to this metasearch."""
    try:
        row = load_view(files, sweep, "sweeps", ("opened", "record")).to_pylist()[0]
        asked = Sweep.from_record(json.loads(row["record"]))
        trials = load_view(files, sweep, "trials", ("trial", "state", "parent", "seed", "config"))
        curves = load_view(files, sweep, "curves", ("trial", *_POINT))
        directed = _directed(load_view(files, sweep, "decisions", ("trial", "step", "directive")))
        return _Part(asked, row["opened"], tuple(_past_trials(asked, trials, curves, directed)))
    except StoreUnavailable:
        raise
    except (UserError, pa.ArrowException, LookupError, TypeError, ValueError, AssertionError) as error:
        reason = error if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        warnings.warn(f"The sweep {sweep} cannot be read and is left out: {reason}", stacklevel=3)
        return None


def _directed(decisions: pa.Table) -> dict[int, dict[int, Directive]]:
    """What every trial was told, by the step at which."""
    found: dict[int, dict[int, Directive]] = {}
    for row in decisions.filter(pc.is_valid(decisions["directive"])).to_pylist():
        found.setdefault(row["trial"], {})[row["step"]] = Directive(**json.loads(row["directive"]))
    return found


def _past_trials(
    sweep: Sweep, trials: pa.Table, curves: pa.Table, directed: Mapping[int, Mapping[int, Directive]]
) -> Iterable[PastTrial]:
    points = _Points.of(curves)
    columns = [trials[name].to_pylist() for name in ("trial", "state", "parent", "seed", "config")]
    for number, state, parent, seed, text in zip(*columns, strict=True):
        curve = points.of_trial(number)
        if parent is None and curve is not None:
            config = Config(json.loads(text))
            steps, losses, seconds, lrs = curve
            code, ended, told = sweep.space.encode(config), state in _AT_ITS_END, directed.get(number, {})
            yield PastTrial(config, code, steps, losses, seconds, ended, seed, sweep.name, lrs, told)


@dataclass(frozen=True)
class _Points:
    """One entry per report, in the order of trials; those of one trial as they came."""

    trial: np.ndarray
    step: np.ndarray
    loss: np.ndarray
    seconds: np.ndarray
    lr: np.ndarray

    @staticmethod
    def of(curves: pa.Table) -> _Points:
        columns = [curves[name].to_numpy() for name in ("trial", *_POINT)]
        order = np.argsort(columns[0], kind="stable")
        return _Points(*(column[order] for column in columns))

    def of_trial(self, number: int) -> tuple[tuple[Any, ...], ...] | None:
        """Steps, losses, seconds and learning rates; None if there is no report. A loss that is not finite counts only if it is the
        last: from others the trial was sent back."""
        first, last = np.searchsorted(self.trial, (number, number + 1))
        if first == last:
            return None
        kept = np.isfinite(self.loss[first:last])
        kept[-1] = True
        return tuple(tuple(column[first:last][kept].tolist()) for column in (self.step, self.loss, self.seconds, self.lr))
