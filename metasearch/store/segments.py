"""The immutable files that a log consists of, and reading them while a writer adds, merges and deletes some.

A segment is named by the numbers of its first and its last fact. A merged segment covers the ones it was made of, which may still
lie beside it: the widest that can be read counts.

Where the right to write is a lease, which can be lost without notice, every writer has an epoch of its own, and says in a marker at
which fact it begins. From there on nothing counts that a writer of an earlier epoch wrote, however late it arrives.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa

from metasearch.core.errors import UserError
from metasearch.store.files import Files
from metasearch.store.schema import Corrupt, read_table

_NAME = re.compile(r"(\d{10})-(\d{10})(?:\.(\d{6}))?\.parquet")
_MARKER = re.compile(r"(\d{10})\.(\d{6})\.([0-9a-f]+)\.writer")
FAN_IN = 64
"""As many segments of one level are merged into one of the next."""

_LOOKS = 20
"""How often a reader lists a log anew because files vanished or were not there yet."""


class Segment(NamedTuple):
    """Facts number ``first`` to ``last``, both included; of them, those before ``fence`` count."""

    first: int
    last: int
    epoch: int = 0
    fence: int | None = None

    @property
    def name(self) -> str:
        return f"{self.first:010d}-{self.last:010d}{f'.{self.epoch:06d}' if self.epoch else ''}.parquet"

    @property
    def end(self) -> int:
        """The last fact that counts."""
        return self.last if self.fence is None else min(self.last, self.fence - 1)

    @property
    def facts(self) -> int:
        return self.last - self.first + 1

    @property
    def level(self) -> int:
        """How often its facts were merged at most: 0 for a single append."""
        level, facts = 0, self.facts
        while facts >= FAN_IN:
            level, facts = level + 1, facts // FAN_IN
        return level


class Marker(NamedTuple):
    """The writer ``owner`` of an epoch begins with fact number ``first``."""

    first: int
    epoch: int
    owner: str

    @property
    def name(self) -> str:
        return f"{self.first:010d}.{self.epoch:06d}.{self.owner}.writer"


class TornTail(Corrupt):
    """The newest segment, a single append, is damaged; everything before it is sound."""

    def __init__(self, message: str, segment: Segment) -> None:
        super().__init__(message)
        self.segment = segment


def log_folder(sweep: str) -> str:
    return f"sweeps/{sweep}/log"


def lock_path(sweep: str) -> str:
    return f"sweeps/{sweep}/writer.lock"


def is_of_a_log(name: str) -> bool:
    """Is that the name of a segment or of a marker?"""
    return bool(_NAME.fullmatch(name) or _MARKER.fullmatch(name))


def list_segments(files: Files, sweep: str) -> set[Segment]:
    """Those of which some fact counts."""
    return _listed(files, sweep)[0]


def list_markers(files: Files, sweep: str) -> set[Marker]:
    return _listed(files, sweep)[1]


def _listed(files: Files, sweep: str) -> tuple[set[Segment], set[Marker]]:
    """Both from one listing, so that no segment is judged by markers of another moment."""
    names = files.names(log_folder(sweep))
    markers = {Marker(int(match[1]), int(match[2]), match[3]) for name in names if (match := _MARKER.fullmatch(name))}
    segments = set()
    for match in filter(None, map(_NAME.fullmatch, names)):
        first, last, epoch = int(match[1]), int(match[2]), int(match[3] or 0)
        fence = min((marker.first for marker in markers if marker.epoch > epoch and marker.first <= last), default=None)
        if fence is None or fence > first:
            segments.add(Segment(first, last, epoch, fence))
    return segments, markers


def chain(segments: Iterable[Segment], position: int = 0) -> list[Segment]:
    """The widest segments that hold fact ``position`` and all that follow it without a gap."""
    linked = []
    for segment in sorted(segments, key=lambda s: (s.first, -s.end)):
        if segment.first <= position <= segment.end:
            linked.append(segment)
            position = segment.end + 1
    return linked


def load(files: Files, sweep: str, segment: Segment) -> tuple[pa.Table, str]:
    """A segment's rows that count and their schema version. Raises Corrupt if they are not the facts its name promises."""
    path = f"{log_folder(sweep)}/{segment.name}"
    table, version = read_table(files.read(path), path)
    expected = pa.array(range(segment.first, segment.last + 1), pa.int64())
    if "seq" not in table.column_names or not table["seq"].combine_chunks().equals(expected):
        raise Corrupt(f"{path} does not hold the facts {segment.first} to {segment.last}.")
    return table.slice(0, segment.end - segment.first + 1), version


def read_segments(files: Files, sweep: str, position: int = 0) -> Iterator[tuple[pa.Table, str]]:
    """The rows from fact ``position`` on with their schema versions, oldest first; safe while a writer is at work.

    When all sound rows before it have been given out, raises TornTail if the newest segment is damaged, Corrupt with the remedy if
    another one is, and UserError if there is a gap in the numbering.
    """
    unreadable: dict[Segment, Corrupt] = {}
    for look in range(_LOOKS):
        found = list_segments(files, sweep) - unreadable.keys()
        try:
            for segment in chain(found, position):
                table, version = load(files, sweep, segment)
                yield table.slice(position - segment.first), version
                position = segment.end + 1
        except FileNotFoundError:
            pass  # merged away since it was listed: look again
        except Corrupt as corrupt:
            unreadable[segment] = corrupt  # what it was merged from may still be there
        else:
            if position > max((s.end for s in found | unreadable.keys()), default=-1):
                return
            if unreadable:
                break
            time.sleep(0.01 * look)  # a listing is no snapshot: it may lack a file that replaced another meanwhile
    raise _broken(files, sweep, position, unreadable)


def gap(files: Files, sweep: str, position: int) -> UserError:
    return UserError(
        f"The log of sweep {sweep} has a gap: no file in {files.url}/{log_folder(sweep)} holds fact {position}, but later facts "
        "are there. Restore the missing file from a backup."
    )


def _broken(files: Files, sweep: str, position: int, unreadable: dict[Segment, Corrupt]) -> UserError:
    damaged = next((s for s in unreadable if s.first <= position <= s.end), None)
    if damaged is None:
        return gap(files, sweep, position)
    newest = max(list_segments(files, sweep), key=lambda s: s.end, default=damaged)
    if newest == damaged and damaged.level == 0:
        return TornTail(
            f"{unreadable[damaged].message} It is the newest of its log; everything before it is sound. "
            f"`metasearch resume {sweep}` sets it aside and goes on from there.",
            damaged,
        )
    return Corrupt(
        f"{unreadable[damaged].message} It lies in {files.url} and the facts that follow depend on it. Restore it from a "
        f"backup; without one, move it and all later files out of its folder: the sweep then goes on from fact {position}."
    )
