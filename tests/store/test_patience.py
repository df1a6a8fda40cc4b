"""A store that is out of order pauses the sweep."""

from __future__ import annotations

import pytest

from metasearch.core.errors import UserError
from metasearch.core.event import Closed
from metasearch.store import SegmentLog
from metasearch.store.log import read_facts
from metasearch.store.patience import PatientLog
from metasearch.testing.faults import FailingFiles, MemoryFiles


@pytest.mark.parametrize("arrives", [False, True], ids=["failed", "answer lost"])
def test_an_append_is_tried_until_the_store_takes_it(arrives: bool) -> None:
    files = FailingFiles(MemoryFiles(), frozenset(range(1, 8)), arrives)
    waits: list[float] = []
    heard: list[str] = []
    with SegmentLog(files, "it") as log:
        patient = PatientLog(log, heard.append, waits.append)
        for number in range(3):
            patient.append([Closed(float(number), "")])
        assert len(list(patient.read())) == 3
    assert waits == ([1.0, 1.0] if arrives else [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0])
    over = [message for message in heard if message.startswith("The store works again")]
    assert len(heard) == len(waits) + len(over) and len(over) == (2 if arrives else 1)
    assert [fact.time for fact in read_facts(files, "it")] == [0.0, 1.0, 2.0]


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
