"""Recorded curves as tables to simulate over and as past tasks to learn from: published benchmarks, and our own views."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from metasearch.core.archive import PastTask, PastTrial
from metasearch.core.config import Config, Value
from metasearch.core.errors import UserError
from metasearch.core.recording import RecordedTable, Recording
from metasearch.core.scales import MEANING, Scale
from metasearch.core.space import Choice, Domain, Fixed, Float, Int, Parameter, Space
from metasearch.store.curve_file import CurveFile, scale_of


def table_tasks(path: str | os.PathLike[str]) -> list[str]:
    """The tasks of which a table holds curves, sorted."""
    return list(CurveFile.open(path).tasks)


def read_curve_table(path: str | os.PathLike[str], task: str) -> RecordedTable:
    """The curves of one task. Of several rows with equal parameters the first counts. Raises UserError for a faulty table."""
    file = CurveFile.open(path)
    recordings: dict[str, Recording] = {}
    for row in file.curves(task):
        if row.config.id not in recordings:
            recordings[row.config.id] = Recording(row.config, list(row.steps), list(row.losses), list(row.costs))
    return _table(task, recordings.values(), file.descriptors[task], file.scales)


def read_past_task(path: str | os.PathLike[str], task: str) -> PastTask:
    """The trials of one task of a table, every row one of its own. Its id is made of the file's name and the task's.

    Raises UserError as ``read_curve_table`` does.
    """
    return _past_task(CurveFile.open(path), task)


def recorded_table(
    task: str,
    trials: pa.Table,
    curves: pa.Table,
    descriptor: Mapping[str, float] | None = None,
    scales: Mapping[str, Scale] | None = None,
) -> RecordedTable:
    """The curves of the trials in ``trials`` (views of a store). Of several trials with one config the longest counts."""
    points: dict[tuple[str, int], list[tuple[int, float, float]]] = {}
    columns = [curves[name].to_pylist() for name in ("sweep", "trial", "step", "loss", "seconds")]
    for sweep, trial, step, loss, seconds in zip(*columns, strict=True):
        points.setdefault((sweep, trial), []).append((step, loss, seconds))
    recordings: dict[str, Recording] = {}
    for row in trials.select(("sweep", "trial", "config", "parent")).to_pylist():
        curve = points.get((row["sweep"], row["trial"]))
        if curve is None or row["parent"] is not None:
            continue  # nothing was reported, or the curve goes on from another config's weights
        steps, losses, seconds = map(list, zip(*curve, strict=True))
        recording = Recording(Config(json.loads(row["config"])), steps, losses, seconds)
        known = recordings.get(recording.config.id)
        if known is None or len(known.steps) < len(steps):
            recordings[recording.config.id] = recording
    return _table(task, recordings.values(), descriptor or {}, scales or {})


def space_of(configs: Sequence[Config], scales: Mapping[str, Scale] | None = None) -> Space:
    """A space whose candidates are ``configs``, with the narrowest domain for every parameter.

    ``scales``: on which scale a parameter's codes lie, where more is known about it than these configs tell.
    """
    names = sorted({name for config in configs for name in config})
    columns = {name: [config[name] for config in configs if name in config] for name in names}
    known = scales or {}
    return Space(tuple(Parameter(name, _domain(name, values, known.get(name))) for name, values in columns.items()), tuple(configs))


def _domain(name: str, values: Sequence[Value], known: Scale | None) -> Domain:
    distinct = tuple(dict.fromkeys(values))
    numbers = [value for value in distinct if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(distinct):
        return Choice(distinct) if len(distinct) > 1 else Fixed(distinct[0])
    low, high = min(numbers), max(numbers)
    scale = known or scale_of(name, numbers)
    log = low > 0 and (MEANING.get(name) is Scale.LOG or scale is Scale.LOG)
    complement = not log and scale is Scale.COMPLEMENT and high < 1
    if len(distinct) == 1 and (name in MEANING or not (log or complement)):
        return Fixed(low)  # its code is the same in every space
    if all(isinstance(number, int) for number in numbers):
        return Int(int(low), int(high), log=log)
    return Float(low, high, log=log, complement=complement)


def _table(
    task: str, recordings: Iterable[Recording], descriptor: Mapping[str, float], scales: Mapping[str, Scale]
) -> RecordedTable:
    by_id = {recording.config.id: recording for recording in recordings}
    if not by_id:
        raise UserError(f'No trial of task "{task}" has reported anything, so there is nothing to simulate over.')
    return RecordedTable(task, space_of([recording.config for recording in by_id.values()], scales), by_id, descriptor)


@lru_cache(maxsize=64)
def _past_task(file: CurveFile, task: str) -> PastTask:
    rows = file.curves(task)
    if not rows:
        raise UserError(f'No trial of task "{task}" in {file.path} has reported anything, so there is nothing to learn from.')
    space = space_of([row.config for row in rows], file.scales)
    trials = [PastTrial(r.config, space.encode(r.config), r.steps, r.losses, r.costs, seed=r.seed) for r in rows]
    name = Path(file.path).name
    return PastTask(
        id=hashlib.blake2b(f"{name}\x1f{task}".encode(), digest_size=6).hexdigest(),
        name=task,
        horizon=max(trial.steps[-1] for trial in trials),
        trials=tuple(trials),
        names=frozenset(space.names),
        descriptor=file.descriptors[task],
        unit="steps",
    )
