"""Folders that Ray needs while a driver lives. What a killed driver left behind, the next one removes."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "msray-"
"""Short: Ray puts sockets below, whose paths may have 107 characters at most."""

_LOCK = "in-use"


@contextmanager
def scratch_folder() -> Iterator[str]:
    """A new folder for temporary files, gone after the block. A lock, which dies with its process, tells that it is in use."""
    root = Path(tempfile.gettempdir())
    _remove_abandoned(root)
    hidden = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=root))
    with (hidden / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = hidden.rename(root / hidden.name[1:])  # seen by others only once it is locked
        try:
            yield str(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(root: Path) -> None:
    for lock_path in root.glob(f"{PREFIX}*/{_LOCK}"):
        with suppress(OSError), lock_path.open("r+") as lock:
            if os.fstat(lock.fileno()).st_uid != os.getuid():
                continue
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock_path.parent, ignore_errors=True)
