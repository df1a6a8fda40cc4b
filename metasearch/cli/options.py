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


AddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster: auto, host:port, ray://… or local, which is the default.", envvar="RAY_ADDRESS")
]
CpusOption = Annotated[int | None, typer.Option(help="CPUs of the local cluster; all of this machine if left out.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
TrialArgument = Annotated[str, typer.Argument(help="SWEEP/NUMBER, a NUMBER of the latest sweep, or SWEEP for its best trial.")]
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


def write_whole(path: Path, content: bytes) -> None:
    """All of it or nothing."""
    draft = path.with_name(f".{path.name}.tmp")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written: {error.strerror or error}. Name another file.") from error


def answer(found: Any, lines: list[str], as_json: bool) -> None:
    """For programs or for people."""
    from metasearch.cli.tables import emit_json

    if as_json:
        emit_json(found)
    else:
        print("\n".join(lines))


def named_trial(store: Any, text: str) -> tuple[str, int]:
    """The sweep and number of ``SWEEP/NUMBER``, of a number in the latest sweep, or of the best trial of a sweep by its name."""
    sweep, slash, number = text.rpartition("/")
    if number.isdigit():
        return (sweep if slash else store.latest()), int(number)
    if slash or text not in store.sweeps():
        from metasearch.core.errors import did_you_mean

        raise UserError(
            f'A trial is named SWEEP/NUMBER or NUMBER, or by a sweep whose best one is meant; found "{text}".'
            + did_you_mean(text, store.sweeps())
        )
    best = store.history(text).best
    if best is None:
        raise UserError(f"No trial of {text} has a finite loss, so it has no best one. Name one as {text}/NUMBER.")
    return text, int(best.number)
