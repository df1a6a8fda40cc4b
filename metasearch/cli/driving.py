"""Running a sweep from the command line: a screen while it runs, the outcome at its end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import typer

from metasearch.cli.options import answer
from metasearch.core.history import History


def drive(
    store: str,
    name: str,
    quiet: bool,
    as_json: bool,
    run: Any,
    more: Callable[[History], tuple[dict[str, Any], list[str]]] = lambda history: ({}, []),
) -> None:
    """Calls ``run`` with a store and an observer, prints how it ended and what ``more`` adds, and exits: 130 if interrupted."""
    from metasearch.cli.describe import outcome_lines, outcome_of
    from metasearch.cli.observe import Terminal
    from metasearch.store.archive import Store

    opened = Store(store)
    # Ray prints news of its own to standard output, which belongs to the answer.
    with redirect_stdout(sys.stderr), Terminal(opened, name, quiet=quiet) as terminal:
        outcome = run(store=opened, observer=terminal)
    told, lines = more(outcome.history)
    answer({**outcome_of(outcome, name), **told}, [*outcome_lines(outcome, name, store), *lines], as_json)
    raise typer.Exit(130 if outcome.reason.startswith("interrupted") else 0)
