"""Parquet files under a seal: whatever changes in one of them, a single bit of its footer included, is noticed.

Parquet can check its pages, but not the footer that says which column is which. So the footer's metadata hold the hash of the whole
file, computed while zeros stood in its place. Other programs read such a file as they read any Parquet file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_KEY = b"metasearch.seal"
_LENGTH = 16
_EMPTY = b"0" * _LENGTH
_PLACE = re.compile(re.escape(_KEY) + rb".{2}([0-9a-f]{%d})" % _LENGTH, re.DOTALL)  # two bytes of Thrift stand between


class BrokenSeal(Exception):  # noqa: N818
    """The file is not what was once written, or was never written here."""


def seal(table: pa.Table, stamps: Mapping[str, str], *, small: bool) -> bytes:
    """A Parquet file of ``table`` with ``stamps`` in its metadata. ``small``: time to write counts; else size counts."""
    packing = {"compression": "none", "use_dictionary": False} if small else {"compression": "zstd"}
    return seal_parts(table.schema, [table], stamps, packing)


def seal_parts(
    schema: pa.Schema, parts: Iterable[pa.Table], stamps: Mapping[str, str], packing: Mapping[str, Any] = {"compression": "zstd"}
) -> bytes:
    """As ``seal``, of tables one after the other, of which only the one being written needs to be there."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, store_schema=False, write_statistics=False, **packing) as writer:
        for table in parts:
            writer.write_table(table)
        writer.add_key_value_metadata({**stamps, _KEY.decode(): _EMPTY.decode()})
    content = bytearray(sink.getvalue())
    start, end = _place(content)
    content[start:end] = _digest(content, start, end)
    return bytes(content)


def stamps_of(content: bytes) -> dict[str, str]:
    """The metadata of a file whose seal holds. Raises BrokenSeal."""
    start, end = _place(content)
    if content[start:end] != _digest(content, start, end):
        raise BrokenSeal(f"its {len(content)} bytes are not the ones that were written")
    found = pq.read_metadata(pa.BufferReader(content)).metadata or {}
    return {key.decode(): value.decode() for key, value in found.items()}


def rows_of(
    content: bytes, columns: Sequence[str] | None = None, dictionaries: Sequence[str] = (), groups: Sequence[int] | None = None
) -> pa.Table:
    """The rows of a file whose seal holds, or of some of its row groups; the columns in ``dictionaries`` encoded as such."""
    file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=list(dictionaries))
    chosen = range(file.num_row_groups) if groups is None else groups
    return file.read_row_groups(list(chosen), columns=None if columns is None else list(columns), use_threads=False)


def _place(content: bytes | bytearray) -> tuple[int, int]:
    """Where in the file its hash stands."""
    key = content.rfind(_KEY)
    match = _PLACE.match(content, key) if key >= 0 else None
    if match is None or not content.endswith(b"PAR1"):
        raise BrokenSeal(f"{len(content)} bytes without the seal of a metasearch file")
    return match.span(1)


def _digest(content: bytes | bytearray, start: int, end: int) -> bytes:
    digest = hashlib.blake2b(digest_size=_LENGTH // 2)
    for part in (memoryview(content)[:start], _EMPTY, memoryview(content)[end:]):
        digest.update(part)
    return digest.hexdigest().encode()
