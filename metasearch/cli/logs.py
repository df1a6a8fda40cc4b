"""``metasearch logs``: what happened in a sweep, line by line, while it runs and afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from metasearch.cli.options import JsonOption, StoreOption, existing, sweep_names

LOOK_SECONDS = 1.0


def logs(
    sweep: Annotated[
        str | None, typer.Argument(help="Name of the sweep; the latest if left out.", autocompletion=sweep_names)
    ] = None,
    trial: Annotated[int | None, typer.Option(help="Only this trial.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the driver ends.")] = False,
    driver: Annotated[bool, typer.Option("--driver", help="What a detached driver printed, instead.")] = False,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """What happened in a sweep, from any machine that sees the store. Ctrl-C ends the following, not the sweep."""
    from metasearch.cli.tables import emit_json

    opened = existing(store)
    name = sweep or opened.latest()
    if driver:
        told = opened.driver_output(name) or f"No driver of {name} ran detached.\n"
        print(told, end="")
        return
    lines = (line for line in _lines(opened, name, follow) if trial in (None, line["trial"]))
    if as_json:
        emit_json(list(lines))
        return
    for line in lines:
        print(_shown(line), flush=True)


def _lines(store: Any, sweep: str, follow: bool) -> Iterator[dict[str, Any]]:
    from metasearch.core.event import Failed
    from metasearch.report.story import Teller

    teller, known = Teller(), 0
    while True:
        running = follow and store.is_running(sweep)
        for fact in store.facts(sweep, known):
            known += 1
            for number, event in teller.tell(fact):
                yield {**vars(event), "trial": number, "detail": fact.detail if isinstance(fact, Failed) else ""}
        if not running:
            return
        time.sleep(LOOK_SECONDS)


def _shown(line: dict[str, Any]) -> str:
    from metasearch.cli.screen import clock

    whose = "" if line["trial"] is None else f"trial {line['trial']}: "
    detail = "".join(f"\n{'':11}{text}" for text in line["detail"].splitlines())
    return f"{clock(line['seconds']):>9}  {whose}{line['what']}{detail}"
