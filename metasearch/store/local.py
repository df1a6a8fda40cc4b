"""A store in a folder of a local or shared file system."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from metasearch.store.locks import FileLock, Holder, WriterLock
from metasearch.store.paths import checked, unavailable

TEMPORARY = ".tmp"
"""The ending of files that are still being written; whatever bears it after a crash may be deleted."""


class LocalFiles:
    """Files under a folder, which is made by the first write."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).expanduser().absolute()

    @property
    def url(self) -> str:
        return str(self.root)

    def read(self, path: str) -> bytes:
        try:
            return self._at(path).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unavailable("read", path, self.url, error) from error

    def write_atomic(self, path: str, content: bytes) -> None:
        self._publish(path, content, os.replace)

    def create_exclusive(self, path: str, content: bytes) -> None:
        # A hard link, unlike a rename, fails if the name is taken: two writers cannot both believe that they wrote it.
        self._publish(path, content, os.link)

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(self._at(folder) if folder else self.root))
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            if self.root.is_dir():
                return []  # somebody else's file among our folders
            raise unavailable("list", folder, self.url, error) from error
        except OSError as error:
            raise unavailable("list", folder, self.url, error) from error

    def exists(self, path: str) -> bool:
        try:
            return self._at(path).exists()
        except OSError as error:
            raise unavailable("look for", path, self.url, error) from error

    def delete(self, path: str) -> None:
        try:
            self._at(path).unlink(missing_ok=True)
        except OSError as error:
            raise unavailable("delete", path, self.url, error) from error

    def lock(self, path: str) -> WriterLock:
        target = self._at(path)
        try:
            _make_folder(target.parent)
            return FileLock(target)
        except OSError as error:
            raise unavailable("lock", path, self.url, error) from error

    def holder(self, path: str) -> Holder | None:
        try:
            return FileLock.holder(self._at(path))
        except OSError as error:
            raise unavailable("look at", path, self.url, error) from error

    def _at(self, path: str) -> Path:
        return self.root / checked(path)

    def _publish(self, path: str, content: bytes, publish: Callable[[Path, Path], None]) -> None:
        """Writes a temporary file beside the target, makes it durable, and only then gives it its name."""
        target = self._at(path)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{TEMPORARY}")
        try:
            _write_durably(temporary, content)
            try:
                publish(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(target.parent)
        except FileExistsError:
            raise
        except OSError as error:
            raise unavailable("write", path, self.url, error) from error


def _write_durably(path: Path, content: bytes) -> None:
    """Leaves no file behind if it fails."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileNotFoundError:
        _make_folder(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
            os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _make_folder(folder: Path) -> None:
    """Every folder that is new is an entry in its parent, which has to be made durable too."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _sync_folder(made.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
