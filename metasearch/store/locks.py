"""One writer per sweep: a lock that dies with its process on file systems, a lease that runs out on object stores."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. ``space`` tells process numbers of different containers on one host apart."""

    pid: int
    host: str
    space: str
    since: str

    @staticmethod
    def me() -> Holder:
        now = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
        return Holder(os.getpid(), socket.gethostname(), _process_space(), now)

    @staticmethod
    def parse(content: bytes) -> Holder:
        """Whoever wrote ``content``; unknown where it cannot be read."""
        try:
            record = json.loads(content)
            return Holder(int(record["pid"]), str(record["host"]), str(record["space"]), str(record["since"]))
        except (ValueError, KeyError, TypeError):
            return Holder(0, "unknown", "", "unknown")

    @property
    def known_dead(self) -> bool:
        """Did it run here, and is it gone? False whenever that cannot be told from this machine."""
        if (self.host, self.space) != (socket.gethostname(), _process_space()) or self.pid <= 0:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def __str__(self) -> str:
        return f"pid {self.pid or 'unknown'} on host {self.host} since {self.since}"


class Held(Exception):  # noqa: N818
    """Another process holds the lock; ``until`` says when it would run out by itself, where it does."""

    def __init__(self, holder: Holder, until: str = "") -> None:
        super().__init__(f"held by {holder}")
        self.holder = holder
        self.until = until


class WriterLock(Protocol):
    """Held from its making until ``release``, or until the process dies."""

    @property
    def owner(self) -> str:
        """A name of its own for a lock that can be lost without notice; empty if this one cannot."""
        ...

    def renew(self) -> None:
        """To be called now and then. Raises Held if another process has it by now."""
        ...

    def check(self) -> None:
        """Raises Held if another process has it now."""
        ...

    def release(self) -> None:
        """A second release does nothing."""
        ...


class FileLock:
    """``flock`` on a file: the kernel lets go of it however the process ends. The content only says who holds it."""

    def __init__(self, path: Path) -> None:
        """Raises Held, or OSError if the file cannot be made."""
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock_exclusively(self._descriptor)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(asdict(Holder.me())).encode(), 0)
        except BaseException:
            self.release()
            raise

    @staticmethod
    def holder(path: Path) -> Holder | None:
        """Whoever holds the lock now. Raises OSError if the file is there but cannot be opened."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            return Holder.parse(os.pread(descriptor, 4096, 0))
        finally:
            os.close(descriptor)

    @property
    def owner(self) -> str:
        return ""

    def renew(self) -> None:
        pass

    def check(self) -> None:
        pass

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock_exclusively(descriptor: int) -> None:
    """Tries for a moment, because whoever only asks for the holder takes the lock for a few microseconds."""
    for attempt in range(10):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.002 * attempt)
    raise Held(Holder.parse(os.pread(descriptor, 4096, 0)))


class LeaseStore(Protocol):
    """What a lease needs of an object store."""

    def read(self, path: str) -> bytes: ...
    def write_atomic(self, path: str, content: bytes) -> None: ...
    def delete(self, path: str) -> None: ...


class Lease:
    """An object that names its holder and a time after which anyone may take it.

    Object stores offer no lock here, so two processes that ask within one round trip are told apart by reading back: the last one
    to write holds it, the other is refused at the latest at its next renewal. Clocks may differ by a quarter of the term. What a
    process writes that does not know yet that it lost its lease, the log's epochs keep out.
    """

    TERM_SECONDS = 60.0

    def __init__(self, files: LeaseStore, path: str) -> None:
        """Raises Held if the lease is another's and has not run out."""
        self._files = files
        self._path = path
        self._holder = Holder.me()
        self._owner = os.urandom(8).hex()
        self._renewed = 0.0
        self._take()

    @staticmethod
    def holder(files: LeaseStore, path: str) -> Holder | None:
        """Whoever holds the lease now."""
        return _living_holder(_read_lease(files, path))

    @property
    def owner(self) -> str:
        return self._owner

    def renew(self) -> None:
        if time.time() - self._renewed > self.TERM_SECONDS / 4:
            self._take()

    def check(self) -> None:
        self._refuse_if_held()

    def release(self) -> None:
        if _read_lease(self._files, self._path).get("owner") == self._owner:
            self._files.delete(self._path)
        self._owner = ""

    def _take(self) -> None:
        self._refuse_if_held()
        now = time.time()
        record = {**asdict(self._holder), "owner": self._owner, "expires": now + self.TERM_SECONDS}
        self._files.write_atomic(self._path, json.dumps(record).encode())
        self._refuse_if_held()
        self._renewed = now

    def _refuse_if_held(self) -> None:
        lease = _read_lease(self._files, self._path)
        holder = _living_holder(lease)
        if holder is not None and lease.get("owner") != self._owner:
            raise Held(holder, f"; its lease runs out in {_seconds_left(lease):.0f} s unless it is renewed")


def _read_lease(files: LeaseStore, path: str) -> dict[str, Any]:
    try:
        return dict(json.loads(files.read(path)))
    except (FileNotFoundError, ValueError):
        return {}


def _living_holder(lease: dict[str, Any]) -> Holder | None:
    holder = Holder.parse(json.dumps(lease).encode())
    return holder if _seconds_left(lease) > 0 and not holder.known_dead else None


def _seconds_left(lease: dict[str, Any]) -> float:
    return float(lease.get("expires", 0.0)) - time.time()


def _process_space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
