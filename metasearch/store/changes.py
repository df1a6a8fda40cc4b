"""Which sweeps have changed since the compacted tables were made: a mark for each, left by its writer before it appends.

A compacted table names the marks that were there before it was made. A sweep with any other mark must be read anew. Marks are
listed before the table is opened, and deleted after a new one lies in its place; so whatever a reader finds, it is never too old.
"""

from __future__ import annotations

import secrets

from metasearch.store.files import Files

FOLDER = "compacted"
MARKS = f"{FOLDER}/changed"


def mark(files: Files, sweep: str) -> None:
    """Durable when it returns."""
    files.write_atomic(f"{MARKS}/{sweep}#{secrets.token_hex(4)}", b"")


def marks(files: Files) -> set[str]:
    return {name for name in files.names(MARKS) if "#" in name and not name.startswith(".")}


def marked(found: set[str]) -> set[str]:
    """The sweeps that these marks are of."""
    return {name.rpartition("#")[0] for name in found}


def drop(files: Files, covered: set[str]) -> None:
    for name in covered:
        files.delete(f"{MARKS}/{name}")
