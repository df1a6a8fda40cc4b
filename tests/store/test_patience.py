"""A store that is out of order pauses the sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from metasearch.core.errors import UserError
from metasearch.core.event import Closed
from metasearch.store import SegmentLog, Store, StoreUnavailable
from metasearch.store.log import read_facts
from metasearch.store.patience import PatientLog, patiently
from metasearch.testing.faults import FailingFiles, MemoryFiles


def test_an_append_is_tried_until_the_store_takes_it() -> None:
    waits, heard = appended_to(FailingFiles(MemoryFiles(), frozenset(range(1, 8))))
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert len(heard) == 8 and heard[-1] == "The store works again after 91 s; the sweep goes on."


def test_an_append_whose_answer_got_lost_is_there_once() -> None:
    waits, heard = appended_to(FailingFiles(MemoryFiles(), frozenset({1, 4}), arrives=True))
    assert waits == [1.0, 1.0]
    assert len(heard) == 4


def appended_to(files: FailingFiles) -> tuple[list[float], list[str]]:
    """The waits and messages while three facts are appended, which are then all there."""
    waits: list[float] = []
    heard: list[str] = []
    with SegmentLog(files, "it") as log:
        patient = PatientLog(log, heard.append, waits.append)
        for number in range(3):
            patient.append([Closed(float(number), "")])
        assert len(list(patient.read())) == 3
    assert [fact.time for fact in read_facts(files, "it")] == [0.0, 1.0, 2.0]
    return waits, heard


def test_after_the_limit_it_says_how_to_go_on() -> None:
    files = FailingFiles(MemoryFiles(), frozenset(range(100)))
    with SegmentLog(files, "it") as log:
        patient = PatientLog(log, lambda message: None, lambda seconds: None, limit_seconds=60.0)
        with pytest.raises(UserError, match=r"tried for 61 s. Nothing .* is lost: .*`metasearch resume`"):
            patient.append([Closed(0.0, "")])


def test_a_message_tells_what_is_wrong_and_when_it_is_tried_again() -> None:
    heard: list[str] = []
    with SegmentLog(FailingFiles(MemoryFiles(), frozenset({0})), "it") as log:
        PatientLog(log, heard.append, lambda seconds: None).append([Closed(0.0, "")])
    assert heard[0].endswith("the store is out of order. The sweep waits and tries again in 1 s.")


def test_a_driver_that_begins_while_its_store_is_away_waits_and_says_so() -> None:
    heard: list[str] = []
    files = FailingFiles(MemoryFiles(), frozenset({0, 1}))
    patiently(lambda: files.write_atomic("a", b""), heard.append, wait=lambda seconds: None)
    assert [message.rsplit(". ", 1)[-1] for message in heard] == [
        "The sweep waits and tries again in 1 s.",
        "The sweep waits and tries again in 2 s.",
        "The store works again after 3 s; the sweep goes on.",
    ]
    with pytest.raises(UserError, match=r"It was tried for 61 s"):
        patiently(away, heard.append, 60.0, lambda seconds: None)


def away() -> str:
    raise StoreUnavailable("The store is away.")


def test_what_waiting_does_not_mend_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="Name a folder as the store"):
        patiently(lambda: Store(str(tmp_path / "file")).open_log("it"), pytest.fail)
