"""Stores that break: the tests of every promise about crashes, full disks and second writers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from metasearch.store.files import Files, StoreUnavailable
from metasearch.store.locks import Held, Holder, WriterLock
from metasearch.store.paths import checked
from metasearch.testing.crash import Crash


class MemoryFiles:
    """Files of a store in memory, as quick as properties need them."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.locks: set[str] = set()

    @property
    def url(self) -> str:
        return "memory"

    def read(self, path: str) -> bytes:
        try:
            return self.contents[checked(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    def write_atomic(self, path: str, content: bytes) -> None:
        self.contents[checked(path)] = content

    def create_exclusive(self, path: str, content: bytes) -> None:
        if path in self.contents:
            raise FileExistsError(path)
        self.write_atomic(path, content)

    def names(self, folder: str) -> list[str]:
        start = f"{folder}/" if folder else ""
        return sorted({path[len(start) :].split("/")[0] for path in self.contents if path.startswith(start)})

    def exists(self, path: str) -> bool:
        return path in self.contents

    def delete(self, path: str) -> None:
        self.contents.pop(path, None)

    def lock(self, path: str) -> WriterLock:
        holder = self.holder(path)
        if holder is not None:
            raise Held(holder)
        self.locks.add(path)
        return _MemoryLock(self.locks, path)

    def holder(self, path: str) -> Holder | None:
        return Holder(1, "memory", "", "now") if path in self.locks else None


@dataclass
class _MemoryLock:
    locks: set[str]
    path: str

    @property
    def owner(self) -> str:
        return ""

    def renew(self) -> None:
        pass

    def check(self) -> None:
        pass

    def release(self) -> None:
        self.locks.discard(self.path)


class Death(Enum):
    """When a process dies in the middle of a write or deletion: before it, after it, or with half of it on the disk."""

    BEFORE = "before"
    TORN = "torn"
    AFTER = "after"


@dataclass
class DyingFiles:
    """Passes everything on to ``files`` until write or deletion number ``at``, from 0, in which the process dies.

    As the kernel would, it lets go of the locks. ``TORN`` is what a disk does that lies about durability; half a deletion is none.
    """

    files: Files
    at: int
    death: Death
    changes: int = field(default=0, init=False)
    _locks: list[WriterLock] = field(default_factory=list, init=False)

    @property
    def url(self) -> str:
        return self.files.url

    def read(self, path: str) -> bytes:
        return self.files.read(path)

    def write_atomic(self, path: str, content: bytes) -> None:
        dies = self._dies_now()
        if not dies or self.death is Death.AFTER:
            self.files.write_atomic(path, content)
        elif self.death is Death.TORN:
            self.files.write_atomic(path, content[: len(content) // 2])
        self._die_if(dies)

    def create_exclusive(self, path: str, content: bytes) -> None:
        if self.files.exists(path):
            raise FileExistsError(path)
        self.write_atomic(path, content)

    def names(self, folder: str) -> list[str]:
        return self.files.names(folder)

    def exists(self, path: str) -> bool:
        return self.files.exists(path)

    def delete(self, path: str) -> None:
        dies = self._dies_now()
        if not dies or self.death is Death.AFTER:
            self.files.delete(path)
        self._die_if(dies)

    def lock(self, path: str) -> WriterLock:
        self._locks.append(self.files.lock(path))
        return self._locks[-1]

    def holder(self, path: str) -> Holder | None:
        return self.files.holder(path)

    def _dies_now(self) -> bool:
        self.changes += 1
        return self.changes == self.at + 1

    def _die_if(self, dies: bool) -> None:
        if dies:
            for lock in self._locks:
                lock.release()
            raise Crash


@dataclass
class FailingFiles:
    """Passes everything on to ``files``, but the writes whose numbers, from 0, are in ``failing`` raise StoreUnavailable.

    With ``arrives``, the content of a failing write is there nevertheless: only the answer got lost.
    """

    files: Files
    failing: frozenset[int]
    arrives: bool = False
    writes: int = field(default=0, init=False)

    @property
    def url(self) -> str:
        return self.files.url

    def read(self, path: str) -> bytes:
        return self.files.read(path)

    def write_atomic(self, path: str, content: bytes) -> None:
        self._write(path, content, exclusive=False)

    def create_exclusive(self, path: str, content: bytes) -> None:
        self._write(path, content, exclusive=True)

    def names(self, folder: str) -> list[str]:
        return self.files.names(folder)

    def exists(self, path: str) -> bool:
        return self.files.exists(path)

    def delete(self, path: str) -> None:
        self.files.delete(path)

    def lock(self, path: str) -> WriterLock:
        return self.files.lock(path)

    def holder(self, path: str) -> Holder | None:
        return self.files.holder(path)

    def _write(self, path: str, content: bytes, *, exclusive: bool) -> None:
        fails = self.writes in self.failing
        self.writes += 1
        if not fails or self.arrives:
            (self.files.create_exclusive if exclusive else self.files.write_atomic)(path, content)
        if fails:
            raise StoreUnavailable(f"Cannot write {path}: the store is out of order.")
