"""A full disk or an unreachable store pauses a sweep; it does not end it, nor keep it from beginning a little later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from metasearch.core.errors import UserError
from metasearch.core.event import Fact
from metasearch.core.protocols import Log
from metasearch.store.files import StoreUnavailable

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0


START_SECONDS = 600.0
"""So long a driver that begins waits for its store: a mistyped bucket looks like one that is away."""

T = TypeVar("T")


def patiently(
    action: Callable[[], T],
    on_trouble: Callable[[str], None],
    limit_seconds: float = START_SECONDS,
    wait: Callable[[float], None] = time.sleep,
    *,
    hopeless: Callable[[Exception], bool] = lambda error: not getattr(error, "passing", True),
) -> T:
    """What ``action`` answers, once the store lets it. ``on_trouble`` hears a message before every wait and once it is over.

    Raises UserError, which says how to go on, after ``limit_seconds`` of waiting; and at once what is ``hopeless``: by default what
    waiting does not mend, such as a folder that this user may not write to.
    """
    waited, pause = 0.0, FIRST_WAIT_SECONDS
    while True:
        try:
            answer = action()
            break
        except (StoreUnavailable, OSError) as error:
            if hopeless(error):
                raise
            if waited >= limit_seconds:
                raise _given_up(error, waited) from error
            on_trouble(f"{error} The sweep waits and tries again in {pause:.0f} s.")
        wait(pause)
        waited, pause = waited + pause, min(2 * pause, LONGEST_WAIT_SECONDS)
    if waited:
        on_trouble(f"The store works again after {waited:.0f} s; the sweep goes on.")
    return answer


class PatientLog:
    """Passes everything on to ``log`` and tries an append again until the store takes it, whatever the fault: somebody may mend it.

    ``on_trouble`` and ``wait`` as for ``patiently``. After ``limit_seconds`` of waiting for one append a UserError says how to go
    on; nothing that was decided before is lost.
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
        append = partial(self._log.append, facts)
        patiently(append, self._on_trouble, self._limit_seconds, self._wait, hopeless=lambda error: False)

    def read(self) -> Iterable[Fact]:
        return self._log.read()


def _given_up(error: Exception, waited: float) -> UserError:
    return UserError(
        f"{error} It was tried for {waited:.0f} s. Nothing that was written before is lost: "
        "when the store works again, go on with `metasearch resume`."
    )
