"""The driver's observer: draws, and hears ``metasearch stop`` from another terminal."""

from __future__ import annotations

import time
from contextlib import suppress
from types import TracebackType

from rich.console import Console

from metasearch.cli.screen import REFRESH_SECONDS, Lines, Screen
from metasearch.core.history import History
from metasearch.store.archive import Store
from metasearch.store.files import StoreUnavailable

STOP_CHECK_SECONDS = 1.0


class Terminal:
    """A screen on a TTY, lines elsewhere, silence if ``quiet``."""

    def __init__(self, store: Store, sweep: str, *, quiet: bool = False) -> None:
        console = Console(stderr=True, quiet=quiet)
        self.view: Screen | Lines = Screen(console) if console.is_terminal and not quiet else Lines(console)
        self.store = store
        self.sweep = sweep
        self.shown_at = self.checked_at = 0.0

    def __enter__(self) -> Terminal:
        self.view.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.view.__exit__(kind, error, trace)

    def tick(self, history: History, busy: int, slots: int) -> str | None:
        now = time.monotonic()
        if now - self.shown_at >= REFRESH_SECONDS:
            self.shown_at = now
            self.view.show(history, busy, slots)
        if now - self.checked_at < STOP_CHECK_SECONDS:
            return None
        self.checked_at = now
        with suppress(StoreUnavailable):  # a store that does not answer pauses the sweep; it does not end it
            return "stopped on request" if self.store.stop_requested(self.sweep) else None
        return None

    def note(self, message: str) -> None:
        self.view.note(message)

    def trouble(self, message: str) -> None:
        self.view.trouble(message)
