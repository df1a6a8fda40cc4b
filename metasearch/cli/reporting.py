"""Commands that tell how a sweep or a trial went: report, why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metasearch.cli.options import JsonOption, StoreOption, TrialArgument, answer, existing, named_trial, write_whole

if TYPE_CHECKING:
    from metasearch.store.archive import Store


def register(app: typer.Typer) -> None:
    """Puts the commands of this file among those of ``app``."""
    for command in (report, why):
        app.command()(command)


def report(
    sweep: Annotated[str | None, typer.Argument(help="Name of the sweep; the latest if left out.")] = None,
    html: Annotated[Path | None, typer.Option(help="File to write; SWEEP.html if left out.")] = None,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """A sweep as one HTML file with all its pictures; needs no network. A report of a running sweep can be made at any time."""
    opened = existing(store)
    name = sweep or opened.latest()
    path = html or Path(f"{name}.html")
    size = write_report(opened, name, path)
    answer({"sweep": name, "html": str(path), "bytes": size}, [f"{path}: {size:,} bytes"], as_json)


def write_report(store: Store, sweep: str, path: Path, reload_seconds: float | None = None) -> int:
    """Writes or replaces the report; its size in bytes."""
    from metasearch.cli.controlled import control_lines, control_of
    from metasearch.cli.learned import reuse_lines, reuse_of
    from metasearch.core.history import History
    from metasearch.report.page import page

    facts = list(store.facts(sweep))
    history = History.fold(facts)
    reuse, control = reuse_of(store, history), control_of(store, history)
    learned = [*([] if reuse is None else reuse_lines(reuse)), *([] if control is None else control_lines(control))]
    text = page(facts, learned=learned, reload_seconds=reload_seconds).encode()
    write_whole(path, text)
    return len(text)


def why(trial: TrialArgument, store: StoreOption = "./store", as_json: JsonOption = False) -> None:
    """A trial's story: why it was proposed, judged, thawed and stopped, against what was known at each moment."""
    from metasearch.cli.screen import clock
    from metasearch.report.story import story
    from metasearch.sweep.handover import trial_of

    opened = existing(store)
    sweep, number = named_trial(opened, trial)
    _, found = trial_of(opened, sweep, number)
    events = story(opened.facts(sweep), number)
    head = f"{sweep}/{number}: {found.state.value}, {found.config.strategy}"
    told = {"sweep": sweep, "trial": number, "state": found.state.value, "story": [vars(event) for event in events]}
    answer(told, [head, *(f"{clock(event.seconds):>9}  {event.what}" for event in events)], as_json)
