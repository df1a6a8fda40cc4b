"""Compacted stores answer as others do, whatever happens to their sweeps before, while and after they are compacted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metasearch.core.errors import UserError
from metasearch.core.event import Closed
from metasearch.store import Store, changes, compacted
from metasearch.store.checking import check
from metasearch.store.log import read_facts
from metasearch.store.segments import list_segments
from metasearch.testing.crash import Crash
from metasearch.testing.faults import Death, DyingFiles, MemoryFiles
from tests.store.test_ranking import CODE, TEXT, THREE, store_of, sweep_of
from tests.store.test_views import write


@pytest.fixture(scope="module", autouse=True)
def small_groups() -> Iterator[None]:
    """So that a few trials fill several row groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compacted, "_ROWS_OF_A_GROUP", 2)
        yield


def answers(store: Store) -> list[Any]:
    """What the store says. Rows of a view have no order, on which the last digits of a variance depend."""
    best = _rounded(store.best().to_pylist())
    return [repr(best), *(sorted(map(repr, table.to_pylist())) for table in (store.trials(), store.curves()))]


def _rounded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: round(value, 9) if isinstance(value, float) else value for name, value in row.items()} for row in rows]


def as_if_never_compacted(files: MemoryFiles) -> list[Any]:
    plain = MemoryFiles()
    plain.contents = {path: content for path, content in files.contents.items() if not path.startswith(changes.FOLDER)}
    return answers(Store(plain))


def three_sweeps() -> tuple[MemoryFiles, Store]:
    more = [("lstm", 3, [1.8]), ("gru", 1, [2.0, 1.7]), ("gru", 2, [9.0, float("nan")])]
    store = store_of(
        one=sweep_of("one", TEXT, *THREE), two=sweep_of("two", TEXT, *more), three=sweep_of("three", CODE, ("gru", 0, [5.0]))
    )
    assert isinstance(store.files, MemoryFiles)
    return store.files, store


def test_a_compacted_store_answers_as_before_from_few_files() -> None:
    files, store = three_sweeps()
    asked: list[dict[str, Any]] = [
        {"by": "model"},
        {"task": "text", "top": 2},
        {"at": 10},
        {"by": "hp_model", "task": "text"},
        {"top": 200},
    ]
    plain = store.best().schema
    before = [answers(store), *(_rounded(store.best(**how).to_pylist()) for how in asked)]
    sql = "select sweep, s.state, d.decision from sweeps s join decisions d using (sweep) order by all"
    told = store.query(sql)
    assert store.compact() == (["one", "three", "two"], [])
    assert [answers(store), *(_rounded(store.best(**how).to_pylist()) for how in asked)] == before
    assert store.query(sql) == told
    reads: list[str] = []
    real = files.read
    files.read = lambda path: reads.append(path) or real(path)  # type: ignore[method-assign]
    store.best()
    assert reads == ["compacted/leaders.parquet"]
    assert store.best().schema == plain


actions = st.lists(st.sampled_from(["compact", "append", "new", "delete", "replace"]), max_size=7)


@settings(max_examples=10, deadline=None)
@given(actions)
def test_whatever_happens_answers_are_those_of_the_logs(happened: list[str]) -> None:
    files, store = three_sweeps()
    for number, action in enumerate(happened):
        if action == "compact":
            store.compact()
        elif action == "append":
            write(store, "two", [Closed(500.0, f"again {number}")])
        elif action == "new":
            write(store, f"new {number}", sweep_of(f"new {number}", TEXT, ("lstm", 10 + number, [1.5])))
        else:
            for path in [path for path in files.contents if path.startswith("sweeps/one/")]:
                files.delete(path)
            if action == "replace":
                write(store, "one", sweep_of("one", CODE, ("gru", number, [0.5 + number])))
    assert answers(store) == as_if_never_compacted(files)


def test_a_sweep_that_is_written_while_others_are_compacted_is_read_anew() -> None:
    files, store = three_sweeps()
    real = files.write_atomic

    def writing(path: str, content: bytes) -> None:
        files.write_atomic = real  # type: ignore[method-assign]
        write(store, "two", [Closed(500.0, "meanwhile")])
        real(path, content)

    files.write_atomic = writing  # type: ignore[method-assign]
    store.compact()
    assert store.query("select reason from sweeps where sweep = 'two'")["reason"].to_pylist() == ["meanwhile"]
    assert answers(store) == as_if_never_compacted(files)


def test_a_sweep_that_runs_is_left_out_and_seen_nevertheless() -> None:
    files, store = three_sweeps()
    with store.open_log("two") as log:
        assert store.compact()[0] == ["one", "three"]
        log.append([Closed(500.0, "later")])
        assert store.query("select reason from sweeps where sweep = 'two'")["reason"].to_pylist() == ["later"]
    assert answers(store) == as_if_never_compacted(files)


def test_marks_go_when_what_they_tell_is_compacted() -> None:
    files, store = three_sweeps()
    store.compact()
    write(store, "two", [Closed(500.0, "again")])
    assert changes.marked(changes.marks(files)) == {"two"}
    store.compact()
    assert changes.marks(files) == set()


@pytest.mark.parametrize("death", [Death.BEFORE, Death.TORN])
def test_a_compaction_that_is_killed_loses_nothing(death: Death) -> None:
    begun, store = three_sweeps()
    with store.open_log("two") as log:
        for number in range(4):
            log.append([Closed(500.0 + number, "again")])
    expected, facts = answers(store), list(map(repr, read_facts(begun, "two")))
    for at in range(60):
        files, finished = MemoryFiles(), False
        files.contents = dict(begun.contents)
        with contextlib.suppress(Crash):
            Store(DyingFiles(files, at, death)).compact()
            finished = True
        assert list(map(repr, read_facts(files, "two"))) == facts
        assert answers(Store(files)) == expected, at
        if finished:
            break
    assert finished
    assert len(list_segments(files, "two")) == 2


@pytest.mark.parametrize("view", compacted.VIEWS)
def test_a_damaged_file_is_not_used_and_found_by_the_check(view: str) -> None:
    files, store = three_sweeps()
    store.compact()
    path = compacted.path_of(view)
    content = bytearray(files.contents[path])
    content[len(content) // 3] ^= 1
    files.contents[path] = bytes(content)
    assert answers(store) == as_if_never_compacted(files)
    (finding,) = check(files)
    assert finding.path == path and "store compact" in finding.remedy


def test_a_store_in_which_nothing_may_win_can_be_compacted() -> None:
    store = store_of(one=sweep_of("one", TEXT, ("gru", 0, [float("nan")])))
    store.compact()
    assert store.best().num_rows == store.best(task="text", by="model").num_rows == 0
    write(store, "two", sweep_of("two", TEXT, ("gru", 0, [1.0])))
    assert store.best()["loss"].to_pylist() == [1.0]


def test_columns_and_tasks_that_are_not_there_are_named_as_before() -> None:
    _, store = three_sweeps()
    store.compact()
    with pytest.raises(UserError, match=r'no column "modle" to compare by. Did you mean "model"'):
        store.best(by="modle")
    with pytest.raises(UserError, match=r'no trials of a task "txt" .* Did you mean "text"'):
        store.best(task="txt")
    with pytest.raises(UserError, match="at least 1, found 0"):
        store.best(top=0)
