"""A table of trials, CSV or Parquet, with a row for each trial or for each report; also the runs that Weights & Biases exports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.history import State
from metasearch.store.imports.earlier import EarlierTrial, Point, Results

WANDB = ("Name", "State", "Runtime", "Created")
"""Columns by which an export of Weights & Biases is known."""

PREFIXES = ("hp_", "config.", "config/", "param_", "params.", "params_")
"""Columns that begin so are parameters, as in the tables of this store, Ray Tune, Optuna and MLflow."""

_STATES = {
    "completed": State.COMPLETED,
    "complete": State.COMPLETED,
    "finished": State.COMPLETED,
    "terminated": State.COMPLETED,
    "stopped": State.STOPPED,
    "pruned": State.STOPPED,
    "killed": State.STOPPED,
    "diverged": State.STOPPED,
    "failed": State.FAILED,
    "fail": State.FAILED,
    "crashed": State.FAILED,
    "error": State.FAILED,
}


@dataclass(frozen=True)
class Columns:
    """What stands where. ``config``: the parameters; those with a usual prefix if left out. Without ``trial`` every row is a trial.

    Without ``step`` a row is a trial's only report.
    """

    metric: str
    config: Sequence[str] = ()
    trial: str | None = None
    step: str | None = None
    seconds: str | None = None
    state: str | None = None


def read_table(path: Path, columns: Columns, mode: str) -> Results:
    """Raises UserError for a file that is no table, and for columns that are not there."""
    table = _table(path)
    names = table.column_names
    if set(WANDB) <= set(names):
        columns = _as_exported(columns, names)
    parameters = _parameters(columns, names, path)
    wanted = [columns.metric, *parameters, columns.trial, columns.step, columns.seconds, columns.state]
    missing = [
        f'there is no column "{name}".{did_you_mean(name, names)}' for name in wanted if name is not None and name not in names
    ]
    if missing:
        raise UserError(f"The table {path} lacks what was named:", missing)
    by_trial: dict[Any, list[dict[str, Any]]] = {}
    for number, row in enumerate(table.to_pylist()):
        by_trial.setdefault(row[columns.trial] if columns.trial else number, []).append(row)
    trials: list[EarlierTrial] = []
    refused: list[str] = []
    for key, rows in by_trial.items():
        label = f"{columns.trial} {key}" if columns.trial else f"row {key + 1}"
        try:
            trials.append(_trial(label, rows, columns, parameters))
        except UserError as error:
            refused.append(f"{label}: {error.message}")
    return Results(str(path), path.stem, trials, refused, mode)


def _table(path: Path) -> pa.Table:
    if not path.is_file():
        raise UserError(f"There is no table {path}.")
    try:
        return pyarrow.parquet.read_table(path) if path.suffix == ".parquet" else pyarrow.csv.read_csv(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"The table {path} cannot be read: {error}.") from error


def _as_exported(columns: Columns, names: Sequence[str]) -> Columns:
    """Weights & Biases keeps parameters and results side by side, so that the parameters have to be named."""
    if not columns.config:
        others = [name for name in names if name not in (*WANDB, columns.metric) and not name.startswith("_")]
        raise UserError(
            "An export of Weights & Biases does not tell parameters from results: name the parameters with --config "
            f"A,B,…. Columns: {', '.join(others)}."
        )
    step = columns.step or ("_step" if "_step" in names else None)
    return Columns(
        columns.metric, columns.config, columns.trial or "Name", step, columns.seconds or "Runtime", columns.state or "State"
    )


def _parameters(columns: Columns, names: Sequence[str], path: Path) -> dict[str, str]:
    """Every parameter's column and what the parameter is called."""
    if columns.config:
        return {name: _bare(name) for name in columns.config}
    found = {name: _bare(name) for name in names if name.startswith(PREFIXES) and name != columns.metric}
    if not found:
        raise UserError(
            f"No column of {path} begins with one of {', '.join(PREFIXES)}: name the parameters with --config A,B,…. "
            f"Columns: {', '.join(names)}."
        )
    return found


def _bare(name: str) -> str:
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    return name.removeprefix(prefix)


def _trial(label: str, rows: list[dict[str, Any]], columns: Columns, parameters: Mapping[str, str]) -> EarlierTrial:
    """Empty cells of a parameter mean that it does not exist there; of the metric, that nothing was measured."""
    configs = [{bare: row[name] for name, bare in parameters.items() if row[name] is not None} for row in rows]
    if any(config != configs[0] for config in configs):
        raise UserError("its rows have different parameters")
    points = [_point(row, position, columns) for position, row in enumerate(rows) if row[columns.metric] is not None]
    state = _state(rows[-1][columns.state]) if columns.state else State.COMPLETED
    return EarlierTrial(label, configs[0], sorted(points, key=lambda point: point.step), state)


def _point(row: Mapping[str, Any], position: int, columns: Columns) -> Point:
    value, step, seconds = row[columns.metric], position + 1, 0.0
    if columns.step is not None:
        at = row[columns.step]
        if not isinstance(at, int | float) or not math.isfinite(at) or at != int(at):
            raise UserError(f"{columns.step}: expected a whole number, found {at!r}")
        step = int(at)
    if columns.seconds is not None and isinstance(row[columns.seconds], int | float):
        seconds = float(row[columns.seconds])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{columns.metric}: expected a number, found {value!r}")
    return Point(step, float(value), seconds)


def _state(written: Any) -> State:
    found = _STATES.get(str(written).strip().lower())
    if found is None:
        raise UserError(f"its state is {written!r}; expected one of {', '.join(_STATES)}")
    return found
