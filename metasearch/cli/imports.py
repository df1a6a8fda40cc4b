"""Results of others into the store, and sweeps out to where others look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metasearch.cli.options import JsonOption, StoreOption, answer, existing, named_number, sweep_names

SHOWN = 20
"""Reasons that are shown of what was left out; of the rest only the number."""


def import_(
    source: Annotated[str, typer.Argument(help="Optuna storage, folder of a Ray Tune experiment, or table (CSV, Parquet).")],
    metric: Annotated[str | None, typer.Option(help="What was optimised: a column, or a reported number.")] = None,
    mode: Annotated[str | None, typer.Option(help="min or max; as the study says, else min.")] = None,
    task: Annotated[str | None, typer.Option(help="Name of the task; that of the study if left out.")] = None,
    unit: Annotated[str, typer.Option(help="What a step counts.")] = "steps",
    descriptor: Annotated[list[str] | None, typer.Option(metavar="NAME=X", help="A number that describes the task.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the sweep; that of the study if left out.")] = None,
    study: Annotated[str | None, typer.Option(help="Of an Optuna storage only this study.")] = None,
    config: Annotated[str | None, typer.Option(metavar="A,B,…", help="Columns of a table that are parameters.")] = None,
    trial: Annotated[str | None, typer.Option(help="Column that tells trials apart; without it every row is a trial.")] = None,
    step: Annotated[str | None, typer.Option(help="Column of steps, or what Ray Tune's steps are.")] = None,
    seconds: Annotated[str | None, typer.Option(help="Column of the training time so far.")] = None,
    state: Annotated[str | None, typer.Option(help="Column of states: completed, stopped, failed …")] = None,
    skip: Annotated[bool, typer.Option("--skip", help="Leave out trials that cannot be imported.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be imported; write nothing.")] = False,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """Import earlier results as closed sweeps, so that searches that learn have a history on the first day."""
    from metasearch.store.imports.source import import_results

    found = import_results(
        source,
        store,
        metric=metric,
        mode=mode,
        task=task,
        unit=unit,
        descriptor=dict(named_number("--descriptor", text) for text in descriptor or ()),
        name=name,
        study=study,
        config=[part for part in (config or "").split(",") if part],
        trial=trial,
        step=step,
        seconds=seconds,
        state=state,
        skip=skip,
        dry_run=dry_run,
    )
    verb = "would become" if dry_run else "became"
    lines = []
    for sweep in found.sweeps:
        left_out = found.left_out[sweep.name]
        lines.append(
            f"{found.trials[sweep.name]} trials {verb} the sweep {sweep.name} (task {sweep.task.name}, {sweep.task.metric})"
        )
        lines += [f"  left out: {reason}" for reason in left_out[:SHOWN]]
        lines += [f"  and {len(left_out) - SHOWN} more"] if len(left_out) > SHOWN else []
    told = [
        {
            "sweep": s.name,
            "task": s.task.name,
            "task_id": s.task.id,
            "trials": found.trials[s.name],
            "left_out": found.left_out[s.name],
        }
        for s in found.sweeps
    ]
    answer(told, lines, as_json)


def to_optuna(
    sweep: Annotated[str, typer.Argument(help="Name of the sweep.", autocompletion=sweep_names)],
    storage: Annotated[str, typer.Argument(help="URL, SQLite file (.db) or journal file (.log) of Optuna.")],
    name: Annotated[str | None, typer.Option(help="Name of the study; that of the sweep if left out.")] = None,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """Write a sweep into an Optuna storage, for optuna-dashboard and Optuna's plots."""
    from metasearch.store.imports.to_optuna import export_study

    trials = export_study(existing(store).history(sweep), storage, name)
    told = {"study": name or sweep, "storage": storage, "trials": trials}
    answer(told, [f"{trials} trials are now the study {name or sweep} in {storage}"], as_json)


NameOption = Annotated[str | None, typer.Option(help="What it is called there; as the sweep if left out.")]
SweepArgument = Annotated[str, typer.Argument(help="Name of the sweep.", autocompletion=sweep_names)]
FolderArgument = Annotated[Path, typer.Argument(help="Folder in which a new one is made.")]


def to_tensorboard(
    sweep: SweepArgument,
    folder: FolderArgument,
    name: NameOption = None,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """Write a sweep as event files for TensorBoard: curves, and configs for its page HPARAMS."""
    from metasearch.store.imports.runs import runs_of
    from metasearch.store.imports.to_tensorboard import write_events

    runs, target = runs_of(existing(store).facts(sweep)), folder / (name or sweep)
    write_events(runs, target)
    _exported(sweep, len(runs), str(target), f"tensorboard --logdir {target}", as_json)


def to_mlflow(
    sweep: SweepArgument,
    tracking: Annotated[str, typer.Argument(help="URL of a tracking server or database, or an SQLite file (.db).")],
    name: NameOption = None,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """Write a sweep as an experiment of MLflow."""
    from metasearch.store.imports.runs import runs_of
    from metasearch.store.imports.to_mlflow import log_experiment

    runs = runs_of(existing(store).facts(sweep))
    log_experiment(runs, tracking, name or sweep)
    shown = tracking if "://" in tracking else f"sqlite:///{tracking}"
    _exported(sweep, len(runs), tracking, f"mlflow ui --backend-store-uri {shown}", as_json)


def to_wandb(
    sweep: SweepArgument,
    folder: FolderArgument,
    name: NameOption = None,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """Write a sweep as offline runs of Weights & Biases, to be uploaded with `wandb sync`."""
    from metasearch.store.imports.runs import runs_of
    from metasearch.store.imports.to_wandb import write_runs

    runs, target = runs_of(existing(store).facts(sweep)), folder / (name or sweep)
    write_runs(runs, target, name or sweep)
    _exported(sweep, len(runs), str(target), f"wandb sync {target}/wandb/offline-run-*", as_json)


def _exported(sweep: str, trials: int, target: str, next_step: str, as_json: bool) -> None:
    told = {"sweep": sweep, "trials": trials, "target": target}
    answer(told, [f"{trials} trials of {sweep} are now in {target}", f"See them: {next_step}"], as_json)
