"""The checkpoints of trials in the store: each with the report it was taken at, the two newest of every trial.

A worker saves before it reports, and waits for the answer before it goes on. So of the two newest checkpoints one is never newer
than what the engine knows, and a child can always be given its parent as the engine saw it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from metasearch.core.history import NEVER_BEST, History, Trial
from metasearch.store.archive import Store
from metasearch.store.files import StoreUnavailable

SLOTS = ("a", "b")
INHERITED = "inherited"
"""A child's copy of its parent's checkpoint, made before the child starts: the parent trains on."""

CUT_OFF = "cut-off"
"""Where a trial was halted after its last report. Only its own next leg may start there: the engine never heard of that point."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint, the report it was taken at, and where it lies."""

    report: dict[str, Any]
    checkpoint: bytes
    slot: str

    @property
    def step(self) -> int:
        """Of the report; 0 before the first."""
        return int(self.report.get("step", 0))


class Checkpoints:
    """Those of one sweep."""

    def __init__(self, store: Store, sweep: str) -> None:
        self._store = store
        self._sweep = sweep

    def save(self, trial: int, report: dict[str, Any], checkpoint: bytes, over: str | None) -> str:
        """Keeps a checkpoint beside the newest one, which lies in the slot ``over``; the slot it was put in."""
        slot = SLOTS[1] if over == SLOTS[0] else SLOTS[0]
        self._store.put_checkpoint(self._sweep, trial, slot, envelope(report, checkpoint))
        return slot

    def newest(self, trial: int, at_most: float = float("inf")) -> Saved | None:
        """The newest checkpoint of a trial whose step is not beyond ``at_most``."""
        return max((saved for saved in self.kept(trial) if saved.step <= at_most), key=lambda saved: saved.step, default=None)

    def kept(self, trial: int) -> list[Saved]:
        """Whatever is kept of a trial's own checkpoints: two, one or none, in no order."""
        return [found for slot in SLOTS if (found := self._read(trial, slot)) is not None]

    def inherited(self, trial: int) -> Saved | None:
        return self._read(trial, INHERITED)

    def save_cut_off(self, trial: int, report: dict[str, Any], checkpoint: bytes) -> None:
        """``report``: the last one before; empty if there is none."""
        self._store.put_checkpoint(self._sweep, trial, CUT_OFF, envelope(report, checkpoint))

    def cut_off(self, trial: int) -> Saved | None:
        return self._read(trial, CUT_OFF)

    def inherit(self, child: Trial) -> None:
        """Copies the parent's checkpoint at the child's start, once. If there is none, the child's worker will say so."""
        assert child.parent is not None
        with suppress(OSError, StoreUnavailable):
            if self._read(child.number, INHERITED) is not None:
                return
            saved = self.newest(child.parent, at_most=child.start)
            if saved is not None:
                self._store.put_checkpoint(self._sweep, child.number, INHERITED, envelope(saved.report, saved.checkpoint))

    def remove(self, trial: int) -> None:
        self._store.drop_checkpoints(self._sweep, trial)

    def _read(self, trial: int, slot: str) -> Saved | None:
        content = self._store.get_checkpoint(self._sweep, trial, slot)
        return None if content is None else Saved(*opened(content), slot)


class Shelf:
    """Keeps the checkpoints of the best ``places`` trials that ended, and removes those of the others; of all if None."""

    def __init__(self, checkpoints: Checkpoints, history: History, places: int | None) -> None:
        self._checkpoints = checkpoints
        self._places = places
        self._kept = [] if places is None else sorted((trial for trial in history if trial.ended), key=_rank)[:places]

    def take(self, trial: Trial) -> None:
        """``trial`` has ended. A store that does not answer keeps one checkpoint more than it should."""
        if self._places is None:
            return
        self._kept = sorted([*self._kept, trial], key=_rank)
        if len(self._kept) > self._places:
            with suppress(OSError, StoreUnavailable):
                self._checkpoints.remove(self._kept.pop().number)


def _rank(trial: Trial) -> tuple[bool, float, int]:
    return trial.state in NEVER_BEST, trial.best_loss, trial.number


def envelope(report: dict[str, Any], checkpoint: bytes) -> bytes:
    """A report and the checkpoint taken at it: length of the JSON in 8 bytes, little-endian; JSON; checkpoint."""
    header = json.dumps(report).encode()
    return len(header).to_bytes(8, "little") + header + checkpoint


def opened(content: bytes) -> tuple[dict[str, Any], bytes]:
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]
