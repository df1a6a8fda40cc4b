"""Answers as a table for people or JSON for programs."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

MOST_COLUMNS = 14

WIDE = 240
"""Characters of a line that goes to a file or a pipe: rows are not folded there."""


def emit_json(answer: Any) -> None:
    """Strict JSON: numbers that are not finite become null."""
    print(json.dumps(_strict(answer), indent=2, default=str))


def emit_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, columns: Sequence[str] | None = None) -> None:
    if as_json:
        emit_json(list(rows))
        return
    names = list(columns or (rows[0] if rows else ()))[:MOST_COLUMNS]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(name)) for name in names))
    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    console.print(table if rows else "nothing found", markup=False, highlight=False)


def emit_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    writer = csv.DictWriter(sys.stdout, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


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
