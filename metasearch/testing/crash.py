"""A log whose process dies while it writes: the test of every promise about resuming."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from metasearch.core.event import Fact
from metasearch.core.protocols import Log


class Crash(BaseException):
    """The process is gone. Not an Exception: nothing may catch it and go on."""


@dataclass
class CrashLog:
    """Passes everything on to ``log`` until append number ``at``, from 0, which dies: after it is ``durable``, or before."""

    log: Log
    at: int
    durable: bool
    appends: int = field(default=0, init=False)

    def append(self, facts: Sequence[Fact]) -> None:
        dies = self.appends == self.at
        self.appends += 1
        if dies and not self.durable:
            raise Crash
        self.log.append(facts)
        if dies:
            raise Crash

    def read(self) -> Iterable[Fact]:
        return self.log.read()
