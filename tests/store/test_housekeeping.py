"""Checking, merging and upgrading stores."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from metasearch.core.errors import UserError
from metasearch.core.event import Adopted, Closed
from metasearch.store import Store, log, schema
from metasearch.store.merging import merge
from metasearch.testing.crash import Crash
from metasearch.testing.faults import Death, DyingFiles, MemoryFiles
from tests.store.test_ranking import CODE, TEXT, THREE, store_of, sweep_of
from tests.store.test_thetas import CARD, THETA
from tests.store.test_views import write


@pytest.fixture(autouse=True)
def memories_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFiles, "url", property(lambda self: f"memory {id(self)}"))


def two_sweeps() -> Store:
    store = store_of(one=sweep_of("one", TEXT, *THREE), two=sweep_of("two", CODE, ("gru", 0, [5.0])))
    write(store, "two", [Closed(500.0, "again")])
    store.put_checkpoint("one", 2, "a", b"weights")
    store.best()
    return store


def faults(store: Store) -> dict[str, str]:
    return {finding.path: f"{finding.wrong}. {finding.remedy}" for finding in store.check()}


def test_a_sound_store_has_no_faults_compacted_or_not() -> None:
    store = two_sweeps()
    assert faults(store) == {}
    store.compact()
    store.request_stop("one")
    store.put_driver_output("one", "hello")
    assert faults(store) == {}


def newest(store: Store, sweep: str) -> str:
    assert isinstance(store.files, MemoryFiles)
    return max(path for path in store.files.contents if path.startswith(f"sweeps/{sweep}/log/"))


def test_every_kind_of_damage_is_named_with_its_remedy() -> None:
    store = two_sweeps()
    assert isinstance(store.files, MemoryFiles)
    contents = store.files.contents
    contents[newest(store, "two")] = b"torn"
    contents["notes.txt"] = contents["sweeps/one/readme.md"] = contents["sweeps/mine/data.csv"] = b"mine"
    contents["sweeps/one/log/.0000000000-0000000003.parquet.1234.tmp"] = b"half"
    contents["sweeps/one/log/0000000099-0000000099.parquet.corrupt"] = b"old"
    contents["thetas/" + "0" * 32 + ".safetensors"] = b"no theta"
    found = faults(store)
    assert "metasearch resume two" in found.pop("sweeps/two/log")
    assert all("Move it out" in found.pop(path) for path in ("notes.txt", "sweeps/one/readme.md", "sweeps/mine"))
    assert "Delete it" in found.pop("sweeps/one/log/.0000000000-0000000003.parquet.1234.tmp")
    assert "set aside" in found.pop("sweeps/one/log/0000000099-0000000099.parquet.corrupt")
    assert "meta learn" in found.pop("thetas/" + "0" * 32 + ".safetensors")
    assert found == {}


def test_a_missing_file_and_a_newer_version_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    store = two_sweeps()
    assert isinstance(store.files, MemoryFiles)
    first = min(path for path in store.files.contents if path.startswith("sweeps/two/log/"))
    del store.files.contents[first]
    assert "from a backup" in faults(store)["sweeps/two/log"]
    monkeypatch.setattr(schema, "VERSION", "99")
    write(store, "three", sweep_of("three", TEXT, ("gru", 0, [5.0])))
    assert "install that one" in faults(store)["sweeps/three/log"]


def test_a_merge_brings_sweeps_checkpoints_and_no_doubles() -> None:
    source, target = two_sweeps(), store_of(three=sweep_of("three", TEXT, ("rnn", 5, [1.0])))
    target.compact()
    assert vars(merge(source, target)) == {"copied": ["one", "two"], "known": []}
    assert target.best(task="text", top=2)["sweep"].to_pylist() == ["three", "one"]
    assert target.get_checkpoint("one", 2, "a") == b"weights"
    assert vars(merge(source, target)) == {"copied": [], "known": ["one", "two"]}


def test_a_merge_brings_what_its_sweeps_had_learned_from_and_no_more() -> None:
    source, target = two_sweeps(), store_of(three=sweep_of("three", TEXT, ("rnn", 5, [1.0])))
    used = source.put_theta(THETA, CARD)
    source.put_theta(replace(THETA, plain={"nobody": "asked"}), CARD)
    write(source, "two", [Adopted(501.0, "selector", used)])
    merge(source, target)
    assert target.theta_cards() == [replace(CARD, digest=used)]
    assert target.get_theta(used).digest == used
    target.put_theta(THETA, replace(CARD, held_out={"regret": 0.1}))
    merge(source, target)
    assert target.theta_cards()[0].held_out == {"regret": 0.1}, "what is there stays as it is"


def test_a_conflict_is_refused_and_nothing_is_written() -> None:
    source, target = two_sweeps(), store_of(one=sweep_of("one", TEXT, ("rnn", 5, [1.0])))
    assert isinstance(target.files, MemoryFiles)
    before = dict(target.files.contents)
    with pytest.raises(UserError, match=r"Nothing was written\.\n  - one is there already, with other facts"):
        merge(source, target)
    with source.open_log("two"), pytest.raises(UserError, match="two is running"):
        merge(source, target)
    with pytest.raises(UserError, match="into itself"):
        merge(source, Store(source.files))
    assert target.files.contents == before


@pytest.mark.parametrize("death", [Death.BEFORE, Death.AFTER])
def test_a_merge_that_is_killed_leaves_whole_sweeps_and_can_go_on(death: Death) -> None:
    source = two_sweeps()
    for at in range(6):
        files = MemoryFiles()
        with contextlib.suppress(Crash):
            merge(source, Store(DyingFiles(files, at, death)))
        for sweep in Store(files).sweeps():
            assert list(map(repr, Store(files).facts(sweep))) == list(map(repr, source.facts(sweep)))
        merge(source, Store(files))
        assert Store(files).best().to_pylist() == source.best().to_pylist()


def test_logs_of_an_older_version_are_written_in_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(schema, "VERSION", "0")
        before.setattr(schema, "READERS", {"0": schema.decode})
        write(Store(tmp_path), "old", [*sweep_of("old", TEXT, *THREE), Adopted(500.0, "selector", "0" * 32)])
    for module in (schema, log):
        monkeypatch.setitem(module.READERS, "0", schema.decode)
    write(Store(tmp_path), "new", sweep_of("new", TEXT, *THREE))
    facts = list(map(repr, Store(tmp_path).facts("old")))
    assert Store(tmp_path).upgrade() == {"new": 0, "old": 1}
    monkeypatch.delitem(schema.READERS, "0")
    assert list(map(repr, Store(tmp_path).facts("old"))) == facts
    assert Store(tmp_path).upgrade() == {"new": 0, "old": 0}
