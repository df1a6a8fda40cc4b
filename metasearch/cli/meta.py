"""``metasearch meta``: what is learned from all sweeps of a store, and what it is worth there."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from metasearch.cli.options import JsonOption, StoreOption, answer, existing

app = typer.Typer(no_args_is_help=True, help="What is learned from all sweeps of a store, and what it is worth there.")


@app.command()
def learn(
    part: Annotated[str, typer.Argument(help="selector (searcher and scheduler) or optimizer (controller).")] = "selector",
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """Learn from all sweeps of the store, and keep it there for the next sweep with `meta`."""
    from metasearch.cli.learned import card_of, learned_lines
    from metasearch.sweep.learned import checked_part, prepared

    card = prepared(existing(store), checked_part(part))
    answer(card_of(card), learned_lines(card), as_json)


@app.command()
def card(
    digest: Annotated[str | None, typer.Argument(help="Which theta, by its first digits; the newest if left out.")] = None,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """What a theta was learned from, and how it did on tasks that it had not seen."""
    from metasearch.cli.learned import card_lines, card_of, chosen_card

    found = chosen_card(existing(store), digest)
    answer(card_of(found), card_lines(found), as_json)


@app.command("eval")
def evaluate(
    store: StoreOption = "./store",
    tasks: Annotated[int | None, typer.Option(min=1, help="At most so many tasks; all if left out.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Searches per task and algorithm.")] = 3,
    budget: Annotated[float, typer.Option(help="In full trainings: the median length of a task's trials.")] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Would it have paid off? Every task of the store is searched again in virtual time, knowing only the other tasks."""
    from metasearch.cli.learned import evaluation_lines
    from metasearch.sweep.evaluation import evaluate as held_out

    found = held_out(existing(store), tasks=tasks, seeds=seeds, budget=budget, note=lambda line: print(line, file=sys.stderr))
    answer(found.record(), evaluation_lines(found), as_json)
