"""Recorded curves as tables: the shared layout of published benchmarks, and our own views.

A table has one row per trial: ``task``, ``config_id``, one column ``hp_<name>`` per parameter (null: the config lacks it) and
``curve``, the losses in order. Optional are ``step`` (list; else 1, 2, 3 …), ``cost`` (list of seconds or whatever the benchmark
counts, cumulative or per point), ``cost_per_step`` (the cost of each point, where there is no list) and ``diverged``.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metasearch.core.config import Config, Value
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.recording import RecordedTable, Recording
from metasearch.core.scales import MEANING, Scale
from metasearch.core.space import Choice, Domain, Fixed, Float, Int, Parameter, Space

_REQUIRED = ("task", "config_id", "curve")
_LOG_RATIO = 100.0
"""A positive number that spans at least this ratio is compared by decades."""


def table_tasks(path: str | os.PathLike[str]) -> list[str]:
    """The tasks of which a table holds curves, sorted."""
    return sorted(pc.unique(_open(path).read(columns=["task"])["task"]).to_pylist())


def read_curve_table(path: str | os.PathLike[str], task: str) -> RecordedTable:
    """The curves of one task. Of several rows with equal parameters the first counts. Raises UserError for a faulty table."""
    rows = _open(path).read()
    cumulative = _is_cumulative(rows["cost"]) if "cost" in rows.column_names else True
    found = rows.filter(pc.equal(rows["task"], task))
    if found.num_rows == 0:
        raise UserError(f'{path} holds no task "{task}".{did_you_mean(task, pc.unique(rows["task"]).to_pylist())}')
    recordings = {}
    for row in found.to_pylist():
        curve = _curve(row, cumulative, path)
        config = Config({name[3:]: value for name, value in row.items() if name.startswith("hp_") and _is_given(value)})
        if curve is not None and config.id not in recordings:
            recordings[config.id] = Recording(config, *curve)
    return _table(task, recordings.values())


def recorded_table(task: str, trials: pa.Table, curves: pa.Table) -> RecordedTable:
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
    return _table(task, recordings.values())


def space_of(configs: Sequence[Config]) -> Space:
    """A space whose candidates are ``configs``, with the narrowest domain for every parameter."""
    names = sorted({name for config in configs for name in config})
    columns = {name: [config[name] for config in configs if name in config] for name in names}
    return Space(tuple(Parameter(name, _domain(name, values)) for name, values in columns.items()), tuple(configs))


def _domain(name: str, values: Sequence[Value]) -> Domain:
    distinct = tuple(dict.fromkeys(values))
    if len(distinct) == 1:
        return Fixed(distinct[0])
    numbers = [value for value in distinct if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(distinct):
        return Choice(distinct)
    low, high = min(numbers), max(numbers)
    log = low > 0 and (MEANING.get(name) is Scale.LOG or high / low >= _LOG_RATIO)
    if all(isinstance(number, int) for number in numbers):
        return Int(int(low), int(high), log=log)
    return Float(low, high, log=log, complement=not log and MEANING.get(name) is Scale.COMPLEMENT and high < 1)


def _table(task: str, recordings: Iterable[Recording]) -> RecordedTable:
    by_id = {recording.config.id: recording for recording in recordings}
    if not by_id:
        raise UserError(f'No trial of task "{task}" has reported anything, so there is nothing to simulate over.')
    return RecordedTable(task, space_of([recording.config for recording in by_id.values()]), by_id)


def _open(path: str | os.PathLike[str]) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise UserError(f"There is no curve table {path}.") from None
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file: {str(error).splitlines()[0]}") from error
    found = file.schema_arrow.names
    missing = [name for name in _REQUIRED if name not in found]
    if not any(name.startswith("hp_") for name in found):
        missing.append("hp_<name> (at least one parameter)")
    if missing:
        raise UserError(f"{path} is not a curve table. Columns found: {', '.join(found)}. Missing:", missing)
    return file


def _is_cumulative(costs: pa.ChunkedArray) -> bool:
    """Benchmarks write either running totals or the cost of every point; only totals never fall in any row."""
    return all(left <= right for cost in costs.to_pylist() if cost for left, right in pairwise(cost))


def _is_given(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _curve(row: dict[str, Any], cumulative: bool, path: object) -> tuple[list[int], list[float], list[float]] | None:
    """Steps, losses and cumulative costs of one row up to where it diverged; None if it holds no point."""
    losses = [math.nan if loss is None else float(loss) for loss in row["curve"] or ()]
    steps = [int(step) for step in row.get("step") or range(1, len(losses) + 1)]
    costs = _costs(row, len(losses), cumulative)
    if not len(losses) == len(steps) == len(costs):
        raise UserError(
            f"{path}, config {row['config_id']}: curve, step and cost must be equally long, "
            f"found {len(losses)}, {len(steps)} and {len(costs)}."
        )
    if row.get("diverged") and losses:
        losses[-1] = math.nan
    points: list[tuple[int, float, float]] = []
    for point in zip(steps, losses, costs, strict=True):
        if point[0] > (points[-1][0] if points else 0):
            points.append(point)
        if not math.isfinite(point[1]):
            break
    if not points:
        return None
    kept_steps, kept_losses, kept_costs = zip(*points, strict=True)
    return list(kept_steps), list(kept_losses), list(kept_costs)


def _costs(row: dict[str, Any], points: int, cumulative: bool) -> list[float]:
    if row.get("cost") is None:
        per_point = row.get("cost_per_step")
        return [(1.0 if per_point is None else float(per_point)) * (index + 1) for index in range(points)]
    costs = np.nan_to_num(np.array(row["cost"], dtype=float))
    return [float(cost) for cost in (costs if cumulative else np.cumsum(costs))]
