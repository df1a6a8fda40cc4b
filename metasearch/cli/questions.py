"""Commands that ask the store: best, query."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from metasearch.cli.options import JsonOption, StoreOption, existing, write_whole
from metasearch.core.errors import UserError

BINARY = ("parquet", "arrow")

NEAREST = 3
"""So many similar tasks are shown."""


def register(app: typer.Typer) -> None:
    """Puts the commands of this file among those of ``app``."""
    for command in (best, query):
        app.command()(command)


def best(
    task: Annotated[str | None, typer.Option(help="Only this task (name or id).")] = None,
    like: Annotated[str | None, typer.Option(help="Only the tasks most like this one, or like this corpus.")] = None,
    by: Annotated[str, typer.Option(help="trial, strategy, or any column of the trials view, such as model.")] = "trial",
    at: Annotated[int | None, typer.Option("--at-tokens", "--at", help="Compare at this many tokens (steps of the task).")] = None,
    at_seconds: Annotated[float | None, typer.Option(help="Compare at this many seconds of training.")] = None,
    max_parameters: Annotated[int | None, typer.Option(help="Only models with at most so many trained weights.")] = None,
    top: Annotated[int, typer.Option(min=1)] = 10,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """The best trials or strategies over all sweeps of the store, and which of them are tied within the noise between seeds."""
    from metasearch.cli.tables import emit_rows

    opened = existing(store)
    distances = _distances(opened, task, like)
    asked = task if like is None else list(distances)
    table = opened.best(asked, by, at, top, at_seconds=at_seconds, max_parameters=max_parameters)
    rows = [{**row, **({} if like is None else {"distance": distances[row["task_id"]]})} for row in table.to_pylist()]
    compared = () if by == "trial" else (by, "trials", "median_loss")
    columns = ("task", *(("distance",) if like is not None else ()), *compared, *_SHOWN)
    emit_rows(rows, as_json=as_json, columns=list(dict.fromkeys(columns)))


_SHOWN = ("sweep", "trial", "strategy", "loss", "step", "seconds", "parameters", "seeds", "noise", "tied_with")


def _distances(store: Any, task: str | None, like: str | None) -> dict[str, float]:
    if like is None:
        return {}
    if task is not None:
        raise UserError("--task names one task, --like those that are like one: leave one of the two out.")
    from metasearch.sweep.similar import similar_tasks

    return {similar.task_id: similar.distance for similar in similar_tasks(store, like)[:NEAREST]}


def query(
    sql: Annotated[str, typer.Argument(help="SQL over the views sweeps, trials, curves, decisions, tasks.")],
    file_format: Annotated[
        str | None, typer.Option("--format", help="table, json, csv, parquet or arrow; as the ending of --out says, else table.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write instead of printing.")] = None,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """Ask the store anything in SQL (DuckDB, read-only)."""
    from metasearch.cli.tables import encoded, ending_format

    if as_json and file_format not in (None, "json"):
        raise UserError(f"--json and --format {file_format} contradict each other: leave one of them out.")
    chosen = "json" if as_json else file_format or ending_format(out)
    content = encoded(existing(store).query(sql), chosen, to_file=out is not None)
    if out is not None:
        write_whole(out, content)
    elif chosen in BINARY and sys.stdout.isatty():
        raise UserError(f"{chosen} is for programs, not for a terminal: name a file with --out, or send it through a pipe.")
    else:
        sys.stdout.buffer.write(content)
