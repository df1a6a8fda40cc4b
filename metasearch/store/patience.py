"""A full disk or an unreachable store pauses a sweep; it does not end it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from metasearch.core.errors import UserError
from metasearch.core.event import Fact
from metasearch.core.protocols import Log
from metasearch.store.files import StoreUnavailable

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0


class PatientLog:
    """Passes everything on to ``log`` and tries an append again until the store takes it.

    ``on_trouble`` hears a message before every wait and once it is over. After ``limit_seconds`` of waiting for one append a
    UserError says how to go on; nothing that was decided before is lost.
    """

    def __init__(
        self,
        log: Log,
        on_trouble: Callable[[str], None],
        wait: Callable[[float], None] = time.sleep,
        limit_seconds: float = 6 * 3600.0,
    ) -> None:
        self._log = log
        self._on_trouble = on_trouble
        self._wait = wait
        self._limit_seconds = limit_seconds

    def append(self, facts: Sequence[Fact]) -> None:
        waited, pause = 0.0, FIRST_WAIT_SECONDS
        while True:
            try:
                self._log.append(facts)
                break
            except (StoreUnavailable, OSError) as error:
                if waited >= self._limit_seconds:
                    raise _given_up(error, waited) from error
                self._on_trouble(f"{error} The sweep waits and tries again in {pause:.0f} s.")
            self._wait(pause)
            waited, pause = waited + pause, min(2 * pause, LONGEST_WAIT_SECONDS)
        if waited:
            self._on_trouble(f"The store works again after {waited:.0f} s; the sweep goes on.")

    def read(self) -> Iterable[Fact]:
        return self._log.read()


def _given_up(error: Exception, waited: float) -> UserError:
    return UserError(
        f"{error} It was tried for {waited:.0f} s. Nothing that was written before is lost: "
        "when the store works again, go on with `metasearch resume`."
    )
