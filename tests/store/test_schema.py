"""Facts survive as rows, for ever."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metasearch.core.errors import UserError
from metasearch.core.event import FACTS, Fact, Failed, Reported, TrialId
from metasearch.store.schema import COLUMNS, READERS, VERSION_KEY, Corrupt, decode, encode, read_table, write_table
from metasearch.store.sealed import seal
from tests.store import golden
from tests.store.strategies import facts, same

GOLDEN = Path(golden.__file__).parent


def written_and_read(given: list[Fact], *, small: bool) -> list[Fact]:
    table, version = read_table(write_table(encode(given, 7), small=small), "it")
    assert table["seq"].to_pylist() == list(range(7, 7 + len(given)))
    return READERS[version](table)


@settings(max_examples=150, deadline=None)
@given(st.lists(facts, min_size=1, max_size=12), st.booleans())
def test_facts_of_every_kind_come_back_equal(given: list[Fact], small: bool) -> None:
    assert same(written_and_read(given, small=small), given)


@settings(max_examples=40, deadline=None)
@given(st.lists(facts, min_size=2, max_size=12))
def test_merged_segments_hold_the_same_facts(given: list[Fact]) -> None:
    parts = [encode([fact], position) for position, fact in enumerate(given)]
    assert same(decode(pa.concat_tables(parts, promote_options="default")), given)


def test_every_field_of_every_fact_has_a_column() -> None:
    assert {field.name for kind in FACTS.values() for field in fields(kind)} <= COLUMNS.keys()


def test_a_field_has_one_default_in_every_fact() -> None:
    """A null stands for it, whatever the fact."""
    defaults: dict[str, object] = {}
    for field in (field for kind in FACTS.values() for field in fields(kind) if field.default is not MISSING):
        assert defaults.setdefault(field.name, field.default) == field.default, field.name


def test_half_characters_in_messages_do_not_stop_a_sweep() -> None:
    failed = Failed(1.0, TrialId(0), 0, "broken \udc80 pipe")
    assert written_and_read([failed], small=True) == [Failed(1.0, TrialId(0), 0, "broken ? pipe")]


@pytest.mark.parametrize("version", sorted(READERS))
def test_segments_of_every_version_ever_written_can_be_read(version: str) -> None:
    table, found = read_table((GOLDEN / f"v{version}.parquet").read_bytes(), "golden")
    assert found == version
    assert same(READERS[version](table), golden.FACTS)


def test_a_version_of_the_future_is_refused_with_the_remedy() -> None:
    content = seal(pa.table({"seq": [0]}), {VERSION_KEY: "99"}, small=True)
    with pytest.raises(UserError, match=r"schema version 99.*reads versions 1.*pip install -U") as refusal:
        read_table(content, "log/x.parquet")
    assert not isinstance(refusal.value, Corrupt), "nothing is wrong with the file"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"garbage" * 100])
def test_what_is_no_segment_is_named(content: bytes) -> None:
    with pytest.raises(Corrupt, match=rf"log/x.parquet is damaged \({len(content)} bytes without the seal"):
        read_table(content, "log/x.parquet")


def test_a_foreign_parquet_file_is_refused() -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), sink)
    with pytest.raises(Corrupt, match="without the seal"):
        read_table(sink.getvalue().to_pybytes(), "x")


def test_a_sealed_file_is_plain_parquet_to_others() -> None:
    rows = pq.read_table(pa.BufferReader(write_table(encode(golden.FACTS, 0), small=True)))
    assert rows["kind"].to_pylist()[:2] == ["opened", "adopted"]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_flipped_bit_is_never_taken_for_a_fact(data: st.DataObject) -> None:
    content = bytearray(write_table(encode(golden.FACTS, 0), small=data.draw(st.booleans())))
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Corrupt):
        read_table(bytes(content), "it")


def test_reports_without_metrics_get_an_empty_mapping_each() -> None:
    first, second = written_and_read([Reported(0.0, TrialId(0), 0, step, 1.0) for step in (1, 2)], small=True)
    assert isinstance(first, Reported) and isinstance(second, Reported)
    assert first.metrics == second.metrics == {} and first.metrics is not second.metrics
