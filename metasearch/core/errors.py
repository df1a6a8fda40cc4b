"""The one error a user sees: a message that says what was found, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class UserError(Exception):
    """A fault in what the user gave, not in the program: shown without a traceback, exit code 2.

    ``faults`` holds every fault that was found, so that one run shows all of them.
    """

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        self.message = message
        self.faults = tuple(faults)
        super().__init__("\n".join([message, *(f"  - {fault}" for fault in self.faults)]))


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """``' Did you mean "adamw"?'`` for a mistyped name, or all names when none is close."""
    names = sorted(known)
    close = get_close_matches(found, names, n=1, cutoff=0.6)
    if close:
        return f' Did you mean "{close[0]}"?'
    return f" Known: {', '.join(names)}." if names else ""
