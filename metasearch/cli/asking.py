"""Trials for whoever runs them: ``metasearch ask`` hands one out, ``metasearch tell`` hears what became of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metasearch.cli.options import JsonOption, StoreOption, answer, named_number, sweep_names
from metasearch.core.errors import UserError

if TYPE_CHECKING:
    from metasearch.sweep.asking import AskTell, Told

NOTHING_NOW = 3
"""Exit code: trials are running, and until one of them ends there is nothing to start."""

OVER = 4
"""Exit code: nothing is left to try, or the budget is used up."""


def ask(
    sweep: Annotated[str, typer.Argument(help="Sweep file (YAML), or the name of a sweep.", autocompletion=sweep_names)],
    store: StoreOption = "./store",
    trials: Annotated[str | None, typer.Option(help="New limit of trials, or +20 for 20 more.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hand out a trial to run yourself. Exit code 3: nothing now, ask again later; 4: the sweep is over."""
    with _opened(sweep, store, trials) as search:
        asked = search.ask()
        finished, best = search.finished, search.history.best
        task = search.history.sweep.task
    if asked is not None:
        lines = [f"{asked.sweep}/{asked.number} (leg {asked.leg}, seed {asked.seed}): {task.unit} {asked.step} to {asked.steps}"]
        answer(asdict(asked), [*lines, *(f"  {name}: {value}" for name, value in asked.config.items())], as_json)
        return
    won = None
    if best is not None:
        won = {"trial": best.number, "loss": best.best_loss, "value": task.value(best.best_loss), "config": dict(best.config)}
    told = finished or "nothing to start now: trials are running"
    answer({"number": None, "finished": finished, "best": won}, [told], as_json)
    raise typer.Exit(NOTHING_NOW if finished is None else OVER)


def tell(
    trial: Annotated[str, typer.Argument(help="SWEEP/NUMBER, as `ask` called it.")],
    loss: Annotated[float | None, typer.Option(help="The task's metric; nan if the trial diverged.")] = None,
    step: Annotated[int | None, typer.Option(help="Where on the curve; the end of a full trial if left out.")] = None,
    metric: Annotated[list[str] | None, typer.Option(metavar="NAME=X", help="Something else that was measured.")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Training time of the trial so far; else the time since the last news.")
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="The trial has nothing more to train.")] = False,
    failed: Annotated[str | None, typer.Option(metavar="ERROR", help="Instead of a loss: the trial crashed.")] = None,
    leg: Annotated[int | None, typer.Option(help="The leg that `ask` named, to have news of an older one ignored.")] = None,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """Report a trial that `ask` handed out, and hear whether it should continue, pause or stop."""
    name, slash, number = trial.rpartition("/")
    if not slash or not number.isdigit():
        raise UserError(f'A trial is named SWEEP/NUMBER, found "{trial}".')
    if (loss is None) == (failed is None):
        raise UserError("Tell either --loss or --failed.")
    measured = dict(named_number("--metric", text) for text in metric or ())
    with _opened(name, store, None) as search:
        if failed is not None:
            told = search.fail(int(number), failed, leg=leg)
        else:
            assert loss is not None
            told = search.tell(int(number), loss=loss, step=step, metrics=measured, seconds=seconds, last=last, leg=leg)
    answer(asdict(told), [_line(told)], as_json)


def _opened(sweep: str, store: str, trials: str | None) -> AskTell:
    from metasearch.cli.options import existing
    from metasearch.sweep.asking import AskTell
    from metasearch.sweep.file import read

    if Path(sweep).suffix in (".yaml", ".yml"):
        return AskTell(read(sweep), store, trials=trials)
    return AskTell(sweep, existing(store), trials=trials)


def _line(told: Told) -> str:
    directive: dict[str, Any] = asdict(told.directive) if told.directive is not None else {}
    wanted = {name: value for name, value in directive.items() if value}
    return told.action + (f": {told.reason}" if told.reason else "") + (f" {json.dumps(wanted)}" if wanted else "")
