"""What a machine does that is about to be taken away: its trials halt where they are, and go on elsewhere."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

TRIAL = b"ray::ResourceTrainable"
"""What Ray calls a process that serves trials."""


def trial_processes() -> list[int]:
    """Of every Ray cluster on this machine."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if entry.read_bytes().startswith(TRIAL):
                found.append(int(entry.parent.name))
    return found


def leave(seconds: float, processes: Callable[[], Iterable[int]] = trial_processes) -> int:
    """Tells every trial here to end, also those that Ray starts here meanwhile; how many were told. Returns after ``seconds``."""
    told: set[int] = set()
    until = time.monotonic() + seconds
    while True:
        for pid in set(processes()) - told:
            told.add(pid)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)
        if time.monotonic() >= until:
            return len(told)
        time.sleep(0.2)
