"""Commands that ask the store: best, compare, query."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metasearch.cli.options import JsonOption, StoreOption, answer, existing, sweep_names, write_whole
from metasearch.core.errors import UserError
from metasearch.core.task import metric_value

if TYPE_CHECKING:
    from metasearch.report.comparison import Comparison

BINARY = ("parquet", "arrow")

NEAREST = 3
"""So many similar tasks are shown."""


def register(app: typer.Typer) -> None:
    """Puts the commands of this file among those of ``app``."""
    for command in (best, compare, query):
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
    if as_json:
        emit_rows(rows, as_json=True)
        return
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    value = metrics if len(metrics) == 1 else ["metric", "value"]
    compared = () if by == "trial" else (by, "trials", "median")
    columns = ("task", *(("distance",) if like is not None else ()), *compared, *_BEFORE, *value, *_AFTER)
    emit_rows([_as_seen(row) for row in rows], as_json=False, columns=list(dict.fromkeys(columns)))


_BEFORE, _AFTER = ("sweep", "trial", "strategy"), ("step", "seconds", "parameters", "seeds", "noise", "tied_with")


def _as_seen(row: dict[str, Any]) -> dict[str, Any]:
    """With the metric under its own name, and the median of a set as the metric reads."""
    median = row.get("median_loss")
    seen = {} if median is None else {"median": metric_value(median, row["better"])}
    return {**row, row["metric"]: row["value"], **seen}


def _distances(store: Any, task: str | None, like: str | None) -> dict[str, float]:
    if like is None:
        return {}
    if task is not None:
        raise UserError("--task names one task, --like those that are like one: leave one of the two out.")
    from metasearch.sweep.similar import similar_tasks

    return {similar.task_id: similar.distance for similar in similar_tasks(store, like)[:NEAREST]}


SweepArgument = Annotated[str, typer.Argument(help="Name of a sweep.", autocompletion=sweep_names)]


def compare(one: SweepArgument, other: SweepArgument, store: StoreOption = "./store", as_json: JsonOption = False) -> None:
    """Two sweeps of one task side by side: the best after equal budgets, what each took, and how the winners differ."""
    from metasearch.report import comparison

    found = comparison.compare(existing(store), one, other)
    answer(vars(found), _comparison_lines(found), as_json)


def _comparison_lines(found: Comparison) -> list[str]:
    from metasearch.cli.screen import clock, count
    from metasearch.cli.tables import cell

    names = [sweep["sweep"] for sweep in found.sweeps]
    width = max(12, *map(len, names))

    def row(head: str, values: Iterable[Any]) -> str:
        return f"{head:<24}" + "".join(f"  {cell(value):<{width}}" for value in values).rstrip()

    lines = [f"{found.task}: {found.metric}, {found.direction} is better", row("", names)]
    lines += [row(head, [sweep[head] for sweep in found.sweeps]) for head in ("searcher", "trials")]
    lines += [row(found.metric, [found.value(sweep["loss"]) for sweep in found.sweeps])]
    lines += [row(head, [sweep[head] for sweep in found.sweeps]) for head in ("seeds", "strategy")]
    lines += [row(f"{found.unit} spent", [count(sweep["steps"]) for sweep in found.sweeps])]
    lines += [row("time", [clock(sweep["seconds"]) for sweep in found.sweeps]), "best so far after"]
    for budget in found.budgets:
        at = f"{count(budget['steps'])} {found.unit}" if "steps" in budget else clock(budget["seconds"])
        lines.append(row(f"  {at}", [found.value(budget[name]) for name in names]))
    lines += [_reaching(name, other, found) for name, other in (names, reversed(names))]
    lines += ["the winners differ in"] * bool(found.differing)
    lines += [row(f"  {name}", values) for name, values in found.differing.items()]
    return [*lines, _verdict(found)]


def _reaching(name: str, other: str, found: Comparison) -> str:
    from metasearch.cli.screen import clock, count

    spent = found.to_reach[name]
    if spent is None:
        return f"{name} never was where {other} ended"
    return f"{name} was where {other} ended after {count(spent['steps'])} {found.unit}, {clock(spent['seconds'])}"


def _verdict(found: Comparison) -> str:
    if found.difference is None:
        return "neither has a winner" if found.better is None else f"only {found.better} has a winner"
    better = f"{found.better} is {found.direction} by {found.difference:.4g}"
    if found.tied is None:
        return f"{better}; no config of the store has two seeds, so the noise between seeds is unknown"
    return f"{better}; " + ("tied" if found.tied else "more than chance") + f", with a noise of {found.noise:.4g} between seeds"


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
