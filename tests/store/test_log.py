"""The log: appends that are all there or not at all, merging, and what a crash may leave behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metasearch.core.errors import UserError
from metasearch.core.event import Closed, Fact
from metasearch.core.history import History
from metasearch.store import SegmentLog, Store, StoreUnavailable, log, segments
from metasearch.store.files import Files
from metasearch.store.local import LocalFiles
from metasearch.store.log import read_facts
from metasearch.store.schema import Corrupt
from metasearch.store.segments import TornTail, list_segments, read_segments
from metasearch.testing.crash import Crash
from metasearch.testing.faults import Death, DyingFiles, FailingFiles, MemoryFiles
from tests.store.strategies import facts, same, whole_sweep

FOLDER = "sweeps/it/log"


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merges every 3 segments, so that a few appends pass through several levels."""
    monkeypatch.setattr(segments, "FAN_IN", 3)
    monkeypatch.setattr(log, "FAN_IN", 3)


def closed(numbers: Sequence[int]) -> list[Fact]:
    return [Closed(float(number), f"fact {number}") for number in numbers]


def append_all(files: Files, batches: Sequence[Sequence[Fact]]) -> None:
    with SegmentLog(files, "it") as writer:
        for batch in batches:
            writer.append(batch)


def batches_of(sizes: Sequence[int]) -> Iterator[list[Fact]]:
    start = 0
    for size in sizes:
        yield closed(range(start, start + size))
        start += size


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(facts, max_size=4), max_size=8))
def test_what_is_appended_is_read(batches: list[list[Fact]]) -> None:
    files = MemoryFiles()
    append_all(files, batches)
    assert same(read_facts(files, "it"), [fact for batch in batches for fact in batch])


@pytest.mark.parametrize("seed", range(3))
def test_a_sweep_read_back_folds_to_the_same_state(tmp_path: Path, seed: int) -> None:
    made = whole_sweep(seed=seed)
    append_all(LocalFiles(tmp_path), [[fact] for fact in made])
    written, read = History.fold(made), Store(tmp_path).history("it")
    for name in ("sweep", "best_loss", "steps_spent", "train_seconds", "wall_seconds", "thaws", "facts", "time", "closed"):
        assert getattr(written, name) == getattr(read, name), name
    assert [repr([getattr(t, slot) for slot in t.__slots__]) for t in written] == [
        repr([getattr(t, slot) for slot in t.__slots__]) for t in read
    ]


@pytest.mark.usefixtures("narrow")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 7), max_size=60), st.booleans())
def test_merging_keeps_every_fact_and_few_files(sizes: list[int], compact: bool) -> None:
    files = MemoryFiles()
    with SegmentLog(files, "it") as writer:
        for batch in batches_of(sizes):
            writer.append(batch)
        if compact:
            writer.compact()
    total = sum(sizes)
    assert list(read_facts(files, "it")) == closed(range(total))
    found = list_segments(files, "it")
    assert len(found) <= (2 if compact else 3 + 2 * 3 * max(total.bit_length(), 1))
    if found:
        newest = max(found, key=lambda segment: segment.last)
        assert newest.facts == sizes[-1], "the newest append is never merged"


@pytest.mark.usefixtures("narrow")
@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 2), min_size=1, max_size=25), st.integers(0, 120), st.sampled_from(Death), st.booleans())
def test_a_crash_anywhere_loses_nothing_that_was_confirmed(sizes: list[int], at: int, death: Death, compact: bool) -> None:
    files, confirmed, batches = MemoryFiles(), 0, list(batches_of(sizes))
    with contextlib.suppress(Crash), SegmentLog(DyingFiles(files, at, death), "it") as writer:
        for batch in batches:
            writer.append(batch)
            confirmed += len(batch)
        if compact:
            writer.compact()
    with SegmentLog(files, "it") as writer:
        held = list(writer.read())
        boundaries = {sum(sizes[:count]) for count in range(len(sizes) + 1)}
        assert held == closed(range(len(held)))
        assert len(held) in boundaries and len(held) >= confirmed
        assert writer.facts == len(held)
        rest = [fact for batch in batches for fact in batch][len(held) :]
        writer.append(rest)
    assert list(read_facts(files, "it")) == closed(range(sum(sizes))), "the sweep goes on as if nothing had happened"


@pytest.mark.usefixtures("narrow")
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.sampled_from(Death), st.integers(0, 60), st.sampled_from(Death))
def test_a_crash_while_recovering_from_a_crash_loses_nothing(first: int, how: Death, second: int, again: Death) -> None:
    files = MemoryFiles()
    confirmed = 0
    with contextlib.suppress(Crash), SegmentLog(DyingFiles(files, first, how), "it") as writer:
        for batch in batches_of([1] * 25):
            writer.append(batch)
            confirmed += 1
    with contextlib.suppress(Crash), SegmentLog(DyingFiles(files, second, again), "it") as writer:
        confirmed = max(confirmed, writer.facts)
        writer.compact()
    with SegmentLog(files, "it") as writer:
        assert list(writer.read()) == closed(range(writer.facts))
        assert writer.facts >= confirmed


@pytest.mark.parametrize("content", [b"", b"garbage", None], ids=["empty", "garbage", "truncated"])
def test_a_torn_end_is_set_aside_and_reported(tmp_path: Path, content: bytes | None) -> None:
    files = LocalFiles(tmp_path)
    append_all(files, list(batches_of([2, 2, 2])))
    last = tmp_path / FOLDER / "0000000004-0000000005.parquet"
    last.write_bytes(last.read_bytes()[:-20] if content is None else content)
    with pytest.warns(UserWarning, match="`metasearch resume it` sets it aside"):
        assert list(Store(tmp_path).facts("it")) == closed(range(4))
    assert last.exists(), "a reader changes nothing"
    with SegmentLog(files, "it") as writer:
        assert len(writer.set_aside) == 1
        assert "goes on from fact 4" in writer.set_aside[0] and f"{last.name}.corrupt" in writer.set_aside[0]
        assert list(writer.read()) == closed(range(4))
        writer.append(closed([4, 5]))
    assert (tmp_path / FOLDER / f"{last.name}.corrupt").exists()
    assert list(Store(tmp_path).facts("it")) == closed(range(6))
    with SegmentLog(files, "it") as writer:
        assert writer.set_aside == [], "reported once"


def test_damage_before_the_end_stops_with_the_remedy(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    append_all(files, list(batches_of([2, 2, 2])))
    damaged = tmp_path / FOLDER / "0000000002-0000000003.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with SegmentLog(files, "it") as writer, pytest.raises(Corrupt, match=r"0000000002-0000000003.*backup.*from fact 2") as refusal:
        list(writer.read())
    assert not isinstance(refusal.value, TornTail)
    assert damaged.exists()


def test_a_damaged_merge_at_the_end_is_not_given_up_lightly(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    append_all(files, list(batches_of([200])))
    (tmp_path / FOLDER / "0000000000-0000000199.parquet").write_bytes(b"")
    with SegmentLog(files, "it") as writer, pytest.raises(Corrupt, match="backup"):
        list(writer.read())


def test_a_gap_in_the_numbering_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_LOOKS", 2)
    append_all(LocalFiles(tmp_path), list(batches_of([2, 2, 2])))
    (tmp_path / FOLDER / "0000000002-0000000003.parquet").unlink()
    with pytest.raises(UserError, match=r"has a gap.*fact 2"):
        list(Store(tmp_path).facts("it"))
    with pytest.raises(UserError, match=r"has a gap.*fact 2"):
        SegmentLog(LocalFiles(tmp_path), "it")
    assert not Store(tmp_path).is_running("it"), "whoever is refused lets go of the lock"


def test_a_segment_under_a_false_name_is_noticed() -> None:
    files = MemoryFiles()
    append_all(files, list(batches_of([2, 2])))
    files.contents[f"{FOLDER}/0000000002-0000000003.parquet"] = files.contents[f"{FOLDER}/0000000000-0000000001.parquet"]
    with pytest.raises(TornTail, match="does not hold the facts 2 to 3"):
        list(read_segments(files, "it"))


@pytest.mark.parametrize("arrives", [False, True])
def test_a_failed_append_can_be_tried_again(arrives: bool) -> None:
    files = FailingFiles(MemoryFiles(), frozenset({1}), arrives)
    with SegmentLog(files, "it") as writer:
        writer.append(closed([0]))
        with pytest.raises(StoreUnavailable):
            writer.append(closed([1]))
        writer.append(closed([1]))
        writer.append(closed([2]))
    assert list(read_facts(files, "it")) == closed(range(3))


@pytest.mark.usefixtures("narrow")
def test_a_failed_merge_does_not_fail_the_append() -> None:
    files = FailingFiles(MemoryFiles(), frozenset({4, 6}))
    append_all(files, list(batches_of([1] * 12)))
    assert list(read_facts(files, "it")) == closed(range(12))


def test_somebody_elses_segment_is_never_overwritten() -> None:
    files = MemoryFiles()
    with SegmentLog(files, "it") as writer:
        writer.append(closed([0]))
        files.locks.clear()  # as if this process had been taken for dead
        append_all(files, [closed([7])])
        with pytest.raises(UserError, match="Another process wrote to sweep it"):
            writer.append(closed([1]))
    assert list(read_facts(files, "it")) == closed([0, 7])


def test_unfinished_files_are_cleaned_up(tmp_path: Path) -> None:
    append_all(LocalFiles(tmp_path), [closed([0])])
    left = tmp_path / FOLDER / ".0000000001-0000000001.parquet.ab12.tmp"
    left.write_bytes(b"half")
    append_all(LocalFiles(tmp_path), [])
    assert not left.exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a\\b", "nul\0", "x" * 201, "a?b", "_own"])
def test_names_that_would_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot name a folder"):
        Store(tmp_path).open_log(name)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_append_writes_nothing() -> None:
    files = MemoryFiles()
    append_all(files, [[], []])
    assert files.contents == {}
