"""One writer, many readers: real processes, killed without notice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metasearch.core.errors import UserError
from metasearch.core.event import Closed
from metasearch.store import SegmentLog, Store, locks, log, segments
from metasearch.store.locks import Held, Holder, Lease
from metasearch.store.log import read_facts
from metasearch.testing.faults import MemoryFiles

ROOT = Path(__file__).parents[2]


@contextmanager
def writing(url: Path, *limit: str) -> Iterator[subprocess.Popen[str]]:
    """A process that writes sweep ``it``; killed at the end, if it is not gone by then."""
    command = [sys.executable, "-m", "tests.store.writer", str(url), "it", *limit]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline().strip().isdigit()
            yield process
        finally:
            process.kill()


def numbers(store: Store) -> list[int]:
    return [int(fact.time) for fact in store.facts("it")]


def test_a_second_driver_is_refused_and_told_who_runs_the_sweep(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with writing(tmp_path) as process:
        assert store.is_running("it")
        with pytest.raises(UserError) as refusal:
            store.open_log("it")
    message = str(refusal.value)
    assert f"Sweep it is being run by pid {process.pid} on host {os.uname().nodename} since 2" in message
    assert "`metasearch stop it`" in message


def test_kill_9_lets_the_next_driver_in_and_loses_nothing(tmp_path: Path) -> None:
    """Several times, at whatever moment of an append or a merge."""
    store = Store(tmp_path)
    for _ in range(4):
        with writing(tmp_path) as process:
            assert process.stdout is not None
            time.sleep(0.15)
            process.send_signal(signal.SIGKILL)
            confirmed = [int(line) for line in process.stdout.read().split()]
            process.wait()
        assert not store.is_running("it")
        held = numbers(store)
        assert held == list(range(len(held))), "nothing lost, nothing twice"
        assert len(held) - 1 >= max(confirmed, default=0)
        with store.open_log("it") as log:
            assert log.set_aside == [], "killing a process tears nothing"
            log.compact()


def test_readers_see_a_growing_prefix_while_a_writer_appends_and_merges(tmp_path: Path) -> None:
    store = Store(tmp_path)
    seen = 0
    with writing(tmp_path, "400") as process:
        while process.poll() is None:
            held = numbers(store)
            assert held == list(range(len(held)))
            assert len(held) >= seen, "what was once read stays"
            seen = len(held)
    assert len(numbers(store)) == 400


def test_a_reader_in_the_middle_of_a_compaction_starts_over(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.open_log("it") as log:
        for number in range(20):
            log.append([Closed(float(number), "")])
        facts = store.facts("it")
        begun = [next(facts) for _ in range(5)]
        log.compact()
        assert [int(fact.time) for fact in (*begun, *facts)] == list(range(20))


def test_asking_who_writes_does_not_keep_a_writer_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert not store.is_running("it")
    store.open_log("it").close()
    assert not store.is_running("it")
    with store.open_log("it"):
        assert store.is_running("it")


def test_a_log_closed_twice_stays_closed(tmp_path: Path) -> None:
    log = Store(tmp_path).open_log("it")
    log.close()
    with Store(tmp_path).open_log("it"):
        log.close()
        assert Store(tmp_path).is_running("it")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases look as if they were taken on another machine, where nothing is known about processes."""
    me = Holder.me()
    monkeypatch.setattr(Holder, "me", lambda: Holder(me.pid, "elsewhere", "", me.since))


def test_a_lease_is_held_until_it_is_released() -> None:
    files = MemoryFiles()
    lease = Lease(files, "lease")
    with pytest.raises(Held, match=f"held by pid {os.getpid()}"):
        Lease(files, "lease")
    lease.release()
    lease.release()
    assert Lease.holder(files, "lease") is None
    Lease(files, "lease")


@pytest.mark.usefixtures("elsewhere")
def test_a_lease_runs_out_and_the_late_owner_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    files = MemoryFiles()
    late = Lease(files, "lease")
    now = time.time()
    monkeypatch.setattr(locks.time, "time", lambda: now + Lease.TERM_SECONDS - 5)
    with pytest.raises(Held) as held:
        Lease(files, "lease")
    assert "runs out in 5 s" in held.value.until
    monkeypatch.setattr(locks.time, "time", lambda: now + Lease.TERM_SECONDS + 1)
    Lease(files, "lease")
    with pytest.raises(Held):
        late.renew()


@pytest.mark.usefixtures("elsewhere")
def test_a_renewed_lease_does_not_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    files = MemoryFiles()
    lease = Lease(files, "lease")
    now = time.time()
    for seconds in range(0, 200, 20):
        monkeypatch.setattr(locks.time, "time", lambda later=seconds: now + later)
        lease.renew()
    with pytest.raises(Held):
        Lease(files, "lease")


def test_a_lease_of_a_process_that_died_here_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    files = MemoryFiles()
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    me = Holder.me()
    monkeypatch.setattr(Holder, "me", lambda: Holder(gone.pid, me.host, me.space, me.since))
    Lease(files, "lease")
    Lease(files, "lease")


def test_a_damaged_lease_or_lock_names_nobody(tmp_path: Path) -> None:
    files = MemoryFiles()
    files.write_atomic("lease", b"garbage")
    assert Lease.holder(files, "lease") is None
    assert str(Holder.parse(b"[]")) == "pid unknown on host unknown since unknown"


class LeasedFiles(MemoryFiles):
    """An object store in memory."""

    def lock(self, path: str) -> Lease:
        return Lease(self, path)


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[LeasedFiles, SegmentLog, SegmentLog]]:
    """A writer that stood still while its lease ran out, and the one that came after it. Segments are merged by threes."""
    me, files, now = Holder.me(), LeasedFiles(), time.time()
    monkeypatch.setattr(Holder, "me", lambda: Holder(me.pid, "elsewhere", "", me.since))
    monkeypatch.setattr(log, "FAN_IN", 3)
    monkeypatch.setattr(segments, "FAN_IN", 3)
    stale = SegmentLog(files, "it")
    for number in range(2):
        stale.append([Closed(float(number), "")])
    monkeypatch.setattr(locks.time, "time", lambda: now + Lease.TERM_SECONDS + 1)
    yield files, stale, SegmentLog(files, "it")


def test_what_a_writer_without_its_lease_still_writes_does_not_count(
    stalled: tuple[LeasedFiles, SegmentLog, SegmentLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    files, stale, heir = stalled
    with monkeypatch.context() as unaware:
        unaware.setattr(Lease, "renew", lambda self: None)
        stale.append([Closed(-1.0, "late")])
        heir.append([Closed(2.0, "")])
        for number in range(4):
            stale.append([Closed(-2.0 - number, "late, and merged with what counts")])
        for number in range(3, 9):
            heir.append([Closed(float(number), "")])
    assert [fact.time for fact in read_facts(files, "it")] == [float(n) for n in range(9)]
    assert [fact.time for fact in read_facts(files, "it", 5)] == [5.0, 6.0, 7.0, 8.0]
    with pytest.raises(UserError, match="being run by"):
        stale.append([Closed(-9.0, "")])
    heir.close()
    with SegmentLog(files, "it") as third:
        assert third.facts == 9
        third.append([Closed(9.0, "")])
        third.compact()
    assert [fact.time for fact in read_facts(files, "it")] == [float(n) for n in range(10)]


def test_of_two_that_take_a_lease_within_one_round_trip_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has read its lease back when the second, which looked before, writes its own."""
    me, files = Holder.me(), LeasedFiles()
    monkeypatch.setattr(Holder, "me", lambda: Holder(me.pid, "elsewhere", "", me.since))
    first = SegmentLog(files, "it")
    first.append([Closed(0.0, "")])
    with monkeypatch.context() as at_once:
        looks = iter([None])
        check = Lease._refuse_if_held
        at_once.setattr(Lease, "_refuse_if_held", lambda self: check(self) if next(looks, self) else None)
        second = SegmentLog(files, "it")
    with monkeypatch.context() as unaware:
        unaware.setattr(Lease, "renew", lambda self: None)
        first.append([Closed(-1.0, "")])
        second.append([Closed(1.0, "")])
    assert [fact.time for fact in read_facts(files, "it")] == [0.0, 1.0]
    with pytest.raises(Held):
        first._lock.check()


def test_a_log_of_an_object_store_goes_on_in_a_folder(stalled: tuple[LeasedFiles, SegmentLog, SegmentLog], tmp_path: Path) -> None:
    files, _, heir = stalled
    heir.append([Closed(2.0, "")])
    for path, content in files.contents.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    with Store(tmp_path).open_log("it") as log_there:
        log_there.append([Closed(3.0, "")])
    assert numbers(Store(tmp_path)) == [0, 1, 2, 3]
