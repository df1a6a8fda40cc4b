"""A sweep as an experiment of MLflow: one run for each trial."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metasearch.core.errors import UserError
from metasearch.store.imports.runs import Run, tracker

_METRICS_AT_ONCE = 1000
_PARAMETERS_AT_ONCE = 100
"""What MLflow takes in one call."""


def log_experiment(runs: Sequence[Run], store: str, name: str) -> None:
    """Adds the experiment ``name``. ``store``: the URL of a tracking server or a database, or an SQLite file.

    Raises UserError if there is one of that name; whatever fails on the way is taken back.
    """
    mlflow = tracker("mlflow", "mlflow")
    path = Path(store)
    if "://" not in store and (path.suffix not in (".db", ".sqlite", ".sqlite3") or not path.absolute().parent.is_dir()):
        raise UserError(f"MLflow's store is a URL or a file .db or .sqlite in a folder that exists, found {store}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow uses what its database library no longer recommends
        client = mlflow.MlflowClient(tracking_uri=store if "://" in store else f"sqlite:///{path.absolute()}")
        if client.get_experiment_by_name(name) is not None:
            raise UserError(
                f"MLflow already has an experiment {name} (perhaps a deleted one). Give this one another name: --name …"
            )
        experiment = client.create_experiment(name)
        try:
            for run in runs:
                _log(client, experiment, run, mlflow.entities)
        except BaseException:
            client.delete_experiment(experiment)
            raise


def _log(client: Any, experiment: str, run: Run, entities: Any) -> None:
    logged = client.create_run(experiment, start_time=_milliseconds(run.started), run_name=run.name).info.run_id
    tags = [entities.RunTag(name, str(value)) for name, value in run.about.items()]
    parameters = [entities.Param(name, str(value)) for name, value in run.config.items()]
    metrics = [
        entities.Metric(n, x, _milliseconds(point.time), point.step) for point in run.points for n, x in point.values.items()
    ]
    if run.best is not None:
        metrics.append(entities.Metric(f"best_{run.metric}", run.best, _milliseconds(run.ended), run.points[-1].step))
    client.log_batch(logged, tags=tags)
    for part in _parts(parameters, _PARAMETERS_AT_ONCE):
        client.log_batch(logged, params=part)
    for part in _parts(metrics, _METRICS_AT_ONCE):
        client.log_batch(logged, metrics=part)
    client.set_terminated(logged, "FAILED" if run.failed else "FINISHED", _milliseconds(run.ended))


def _parts(listed: list[Any], size: int) -> Iterator[list[Any]]:
    return (listed[start : start + size] for start in range(0, len(listed), size))


def _milliseconds(seconds: float) -> int:
    return int(1000 * seconds)
