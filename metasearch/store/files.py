"""Where a store lives: a folder or an object store, behind the few operations that the rest needs.

Nothing else knows which of the two it is. Paths are relative, with forward slashes, and cannot leave the store.
"""

from __future__ import annotations

import os
from typing import Protocol

from metasearch.store.local import LocalFiles
from metasearch.store.locks import Holder, WriterLock
from metasearch.store.paths import StoreUnavailable

__all__ = ["Files", "StoreUnavailable", "open_files"]


class Files(Protocol):
    """Files under one root. Every method raises StoreUnavailable for whatever has nothing to do with the file itself."""

    @property
    def url(self) -> str:
        """The root, so that ``open_files`` opens the same from anywhere. Never holds credentials."""
        ...

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError if there is no such file."""
        ...

    def write_atomic(self, path: str, content: bytes) -> None:
        """Durable when it returns; a reader sees the old content or the new, never a part."""
        ...

    def create_exclusive(self, path: str, content: bytes) -> None:
        """As ``write_atomic``, but raises FileExistsError if the file is there already."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names of the files and folders directly in ``folder``, sorted; empty if it does not exist."""
        ...

    def exists(self, path: str) -> bool: ...

    def delete(self, path: str) -> None:
        """Does nothing if there is no such file."""
        ...

    def lock(self, path: str) -> WriterLock:
        """Raises metasearch.store.locks.Held if another process holds it."""
        ...

    def holder(self, path: str) -> Holder | None:
        """Who holds that lock now, if anybody. Does not take it."""
        ...


def open_files(url: str | os.PathLike[str]) -> Files:
    """A local path, ``file://``, ``s3://bucket/prefix?endpoint_override=host:port&scheme=http`` or another URL pyarrow knows.

    Credentials come from the environment only. Raises UserError for a URL that cannot work.
    """
    text = os.fspath(url)
    if "://" not in text or text.startswith("file://"):
        return LocalFiles(text.removeprefix("file://"))
    from metasearch.store.objects import object_files  # the clients of object stores take a while to load

    return object_files(text)
