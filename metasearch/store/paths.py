"""What a path in a store may be, and what goes wrong with files, in the user's terms."""

from __future__ import annotations

import errno
import os
from pathlib import PurePosixPath

from metasearch.core.errors import UserError


class StoreUnavailable(UserError):  # noqa: N818
    """The store is missing, unreachable, full or not writable. The same operation may succeed later.

    ``passing``: whether it may without anybody's doing.
    """

    passing = True


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
    fault = StoreUnavailable(f"Cannot {action} {path} in the store {root}: {found}. {_remedy(error)}")
    fault.passing = error.errno not in _LASTING
    return fault


def without_secrets(text: str) -> str:
    """``text`` with every credential of the environment blotted out."""
    for variable in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"):
        secret = os.environ.get(variable, "")
        text = text.replace(secret, "***") if len(secret) >= 4 else text
    return text.rstrip(".")


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_LASTING = (*_FORBIDDEN, *_NO_FOLDER, *_NO_LOCKS)


def _remedy(error: OSError) -> str:
    if error.errno in _FULL:
        return "Free some space there; nothing that was written before is lost."
    if error.errno in _FORBIDDEN:
        return "Give this user the right to write there, or name another store."
    if error.errno in _NO_FOLDER:
        return "Name a folder as the store, or a URL such as s3://bucket/prefix."
    if error.errno in _NO_LOCKS:
        return "Its file system knows no locks: mount it with them (NFS: version 4 or lockd; Lustre: -o flock)."
    return "Check that it can be reached from this machine and that the credentials in the environment are right."
