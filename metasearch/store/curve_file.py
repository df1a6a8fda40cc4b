"""One Parquet file of recorded curves: the layout of published benchmarks.

It has one row per trial: ``task``, ``config_id``, one column ``hp_<name>`` per parameter (null: the config lacks it) and
``curve``, the losses in order. Optional are ``step`` (list; else 1, 2, 3 …), ``cost`` (list of seconds or whatever the benchmark
counts, cumulative or per point), ``cost_per_step`` (the cost of each point, where there is no list), ``diverged`` and ``seed``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metasearch.core.config import Config
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.scales import MEANING, Scale
from metasearch.store.descriptors import describe_tasks

_REQUIRED = ("task", "config_id", "curve")
_LOG_RATIO = 100.0
"""A positive number that spans at least this ratio is compared by decades."""


@dataclass(frozen=True)
class CurveRow:
    """One row, up to where it diverged. ``costs`` are cumulative; there is at least one point."""

    config: Config
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    costs: tuple[float, ...]
    seed: int


@dataclass(frozen=True, eq=False)
class CurveFile:
    """The rows of a file, which is read once and kept in memory. Raises UserError for a file that is no curve table."""

    path: str
    rows: pa.Table

    @staticmethod
    def open(path: str | os.PathLike[str]) -> CurveFile:
        """The file as it is now: a file that was not changed since is not read again."""
        try:
            found = Path(path).stat()
        except OSError:
            raise UserError(f"There is no curve table {os.fspath(path)}.") from None
        return _read(os.fspath(path), (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size))

    @cached_property
    def tasks(self) -> list[str]:
        """Sorted."""
        return sorted(task for task in pc.unique(self.rows["task"]).to_pylist() if task is not None)

    @cached_property
    def descriptors(self) -> dict[str, dict[str, float]]:
        return describe_tasks(self.rows)

    @cached_property
    def scales(self) -> dict[str, Scale]:
        """How each numeric parameter is compared: decided on all tasks, so that their codes can be compared."""
        found = {}
        for name in self.rows.column_names:
            column = self.rows[name]
            if name.startswith("hp_") and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
                given = [value for value in pc.unique(column).to_pylist() if _is_given(value)]
                found[name[3:]] = scale_of(name[3:], given)
        return found

    def curves(self, task: str) -> list[CurveRow]:
        """Every row of ``task`` that holds a point, in order. Raises UserError for a task that is not there or a faulty row."""
        return _curves_of(self, task)

    @cached_property
    def costs_are_totals(self) -> bool:
        """Benchmarks write either running totals or the cost of every point; only totals never fall in any row."""
        costs = self.rows["cost"].to_pylist() if "cost" in self.rows.column_names else ()
        return all(left <= right for cost in costs if cost for left, right in pairwise(cost))


def scale_of(name: str, numbers: Sequence[float]) -> Scale:
    """The scale of a parameter of which only values are known."""
    if not numbers:
        return Scale.LINEAR
    low, high = min(numbers), max(numbers)
    if low > 0 and (MEANING.get(name) is Scale.LOG or high / low >= _LOG_RATIO):
        return Scale.LOG
    return Scale.COMPLEMENT if MEANING.get(name) is Scale.COMPLEMENT and high < 1 else Scale.LINEAR


@lru_cache(maxsize=16)
def _read(path: str, state: tuple[int, ...]) -> CurveFile:
    """``state`` tells what lies at ``path`` from what lay there before."""
    try:
        file = pq.ParquetFile(path)
        _check_columns(path, file.schema_arrow)
        rows = file.read()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file: {str(error).splitlines()[0]}") from error
    return CurveFile(path, rows.set_column(rows.column_names.index("task"), "task", rows["task"].cast(pa.string())))


def _check_columns(path: str, schema: pa.Schema) -> None:
    missing = [name for name in _REQUIRED if name not in schema.names]
    if not any(name.startswith("hp_") for name in schema.names):
        missing.append("hp_<name> (at least one parameter)")
    if missing:
        raise UserError(f"{path} is not a curve table. Columns found: {', '.join(schema.names)}. Missing:", missing)
    if not pa.types.is_list(schema.field("curve").type) and not pa.types.is_large_list(schema.field("curve").type):
        raise UserError(f"{path} is not a curve table: the column curve must hold lists, found {schema.field('curve').type}.")


@lru_cache(maxsize=64)
def _curves_of(file: CurveFile, task: str) -> list[CurveRow]:
    found = file.rows.filter(pc.equal(file.rows["task"], task))
    if found.num_rows == 0:
        raise UserError(f'{file.path} holds no task "{task}".{did_you_mean(task, file.tasks)}')
    curves = []
    for row in found.to_pylist():
        config = Config({name[3:]: value for name, value in row.items() if name.startswith("hp_") and _is_given(value)})
        points = _points(row, file)
        if points:
            steps, losses, costs = zip(*points, strict=True)
            curves.append(CurveRow(config, steps, losses, costs, _seed(row)))
    return curves


def _seed(row: dict[str, Any]) -> int:
    seed = row.get("seed")
    return int(seed) if isinstance(seed, int | float) and math.isfinite(seed) else 0


def _is_given(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _points(row: dict[str, Any], file: CurveFile) -> list[tuple[int, float, float]]:
    """Step, loss and cumulative cost of each point of one row up to where it diverged."""
    losses = [math.nan if loss is None else float(loss) for loss in row["curve"] or ()]
    steps = [int(step) for step in row.get("step") or range(1, len(losses) + 1)]
    costs = _costs(row, len(losses), file.costs_are_totals)
    if not len(losses) == len(steps) == len(costs):
        raise UserError(
            f"{file.path}, config {row['config_id']}: curve, step and cost must be equally long, "
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
    return points


def _costs(row: dict[str, Any], points: int, totals: bool) -> list[float]:
    if row.get("cost") is None:
        per_point = row.get("cost_per_step")
        return [(1.0 if per_point is None else float(per_point)) * (index + 1) for index in range(points)]
    costs = np.nan_to_num(np.array(row["cost"], dtype=float))
    return [float(cost) for cost in (costs if totals else np.cumsum(costs))]
