"""Views that are kept beside the log, so that questions need not read it again. They may be deleted at any time.

A kept view carries the number of facts it was made from; as soon as the log holds more, it is made anew.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from metasearch.core.event import Fact, Opened, Resumed
from metasearch.core.history import History
from metasearch.store.files import Files, StoreUnavailable
from metasearch.store.rows import Environments, SweepTables, sweep_tables
from metasearch.store.schema import READERS, VERSION, encode
from metasearch.store.sealed import BrokenSeal, rows_of, seal, stamps_of
from metasearch.store.segments import TornTail, list_segments, read_segments

VERSION_OF_VIEWS = "2"
"""Raised whenever columns change, so that views kept by an earlier metasearch are made anew."""

KEPT = ("sweeps", "trials", "curves", "decisions")


def load_view(files: Files, sweep: str, view: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of one sweep in one of ``KEPT``, up to date with its log. Keeps what it had to make if the store can be written."""
    facts = max((segment.end + 1 for segment in list_segments(files, sweep)), default=0)
    kept = _kept(files, sweep, view, facts, columns)
    if kept is not None:
        return kept
    made = make_views(files, sweep)
    with contextlib.suppress(StoreUnavailable):
        for name in KEPT:
            files.write_atomic(_path(sweep, name), seal(getattr(made, name), _stamps(made.facts), small=False))
    table: pa.Table = getattr(made, view)
    return table if columns is None else table.select(columns)


def make_views(files: Files, sweep: str) -> SweepTables:
    """All views of one sweep from its log. Warns if the newest segment is torn: the views then end before it.

    Raises TornTail if there is nothing before it.
    """
    parts: list[pa.Table] = []
    starts: list[Fact] = []
    history = History.fold(_collecting(_tables(files, sweep), parts, starts))
    log = pa.concat_tables(parts, promote_options="default")
    return sweep_tables(log, history, Environments.of(starts))


def union(tables: Iterable[pa.Table]) -> pa.Table:
    """The rows of all tables. A column that is missing in one is null there; clashing types become numbers or else text."""
    listed = list(tables)
    types = common_types(table.schema for table in listed)
    return pa.concat_tables([_cast(table, types) for table in listed], promote_options="default").combine_chunks()


def common_types(schemas: Iterable[pa.Schema]) -> dict[str, pa.DataType]:
    """The columns of a union, in the order in which they are met."""
    types: dict[str, pa.DataType] = {}
    for field in (field for schema in schemas for field in schema):
        types[field.name] = _common_type(types.get(field.name, field.type), field.type)
    return types


def _collecting(tables: Iterable[tuple[pa.Table, str]], parts: list[pa.Table], starts: list[Fact]) -> Iterator[Fact]:
    """The facts of ``tables`` one after the other, so that only rows are kept; the ones that say where it ran go to ``starts``."""
    for table, version in tables:
        facts = READERS[version](table)
        parts.append(table if version == VERSION else encode(facts, table["seq"][0].as_py()))
        starts += [fact for fact in facts if isinstance(fact, Opened | Resumed)]
        yield from facts


def _tables(files: Files, sweep: str) -> Iterator[tuple[pa.Table, str]]:
    try:
        yield from read_segments(files, sweep)
    except TornTail as torn:
        if torn.segment.first == 0:
            raise
        warnings.warn(torn.message, stacklevel=2)


def _path(sweep: str, view: str) -> str:
    return f"sweeps/{sweep}/views/{view}.parquet"


def _stamps(facts: int) -> dict[str, str]:
    return {"metasearch.facts": str(facts), "metasearch.views": VERSION_OF_VIEWS}


def _kept(files: Files, sweep: str, view: str, facts: int, columns: Sequence[str] | None) -> pa.Table | None:
    """The view as it lies there, unless it is missing, damaged, of another version or behind the log."""
    try:
        content = files.read(_path(sweep, view))
        current = stamps_of(content).items() >= _stamps(facts).items()
    except (FileNotFoundError, BrokenSeal):
        return None
    return rows_of(content, columns) if current else None


def _common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    numbers = all(pa.types.is_integer(dtype) or pa.types.is_floating(dtype) for dtype in (one, other))
    return pa.float64() if numbers else pa.string()


def _cast(table: pa.Table, types: dict[str, pa.DataType]) -> pa.Table:
    for index, field in enumerate(table.schema):
        if field.type != types[field.name]:
            table = table.set_column(index, field.name, pc.cast(table[field.name], types[field.name]))
    return table
