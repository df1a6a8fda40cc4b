"""What several commands share: options, and how an answer is printed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from metasearch.core.errors import UserError

StoreOption = Annotated[str, typer.Option("--store", envvar="METASEARCH_STORE", help="Folder or s3:// URL that holds all sweeps.")]


def sweep_names(context: typer.Context, incomplete: str) -> list[str]:
    """What the shell offers for a sweep: those of the store that the line names so far. Never an error on somebody's prompt."""
    from metasearch.store.archive import Store

    try:
        sweeps = Store(context.params.get("store") or os.environ.get("METASEARCH_STORE", "./store")).sweeps()
    except (UserError, OSError):
        return []
    return [name for name in sweeps if name.startswith(incomplete)]


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def named_number(option: str, text: str) -> tuple[str, float]:
    """NAME=X as an option takes it."""
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise UserError(f'{option} expects NAME=NUMBER, found "{text}".') from None


def existing(url: str) -> Any:
    """The store at ``url``; a read must not make an empty one."""
    from metasearch.store.archive import Store

    if "://" not in url and not Path(url).is_dir():
        raise UserError(f"There is no store at {url}. Launch a sweep with --store {url}, or name the store you mean.")
    return Store(url)


def answer(found: Any, lines: list[str], as_json: bool) -> None:
    """For programs or for people."""
    from metasearch.cli.tables import emit_json

    if as_json:
        emit_json(found)
    else:
        print("\n".join(lines))
