"""The rows of the views: what a sweep's facts look like as tables. docs/store.md describes every column.

Curves and decisions are taken from the log column by column; trials and the sweep itself come from the history that the facts fold
to. All of it is a function of the log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metasearch.core.config import STRATEGY, Value
from metasearch.core.event import Fact, Opened, Resumed
from metasearch.core.history import ENDED, NEVER_BEST, History, Trial
from metasearch.core.scales import LEARNING_RATES
from metasearch.store.schema import COLUMNS, STANDARD_METRICS, plain_json

NEVER_WIN = tuple(sorted(state.value for state in NEVER_BEST))
"""States of trials that cannot be the best of anything."""

_LOWEST = ("val_loss", "val_bpb", "train_loss")
_HIGHEST = ("tokens", "peak_memory", "parameters")


@dataclass(frozen=True)
class SweepTables:
    """The views of one sweep after its first ``facts`` facts."""

    facts: int
    sweeps: pa.Table
    trials: pa.Table
    curves: pa.Table
    decisions: pa.Table


@dataclass
class Environments:
    """The environments of a sweep's first and latest driver."""

    first: Mapping[str, Any]
    latest: Mapping[str, Any]
    opened: float = 0.0

    @staticmethod
    def of(facts: Sequence[Fact]) -> Environments:
        starts = [fact for fact in facts if isinstance(fact, Opened | Resumed)]
        return Environments(starts[0].environment, starts[-1].environment, starts[0].time) if starts else Environments({}, {})


def sweep_tables(log: pa.Table, history: History, environments: Environments) -> SweepTables:
    """``log`` holds all rows of a sweep's log in the current schema."""
    curves = _curves(log, history)
    trials = _trials(history, curves)
    return SweepTables(log.num_rows, _sweeps(history, trials, environments), trials, curves, _decisions(log, history))


def _curves(log: pa.Table, history: History) -> pa.Table:
    rows = log.filter(pc.equal(log["kind"], "reported"))
    names = ("trial", "step", "loss", "seconds", "time", "leg", *STANDARD_METRICS, "metrics")
    return _of_sweep(history, {name: _column(rows, name) for name in names}, rows.num_rows, "trial")


def _decisions(log: pa.Table, history: History) -> pa.Table:
    rows = log.filter(pc.is_in(log["kind"], pa.array(["proposed", "thawed", "judged"])))
    decision = pc.coalesce(_column(rows, "action"), rows["kind"])
    names = ("trial", "step", "leg", "origin", "reason", "directive", "parent")
    columns = {"seq": rows["seq"], "time": rows["time"], "decision": decision, **{name: _column(rows, name) for name in names}}
    return _of_sweep(history, columns, rows.num_rows, "seq")


def _column(rows: pa.Table, name: str) -> pa.ChunkedArray | pa.Array:
    return rows[name] if name in rows.column_names else pa.nulls(rows.num_rows, COLUMNS[name])


def _of_sweep(history: History, columns: dict[str, Any], rows: int, second: str) -> pa.Table:
    """``columns`` after the names of sweep and task; ``second`` stands right after the sweep."""
    task = history.sweep.task.name
    before = {"sweep": pa.repeat(history.sweep.name, rows), second: columns.pop(second), "task": pa.repeat(task, rows)}
    return pa.table({**before, **columns})


def _trials(history: History, curves: pa.Table) -> pa.Table:
    sweep, trials = history.sweep, list(history)
    metrics = _extremes(curves, len(trials))
    columns: dict[str, pa.Array] = {
        "sweep": pa.repeat(sweep.name, len(trials)),
        "trial": pa.array([t.number for t in trials], pa.int32()),
        "task": pa.repeat(sweep.task.name, len(trials)),
        "task_id": pa.repeat(sweep.task.id, len(trials)),
        "strategy": pa.array([t.config.strategy for t in trials], pa.string()),
        **{part: pa.array([_text(t.config.get(part)) for t in trials], pa.string()) for part in STRATEGY},
    }
    for name, (dtype, of_trial) in _TRIAL_COLUMNS.items():
        columns[name] = pa.array([of_trial(trial) for trial in trials], dtype)
    if sweep.task.unit == "tokens":
        metrics["tokens"] = pc.coalesce(metrics["tokens"], columns["step"].cast(pa.float64()))
    as_metric = {
        "metric": pa.repeat(sweep.task.metric, len(trials)),
        "better": pa.repeat(sweep.task.better, len(trials)),
        "value": pc.multiply(columns["loss"], sweep.task.sign),
    }
    return pa.table({**columns, **metrics, **as_metric, **_parameters(trials)})


_TRIAL_COLUMNS: dict[str, tuple[pa.DataType, Callable[[Trial], Any]]] = {
    "state": (pa.string(), lambda t: t.state.value),
    "origin": (pa.string(), lambda t: t.origin),
    "parent": (pa.int32(), lambda t: t.parent),
    "seed": (pa.int64(), lambda t: t.seed),
    "legs": (pa.int32(), lambda t: t.leg + 1),
    "step": (pa.int64(), lambda t: t.step),
    "steps": (pa.int64(), lambda t: t.step - t.start),
    "loss": (pa.float64(), lambda t: _finite(t.best_loss)),
    "best_step": (pa.int64(), lambda t: t.steps[t.losses.index(t.best_loss)] if math.isfinite(t.best_loss) else None),
    "final_loss": (pa.float64(), lambda t: t.losses[-1] if t.losses else None),
    "lr": (pa.float64(), lambda t: _learning_rate(t.config)),
    "seconds": (pa.float64(), lambda t: t.seconds),
    "started": (pa.float64(), lambda t: t.first_time),
    "ended": (pa.float64(), lambda t: t.last_time if t.state in ENDED else None),
    "reason": (pa.string(), lambda t: t.verdict.reason or None),
    "error": (pa.string(), lambda t: t.errors[-1] if t.errors else None),
    "config": (pa.string(), lambda t: t.config.text),
    "config_id": (pa.string(), lambda t: t.config.id),
}


def _extremes(curves: pa.Table, trials: int) -> dict[str, pa.Array]:
    """The lowest finite value of every loss and the highest of every size, per trial."""
    finite = {name: pc.if_else(pc.is_finite(curves[name]), curves[name], None) for name in (*_LOWEST, *_HIGHEST)}
    wanted = [*((name, "min") for name in _LOWEST), *((name, "max") for name in _HIGHEST)]
    found = pa.table({"trial": curves["trial"], **finite}).group_by("trial", use_threads=False).aggregate(wanted)
    every = pa.table({"trial": pa.array(range(trials), pa.int32())})
    joined = every.join(found, "trial", use_threads=False).sort_by("trial")
    return {name: joined[f"{name}_{end}"].combine_chunks() for name, end in wanted}


def _parameters(trials: Sequence[Trial]) -> dict[str, pa.Array]:
    names = sorted({name for trial in trials for name in trial.config})
    return {f"hp_{name}": column_of([trial.config.get(name) for trial in trials]) for name in names}


def column_of(values: Sequence[Value | None]) -> pa.Array:
    """One typed column: truth values, whole numbers, numbers, or text where these are mixed with text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and all(abs(int(value)) < 2**63 for value in values if value is not None):
        return pa.array(values, pa.int64())
    if kinds <= {int, float}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else _as_text(value) for value in values], pa.string())


def _as_text(value: Value) -> str:
    """As Arrow spells it, so that a parameter that is a number in another sweep reads the same in both: 0.1, 1, true."""
    return str(pa.scalar(value).cast(pa.string()).as_py()) if isinstance(value, float | bool) else str(value)


def _sweeps(history: History, trials: pa.Table, environments: Environments) -> pa.Table:
    sweep, task = history.sweep, history.sweep.task
    best = best_row(trials)
    descriptor = [(name, float(value)) for name, value in task.descriptor.items()]
    values: dict[str, tuple[Any, pa.DataType]] = {
        "sweep": (sweep.name, pa.string()),
        "task": (task.name, pa.string()),
        "task_id": (task.id, pa.string()),
        "state": ("open" if history.closed is None else "closed", pa.string()),
        "opened": (environments.opened, pa.float64()),
        "closed": (None if history.closed is None else history.time, pa.float64()),
        "reason": (history.closed, pa.string()),
        "horizon": (sweep.horizon, pa.int64()),
        "trials": (len(history), pa.int64()),
        "running": (len(history.running), pa.int64()),
        "steps_spent": (history.steps_spent, pa.int64()),
        "train_seconds": (history.train_seconds, pa.float64()),
        "wall_seconds": (history.wall_seconds, pa.float64()),
        "best_loss": (best.get("loss"), pa.float64()),
        "best_trial": (best.get("trial"), pa.int32()),
        "best_strategy": (best.get("strategy"), pa.string()),
        "searcher": (_algorithm(sweep.search.get("searcher")), pa.string()),
        "scheduler": (_algorithm(sweep.search.get("scheduler")), pa.string()),
        "seed": (sweep.seed, pa.int64()),
        "host": (_text(environments.latest.get("host")), pa.string()),
        "environment": (plain_json(environments.first), pa.string()),
        "record": (plain_json(sweep.record()), pa.string()),
        "kind": (task.kind, pa.string()),
        "metric": (task.metric, pa.string()),
        "unit": (task.unit, pa.string()),
        "source": (plain_json(task.source), pa.string()),
        "descriptor": (descriptor, pa.map_(pa.string(), pa.float64())),
        "better": (task.better, pa.string()),
    }
    return pa.table({name: pa.array([value], dtype) for name, (value, dtype) in values.items()})


def best_row(trials: pa.Table) -> dict[str, Any]:
    """The trial with the lowest loss, the earlier one of two; empty if none may win."""
    able = trials.filter(pc.and_(pc.is_valid(trials["loss"]), pc.invert(pc.is_in(trials["state"], pa.array(NEVER_WIN)))))
    if able.num_rows == 0:
        return {}
    return dict(able.sort_by([("loss", "ascending"), ("trial", "ascending")]).slice(0, 1).to_pylist()[0])


def _algorithm(spec: Any) -> str | None:
    if isinstance(spec, Mapping):
        return str(spec.get("name"))
    return None if spec is None else str(spec)


def _learning_rate(config: Mapping[str, Value]) -> float | None:
    """For the column ``lr``: the first that is there."""
    found = next((config[name] for name in LEARNING_RATES if name in config), None)
    return float(found) if isinstance(found, int | float) else None


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
