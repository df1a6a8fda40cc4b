"""A store that is out of order pauses the sweep."""

from __future__ import annotations

import pytest

from metasearch.core.errors import UserError
from metasearch.core.event import Closed
from metasearch.store import SegmentLog
from metasearch.store.log import read_facts
from metasearch.store.patience import PatientLog
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
