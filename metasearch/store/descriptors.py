"""Numbers that describe the tasks of a curve table: from its columns, and from the sizes that tasks carry in their names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

_NEVER = frozenset({"config_id", "seed", "trial"})
"""Columns that number the rows."""

_RESULT = re.compile(r"curve|loss")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kmb])", re.IGNORECASE)
_RATIO = re.compile(r"(\d+(?:\.\d+)?)x", re.IGNORECASE)
_FACTOR = {"k": 1e3, "m": 1e6, "b": 1e9}


def describe_tasks(rows: pa.Table) -> dict[str, dict[str, float]]:
    """The descriptor of every task of a table.

    A numeric column describes the tasks if each has one finite value in all of its rows: as ``log10_<column>`` if all of them are
    above 0. Parameters, results and columns that number the rows do not count.
    """
    tasks, task_R = np.unique(rows["task"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    found: dict[str, dict[str, float]] = {str(task): describe_name(str(task)) for task in tasks}
    for field in rows.schema:
        values_T = _one_each(rows[field.name], task_R, len(tasks)) if _may_describe(field) else None
        if values_T is None:
            continue
        positive = bool((values_T > 0).all())
        for task, value in zip(tasks, values_T, strict=True):
            found[str(task)][f"log10_{field.name}" if positive else field.name] = math.log10(value) if positive else float(value)
    return found


def describe_name(task: str) -> dict[str, float]:
    """The first size and the first ratio that stand by themselves in a name.

    >>> describe_name("300m/16x")
    {'log10_size': 8.477121254719663, 'log10_ratio': 1.2041199826559248}
    """
    tokens = re.split(r"[/_\-\s]+", task)
    sizes = [float(match[1]) * _FACTOR[match[2].lower()] for token in tokens if (match := _SIZE.fullmatch(token))]
    ratios = [float(match[1]) for token in tokens if (match := _RATIO.fullmatch(token))]
    named: Mapping[str, list[float]] = {"log10_size": sizes, "log10_ratio": ratios}
    return {name: math.log10(values[0]) for name, values in named.items() if values and values[0] > 0}


def _may_describe(field: pa.Field) -> bool:
    number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    return number and not field.name.startswith("hp_") and field.name not in _NEVER and not _RESULT.search(field.name)


def _one_each(column: pa.ChunkedArray, task_R: np.ndarray, tasks: int) -> np.ndarray | None:
    """The one value of each task, or None if a task has several or none."""
    value_R = column.cast(pa.float64(), safe=False).fill_null(math.nan).to_numpy(zero_copy_only=False)
    value_T = np.empty(tasks)
    value_T[task_R] = value_R  # any row's
    return value_T if bool(np.isfinite(value_R).all() and (value_T[task_R] == value_R).all()) else None
