"""From wherever earlier results lie to sweeps of the store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metasearch.core.errors import UserError
from metasearch.core.event import Fact
from metasearch.core.sweep import Sweep
from metasearch.store.archive import Store
from metasearch.store.imports.earlier import Results, TaskAs, as_facts, sweep_name, write
from metasearch.store.imports.table import Columns, read_table

TABLES = (".csv", ".parquet")


@dataclass(frozen=True)
class Imported:
    """The sweeps that an import makes or would make, and what it leaves out, by sweep."""

    sweeps: list[Sweep] = field(default_factory=list)
    trials: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def import_results(
    source: str,
    store: str | Store = "./store",
    *,
    metric: str | None = None,
    mode: str | None = None,
    task: str | None = None,
    unit: str = "steps",
    descriptor: Mapping[str, float] | None = None,
    name: str | None = None,
    study: str | None = None,
    config: Sequence[str] = (),
    trial: str | None = None,
    step: str | None = None,
    seconds: str | None = None,
    state: str | None = None,
    skip: bool = False,
    dry_run: bool = False,
) -> Imported:
    """Imports an Optuna storage, the folder of a Ray Tune experiment, or a table (CSV, Parquet) as closed sweeps of the store.

    ``metric``: its name; what Optuna minimised is called ``loss`` if left out. ``mode``: min or max; as the study says, else min.
    ``task``, ``name``: what the task and the sweep are called, both after the study if left out. ``config`` to ``state``: a table's
    columns. ``skip``: leaves out trials that cannot be imported. ``dry_run``: writes nothing.
    Raises UserError, with nothing written, if something cannot be imported.
    """
    if mode not in (None, "min", "max"):
        raise UserError(f'The mode must be min or max, found "{mode}".')
    store = store if isinstance(store, Store) else Store(store)
    columns: dict[str, Any] = {"config": config, "trial": trial, "step": step, "seconds": seconds, "state": state}
    found = _read(source, metric, mode, study, columns)
    if name is not None and len(found) > 1:
        raise UserError(
            f"One name cannot be that of {len(found)} studies: {', '.join(r.name for r in found)}. Choose one: --study."
        )
    now = time.time()
    logs: dict[str, list[Fact]] = {}
    imported = Imported()
    for results in found:
        called = name or sweep_name(results.name)
        if called in logs:
            raise UserError(f"Two studies would both become the sweep {called}. Import them one by one: --study, --name.")
        learned = TaskAs(task or results.name, metric or "loss", mode or results.mode, unit, dict(descriptor or {}))
        sweep, logs[called] = as_facts(results, learned, called, now, skip=skip)
        about = logs[called][0].environment["imported"]  # type: ignore[union-attr]
        imported.sweeps.append(sweep)
        imported.trials[called], imported.left_out[called] = about["trials"], about["left out"]
    if not dry_run:
        write(store, logs)
    return imported


def _read(source: str, metric: str | None, mode: str | None, study: str | None, columns: Mapping[str, Any]) -> list[Results]:
    path = Path(source)
    if path.is_dir():
        from metasearch.store.imports.tune_folder import read_experiment

        _refuse(source, "a Ray Tune experiment", {"study": study, **{k: v for k, v in columns.items() if k != "step"}})
        return [read_experiment(path, metric, mode or "min", columns["step"] or "training_iteration")]
    if path.suffix in TABLES:
        _refuse(source, "a table", {"study": study})
        if metric is None:
            raise UserError(f"Name the column of {source} that was optimised: --metric.")
        return [read_table(path, Columns(metric, **columns), mode or "min")]
    from metasearch.store.imports.optuna_storage import read_studies

    _refuse(source, "an Optuna storage", columns)
    return read_studies(source, study)


def _refuse(source: str, kind: str, options: Mapping[str, Any]) -> None:
    given = [f"--{name}" for name, value in options.items() if value]
    if given:
        raise UserError(f"{source} is {kind}, for which {' and '.join(given)} means nothing.")
