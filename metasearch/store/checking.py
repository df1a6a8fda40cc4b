"""What is wrong with a store, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from metasearch.core.errors import UserError
from metasearch.core.history import History
from metasearch.store import changes, compacted
from metasearch.store.files import Files
from metasearch.store.local import TEMPORARY
from metasearch.store.log import SET_ASIDE, read_facts
from metasearch.store.sealed import BrokenSeal, stamps_of
from metasearch.store.segments import is_of_a_log, list_segments, lock_path, log_folder
from metasearch.store.thetas import get_theta


@dataclass(frozen=True)
class Finding:
    """``path`` in the store, what is wrong with it, and the remedy."""

    path: str
    wrong: str
    remedy: str


_ROOMS = ("sweeps", "thetas", changes.FOLDER)
_OF_A_SWEEP = ("log", "trials", "views", "writer.lock", "stop", "driver.log")
_FOREIGN = "metasearch did not write it"
_MOVE = "Move it out of the store; nothing here reads it."


def check(files: Files) -> Iterator[Finding]:
    """Every fault, by reading every log, every theta and all that was compacted. Changes nothing, and runs beside any driver."""
    for name in files.names(""):
        if name not in _ROOMS:
            yield Finding(name, _FOREIGN, _MOVE)
    for sweep in files.names("sweeps"):
        yield from _sweep(files, sweep)
    yield from _thetas(files)
    yield from _compacted(files)


def _sweep(files: Files, sweep: str) -> Iterator[Finding]:
    folder = f"sweeps/{sweep}"
    inside = files.names(folder)
    running = files.holder(lock_path(sweep)) is not None
    if not set(inside) & set(_OF_A_SWEEP):
        yield Finding(folder, _FOREIGN, _MOVE)
        return
    for name in inside:
        if name not in _OF_A_SWEEP and not name.endswith(TEMPORARY):
            yield Finding(f"{folder}/{name}", _FOREIGN, _MOVE)
    yield from _log(files, sweep)
    folders = [
        folder,
        log_folder(sweep),
        f"{folder}/views",
        *(f"{folder}/trials/{trial}" for trial in files.names(f"{folder}/trials")),
    ]
    for place in [] if running else folders:
        yield from _unfinished(files, place)


def _log(files: Files, sweep: str) -> Iterator[Finding]:
    folder = log_folder(sweep)
    for name in files.names(folder):
        if name.endswith(SET_ASIDE):
            remedy = "Everything before it is in the log; delete it when you need not look into it."
            yield Finding(f"{folder}/{name}", "it was torn and set aside", remedy)
        elif not is_of_a_log(name) and not name.endswith(TEMPORARY):
            yield Finding(f"{folder}/{name}", _FOREIGN, _MOVE)
    if not list_segments(files, sweep):
        yield Finding(
            f"sweeps/{sweep}", "it has no facts", "Its launch or merge was cut short: do that again, or delete the folder."
        )
        return
    try:
        History.fold(read_facts(files, sweep))
    except AssertionError as error:
        yield Finding(folder, f"its facts contradict each other: {error}", "Restore the folder from a backup.")
    except UserError as error:
        wrong, _, remedy = error.message.partition(". ")
        yield Finding(folder, wrong, remedy)


def _unfinished(files: Files, folder: str) -> Iterator[Finding]:
    for name in files.names(folder):
        if name.endswith(TEMPORARY):
            yield Finding(
                f"{folder}/{name}", "a process died while it wrote this", "Delete it; what it should have become is whole."
            )


def _thetas(files: Files) -> Iterator[Finding]:
    for name in files.names("thetas"):
        digest, _, ending = name.partition(".")
        if name.endswith(TEMPORARY):
            yield from _unfinished(files, "thetas")
        elif not re.fullmatch(r"[0-9a-f]+", digest) or ending not in ("safetensors", "json"):
            yield Finding(f"thetas/{name}", _FOREIGN, _MOVE)
        elif ending == "safetensors":
            try:
                get_theta(files, digest)
            except UserError as error:
                yield Finding(f"thetas/{name}", error.message, "Delete it; `metasearch meta learn` makes a new one.")


def _compacted(files: Files) -> Iterator[Finding]:
    paths = {compacted.path_of(view) for view in compacted.VIEWS}
    for name in files.names(changes.FOLDER):
        path = f"{changes.FOLDER}/{name}"
        if path in paths:
            try:
                stamps_of(files.read(path))
            except BrokenSeal as broken:
                yield Finding(
                    path, f"it is damaged ({broken})", "`metasearch store compact` makes it anew; until then it is not used."
                )
        elif name.endswith(TEMPORARY):
            yield from _unfinished(files, changes.FOLDER)
        elif path != changes.MARKS:
            yield Finding(path, _FOREIGN, _MOVE)
