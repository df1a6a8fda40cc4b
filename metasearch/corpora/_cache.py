"""Tokenized corpora on disk: one folder per entry, complete or not there at all.

    <cache>/corpora/<key>/tokens.npy     ids of train, valid and test, one after the other
                          entry.json     facts about them, sealed with a hash of both

One process of a machine builds an entry, under a lock that dies with it, and the others wait for it: a text is read and tokenized
once, and its tokens are in memory once, however many workers map them. Where a file system knows no locks, several may build at
once: each writes a folder of its own and renames it; the first wins. An entry that does not match its seal is set aside and built
anew.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metasearch.core.errors import UserError
from metasearch.corpora._text import digest, digest_file

ATTEMPTS = 10
"""More than one is needed only while several processes replace one damaged entry."""


@dataclass(frozen=True)
class Entry:
    """``tokens``: ids of all splits, one-dimensional; read-only and memory-mapped once it comes from the cache."""

    tokens: np.ndarray
    facts: dict[str, Any]


def folder() -> Path:
    """``METASEARCH_CACHE``, or ``metasearch`` in the user's cache folder."""
    if own := os.environ.get("METASEARCH_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "metasearch"


def get(root: Path, key: str, build: Callable[[], Entry]) -> Entry:
    """The entry under ``key``, built if it is missing or damaged. Raises UserError if the cache cannot be written."""
    place = root / "corpora" / key
    found = _read(place)
    if found is not None:
        return found
    with _alone(root, key):
        return _read(place) or _built(root, place, build)


def _built(root: Path, place: Path, build: Callable[[], Entry]) -> Entry:
    built = build()
    try:
        return _publish(place, built)
    except OSError as error:
        raise UserError(
            f"The cache folder {root} cannot be written: {error.strerror or error}. "
            "Free some space, or set METASEARCH_CACHE to another folder."
        ) from error


@contextmanager
def _alone(root: Path, key: str) -> Iterator[None]:
    """Inside, no other process of this machine builds the entry, if the cache's file system has locks."""
    path = root / "locks" / key
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError:  # whoever writes the entry will say so
        yield
        return
    with lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(place: Path) -> Entry | None:
    """The entry, or None if any byte of it is missing or wrong."""
    try:
        sealed = json.loads((place / "entry.json").read_text(encoding="utf-8"))
        if sealed["seal"] != _seal(sealed["facts"], digest_file(place / "tokens.npy")):
            return None
        mapped = np.load(place / "tokens.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Entry(mapped.view(np.ndarray), sealed["facts"])  # slicing np.memmap itself is several times slower


def _publish(place: Path, entry: Entry) -> Entry:
    """Put the entry in its place in one step, unless another process has put a good one there; what is there now, read back."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=place.parent, ignore_cleanup_errors=True) as scratch:
        for attempt in range(ATTEMPTS):
            found = _read(place)
            if found is not None:
                return found
            draft = Path(scratch, f"draft-{attempt}")
            _write(draft, entry)
            with suppress(FileNotFoundError):  # there was no damaged entry, or another process was faster
                place.rename(Path(scratch, f"damaged-{attempt}"))
            try:
                draft.rename(place)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # these two: another process was faster
                    raise
    raise OSError(errno.EIO, f"{place} does not read back as it was written")


def _write(draft: Path, entry: Entry) -> None:
    draft.mkdir()
    np.save(draft / "tokens.npy", entry.tokens, allow_pickle=False)
    sealed = {"seal": _seal(entry.facts, digest_file(draft / "tokens.npy")), "facts": entry.facts}
    (draft / "entry.json").write_text(json.dumps(sealed, allow_nan=False), encoding="utf-8")


def _seal(facts: dict[str, Any], token_hash: str) -> str:
    return digest(json.dumps([facts, token_hash], sort_keys=True).encode())
