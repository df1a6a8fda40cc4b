"""The log of one sweep: the truth from which everything else is made.

Each append is one new immutable segment. So that opening a long log stays quick, every 64 segments of one size are merged into one
of the next; the newest is never merged, so that whatever is torn at the end of a log is a single append.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import TracebackType

import pyarrow as pa

from metasearch.core.errors import UserError
from metasearch.core.event import Fact
from metasearch.store import changes
from metasearch.store.files import Files, StoreUnavailable
from metasearch.store.local import TEMPORARY
from metasearch.store.locks import Held
from metasearch.store.paths import checked_name
from metasearch.store.schema import READERS, VERSION, Corrupt, encode, write_table
from metasearch.store.segments import (
    FAN_IN,
    Marker,
    Segment,
    chain,
    gap,
    list_markers,
    list_segments,
    load,
    lock_path,
    log_folder,
    read_segments,
)

SET_ASIDE = ".corrupt"
MOST_MARKERS = 1000
"""Of earlier writers. Nothing is still on its way from one that was so many writers ago."""


def read_facts(files: Files, sweep: str, position: int = 0) -> Iterator[Fact]:
    """Every fact from number ``position`` on, for readers. Raises as ``read_segments``; changes nothing."""
    for table, version in read_segments(files, sweep, position):
        yield from READERS[version](table)


class SweepHeld(UserError):  # noqa: N818
    """Another process writes this sweep."""


class SegmentLog:
    """The log as its only writer holds it, from its making until ``close``. Implements ``metasearch.core.protocols.Log``.

    ``set_aside`` holds a message for every torn segment that was found at the end and renamed.
    Raises SweepHeld if another process writes this sweep, and UserError if a segment before the last is damaged.
    """

    def __init__(self, files: Files, sweep: str) -> None:
        self._files = files
        self._sweep = checked_name("sweep", sweep)
        self._folder = log_folder(sweep)
        self.set_aside: list[str] = []
        self._appended: dict[Segment, pa.Table] = {}  # rows of own appends not merged yet, so that merging need not read them
        self._segments: list[Segment] = []
        self._marked = False
        try:
            self._lock = files.lock(lock_path(sweep))
        except Held as held:
            raise self._refusal(held) from None
        try:
            self._recover()
            self._epoch = self._begin_epoch()
        except Held as held:
            self._lock.release()
            raise self._refusal(held) from None
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> SegmentLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def facts(self) -> int:
        """How many facts the log holds."""
        return self._segments[-1].end + 1 if self._segments else 0

    def append(self, facts: Sequence[Fact]) -> None:
        """All of ``facts`` are durable when it returns. When it raises StoreUnavailable, none is and it may be tried again."""
        if not facts:
            return
        self.keep()
        self._mark()
        segment = Segment(self.facts, self.facts + len(facts) - 1, self._epoch)
        rows = encode(facts, segment.first)
        self._create(segment, write_table(rows, small=True))
        self._segments.append(segment)
        if segment.level == 0:
            self._appended[segment] = rows
        # These facts are durable: if merging fails now, they must not be appended again, and a later append merges.
        with contextlib.suppress(StoreUnavailable):
            self._merge_full_levels()

    def read(self) -> Iterator[Fact]:
        """Every fact, oldest first."""
        return read_facts(self._files, self._sweep)

    def keep(self) -> None:
        """Keeps the right to write. On object stores it must be called at least once a minute. Raises UserError if it is lost."""
        try:
            self._lock.renew()
        except Held as held:
            raise self._refusal(held) from None

    def compact(self) -> None:
        """Merges all segments but the newest into one."""
        if len(self._segments) > 2:
            self._merge(0, len(self._segments) - 1)

    def upgrade(self) -> int:
        """Writes every segment of an older schema version in the current one, each in the place of the old; how many there were."""
        upgraded = 0
        for segment in self._segments:
            table, version = load(self._files, self._sweep, segment)
            if version != VERSION:
                rows = encode(READERS[version](table), segment.first)
                self._files.write_atomic(f"{self._folder}/{segment.name}", write_table(rows, small=segment.level == 0))
                upgraded += 1
        return upgraded

    def close(self) -> None:
        """Lets another process write. A second close does nothing."""
        self._lock.release()

    def _mark(self) -> None:
        """Before this writer's first append: from now on what was compacted of this sweep is out of date."""
        if not self._marked and (self.facts or self._files.names(changes.FOLDER)):
            changes.mark(self._files, self._sweep)
        self._marked = True

    def _begin_epoch(self) -> int:
        """The epoch of this writer. Where the lock is a lease, a new one that begins here, marked before anything is written.

        Two writers that took the lease within one round trip may mark the same epoch. The later marker's writer sees the other one,
        and whoever holds the lease by then goes one further. Raises Held for the other.
        """
        owner, markers = self._lock.owner, list_markers(self._files, self._sweep)
        epoch = max([*(marker.epoch for marker in markers), *(segment.epoch for segment in self._segments)], default=0)
        for old in sorted(markers, key=lambda marker: marker.epoch)[:-MOST_MARKERS]:
            self._files.delete(f"{self._folder}/{old.name}")
        while owner:
            epoch += 1
            self._files.write_atomic(f"{self._folder}/{Marker(self.facts, epoch, owner).name}", b"")
            markers = list_markers(self._files, self._sweep)
            self._lock.check()
            if all(marker.owner == owner for marker in markers if marker.epoch >= epoch):
                break
        return epoch

    def _create(self, segment: Segment, content: bytes) -> None:
        path = f"{self._folder}/{segment.name}"
        try:
            self._files.create_exclusive(path, content)
        except FileExistsError:
            # A write that seemed to fail may have arrived; only if it is not ours has somebody else written.
            if self._files.read(path) != content:
                raise UserError(
                    f"Another process wrote to sweep {self._sweep} ({path} is not ours). Stop one of the two, then "
                    f"`metasearch resume {self._sweep}`."
                ) from None
            self._files.write_atomic(path, content)  # it was there, but perhaps not yet durable

    def _merge_full_levels(self) -> None:
        level = 0
        while True:
            end = start = len(self._segments) - 1
            while start > 0 and self._segments[start - 1].level <= level:
                start -= 1
            if sum(segment.level == level for segment in self._segments[start:end]) < FAN_IN:
                return
            self._merge(start, end)
            level += 1

    def _merge(self, start: int, end: int) -> None:
        """Replaces segments ``start`` to ``end`` (excluded) by one. Whenever it is cut short, readers find every fact once."""
        parts = self._segments[start:end]
        merged = Segment(parts[0].first, parts[-1].end, self._epoch)
        try:
            rows = pa.concat_tables([self._rows(part) for part in parts], promote_options="default").combine_chunks()
        except FileNotFoundError:
            self._look_again()
            return
        self._files.write_atomic(f"{self._folder}/{merged.name}", write_table(rows, small=False))
        self._segments[start:end] = [merged]
        for part in parts:
            self._appended.pop(part, None)
            self._files.delete(f"{self._folder}/{part.name}")

    def _look_again(self) -> None:
        """A writer that had lost its lease may have merged what is this one's by now. Raises UserError if facts are lost."""
        facts, self._segments = self.facts, chain(list_segments(self._files, self._sweep))
        if self.facts < facts:
            raise gap(self._files, self._sweep, self.facts)

    def _rows(self, segment: Segment) -> pa.Table:
        if segment in self._appended:
            return self._appended[segment]
        table, version = load(self._files, self._sweep, segment)
        return table if version == VERSION else encode(READERS[version](table), segment.first)

    def _recover(self) -> None:
        """Puts the folder in order after a crash: unfinished files, a torn end, merges that were cut short."""
        for name in self._files.names(self._folder):
            if name.endswith(TEMPORARY):
                self._files.delete(f"{self._folder}/{name}")
        self._set_torn_tail_aside()
        found = list_segments(self._files, self._sweep)
        found -= {segment for segment in found if self._is_torn_merge(segment, found)}
        self._segments = chain(found)
        if found and self.facts <= max(segment.end for segment in found):
            raise gap(self._files, self._sweep, self.facts)
        for leftover in found - set(self._segments):
            self._files.delete(f"{self._folder}/{leftover.name}")

    def _set_torn_tail_aside(self) -> None:
        """Several at once are possible where a disk reported writes as durable that were not."""
        while newest := max(list_segments(self._files, self._sweep), key=lambda s: (s.end, -s.first), default=None):
            try:
                load(self._files, self._sweep, newest)
                return
            except Corrupt as corrupt:
                if newest.level > 0:
                    return  # far more than one append: reading it says what is lost, and the user decides
                self._set_aside(newest)
                self.set_aside.append(
                    f"{corrupt.message} It was the newest of its log and is now {newest.name}{SET_ASIDE}; "
                    f"the sweep goes on from fact {newest.first}."
                )

    def _is_torn_merge(self, segment: Segment, found: set[Segment]) -> bool:
        """Is ``segment`` damaged while all that it was merged from is still there? Then it is set aside; nothing is lost."""
        parts = {part for part in found if part != segment and segment.first <= part.first and part.end <= segment.end}
        if not parts:
            return False
        try:
            load(self._files, self._sweep, segment)
            return False
        except Corrupt:
            whole = chain(parts, segment.first)
            if not whole or whole[-1].end < segment.end:
                return False
            self._set_aside(segment)
            return True

    def _set_aside(self, segment: Segment) -> None:
        path = f"{self._folder}/{segment.name}"
        self._files.write_atomic(path + SET_ASIDE, self._files.read(path))
        self._files.delete(path)

    def _refusal(self, held: Held) -> SweepHeld:
        return SweepHeld(
            f"Sweep {self._sweep} is being run by {held.holder}{held.until}. "
            f"Stop it with `metasearch stop {self._sweep}`, or wait until it ends."
        )
