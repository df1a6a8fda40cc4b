"""Where a store lives: a folder or an object store, behind the few operations that the rest needs.

Nothing above this file knows which of the two it is. Paths are relative, with forward slashes, and cannot leave the store.
"""

from __future__ import annotations

import errno
import os
from pathlib import PurePosixPath
from typing import Protocol

from metasearch.core.errors import UserError
from metasearch.store.locks import Holder, WriterLock


class StoreUnavailable(UserError):  # noqa: N818
    """The store is missing, unreachable, full or not writable. The same operation may succeed later."""


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
    from metasearch.store.local import LocalFiles

    text = os.fspath(url)
    if text.startswith("file://"):
        return LocalFiles(text.removeprefix("file://"))
    if "://" not in text:
        return LocalFiles(text)
    from metasearch.store.objects import object_files

    return object_files(text)


def checked(path: str) -> str:
    """``path``, if it stays inside the store. Raises UserError otherwise."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or any(part in ("..", ".") for part in path.split("/")) or "\\" in path or "\0" in path:
        raise UserError(f"The path {path!r} leads out of the store; expected names joined by /.")
    return path


def checked_name(noun: str, name: str) -> str:
    """``name``, if it can be the name of one file. Raises UserError otherwise."""
    if not name or len(name.encode()) > 200 or name[0] in "._ " or any(c in '/\\:*?"<>|#%' or ord(c) < 32 for c in name):
        raise UserError(
            f'The {noun} "{name}" cannot name a folder of the store; expected 1 to 200 bytes that do not start with a dot, '
            'an underscore or a space and hold none of / \\ : * ? " < > | # %.'
        )
    return name


def unavailable(action: str, path: str, root: str, error: OSError) -> StoreUnavailable:
    """What went wrong in the user's terms, with the remedy."""
    found = without_secrets(error.strerror or str(error))
    return StoreUnavailable(f"Cannot {action} {path} in the store {root}: {found}. {_remedy(error)}")


def without_secrets(text: str) -> str:
    """``text`` with every credential of the environment blotted out."""
    for variable in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"):
        secret = os.environ.get(variable, "")
        text = text.replace(secret, "***") if len(secret) >= 4 else text
    return text.rstrip(".")


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some space there; nothing that was written before is lost."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Give this user the right to write there, or name another store."
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG):
        return "Name a folder as the store, or a URL such as s3://bucket/prefix."
    if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        return "Its file system knows no locks: mount it with them (NFS: version 4 or lockd; Lustre: -o flock)."
    return "Check that it can be reached from this machine and that the credentials in the environment are right."
