"""Answers as a table for people or JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from metasearch.core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

MOST_COLUMNS = 14

WIDE = 240
"""Characters of a line that goes to a file or a pipe: rows are not folded there."""


def emit_json(answer: Any) -> None:
    """Strict JSON: numbers that are not finite become null."""
    print(_json(answer))


def emit_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, columns: Sequence[str] | None = None) -> None:
    if as_json:
        emit_json(list(rows))
    else:
        print(_as_table(rows, columns or (), Console()), end="")


def _json(answer: Any) -> str:
    return json.dumps(_strict(answer), indent=2, default=str)


def _as_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], console: Console) -> str:
    """Lines as wide as the terminal, or ``WIDE`` where there is none."""
    names = list(columns) or list(rows[0] if rows else ())[:MOST_COLUMNS]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(name)) for name in names))
    if not console.is_terminal:
        console.width = WIDE
    with console.capture() as captured:
        console.print(table if rows else "nothing found", markup=False, highlight=False)
    return captured.get()


FORMATS = ("table", "json", "csv", "parquet", "arrow")
_ENDINGS = {".json": "json", ".csv": "csv", ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow", ".txt": "table"}


def ending_format(path: Path | None) -> str:
    """The format that a file's name asks for; a table where there is no file. Raises UserError for an ending that says nothing."""
    if path is None:
        return "table"
    if path.suffix not in _ENDINGS:
        raise UserError(f"The name {path} does not tell the format: end it in {', '.join(_ENDINGS)}, or choose one with --format.")
    return _ENDINGS[path.suffix]


def encoded(table: pa.Table, file_format: str, *, to_file: bool) -> bytes:
    """``table`` in one of ``FORMATS``. Arrow is its IPC file in a file and its stream in a pipe."""
    if file_format not in FORMATS:
        raise UserError(f'There is no format "{file_format}".{did_you_mean(file_format, FORMATS)}')
    if file_format in ("parquet", "arrow"):
        return _binary(table, file_format, to_file=to_file)
    rows, text = table.to_pylist(), io.StringIO()
    if file_format == "csv":
        writer = csv.DictWriter(text, fieldnames=table.column_names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    elif file_format == "json":
        print(_json(rows), file=text)
    else:
        text.write(_as_table(rows, table.column_names[:MOST_COLUMNS], Console(file=text, width=WIDE) if to_file else Console()))
    return text.getvalue().encode()


def _binary(table: pa.Table, file_format: str, *, to_file: bool) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    if file_format == "parquet":
        pq.write_table(table, sink, compression="zstd")
    else:
        with (pa.ipc.new_file if to_file else pa.ipc.new_stream)(sink, table.schema) as writer:
            writer.write_table(table)
    return bytes(sink.getvalue())


def cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.5g}" if math.isfinite(value) else "–"
    return str(value)


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value
