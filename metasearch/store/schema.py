"""Facts as rows: the one typed schema of log segments.

A segment holds the columns that its facts use; an absent column is all null, and null is a fact's default. So a fact may gain a
field with a default without a new version. The version stands in the file's metadata under ``metasearch.schema``. Every version
ever written stays readable: a new one adds a reader to ``READERS`` and leaves the others alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from typing import Any

import numpy as np
import pyarrow as pa

from metasearch.core.config import Config
from metasearch.core.errors import UserError
from metasearch.core.event import FACTS, Action, Directive, Fact
from metasearch.store.sealed import BrokenSeal, rows_of, seal, stamps_of

VERSION = "1"
VERSION_KEY = "metasearch.schema"

STANDARD_METRICS = (
    "val_loss",
    "val_bpb",
    "train_loss",
    "grad_norm",
    "clip_fraction",
    "lr",
    "tokens",
    "peak_memory",
    "parameters",
)
"""Metrics with a column of their own; all others share the column ``metrics``."""

COLUMNS: dict[str, pa.DataType] = {
    "seq": pa.int64(),
    "kind": pa.string(),
    "time": pa.float64(),
    "trial": pa.int32(),
    "leg": pa.int32(),
    "step": pa.int64(),
    "loss": pa.float64(),
    "seconds": pa.float64(),
    "last": pa.bool_(),
    "action": pa.string(),
    "reason": pa.string(),
    "directive": pa.string(),
    "origin": pa.string(),
    "parent": pa.int32(),
    "start": pa.int64(),
    "seed": pa.int64(),
    "config": pa.string(),
    "error": pa.string(),
    "detail": pa.string(),
    "part": pa.string(),
    "digest": pa.string(),
    "sweep": pa.string(),
    "environment": pa.string(),
    "changes": pa.string(),
    **dict.fromkeys(STANDARD_METRICS, pa.float64()),
    "metrics": pa.map_(pa.string(), pa.float64()),
}


class Corrupt(UserError):  # noqa: N818
    """A file of the store does not hold what was once written into it."""


def encode(facts: Sequence[Fact], first: int) -> pa.Table:
    """The rows of ``facts``, which are number ``first`` and following of their log."""
    rows = [_row(fact) for fact in facts]
    used = {name for row in rows for name in row}
    columns: dict[str, pa.Array] = {"seq": pa.array(range(first, first + len(rows)), COLUMNS["seq"])}
    for name, dtype in COLUMNS.items():
        if name in used:
            columns[name] = _array([row.get(name) for row in rows], dtype)
    return pa.table(columns)


def decode(table: pa.Table) -> list[Fact]:
    """The facts of rows written by this version. Raises Corrupt if a column that a fact needs is missing."""
    facts: list[Fact] = [None] * table.num_rows  # type: ignore[list-item]
    kinds = table["kind"].combine_chunks().dictionary_encode()
    codes = kinds.indices.to_numpy(zero_copy_only=False)
    for code, kind in enumerate(kinds.dictionary.to_pylist()):
        (positions,) = np.nonzero(codes == code)
        for position, fact in zip(positions.tolist(), _decode_kind(table.take(positions), kind), strict=True):
            facts[position] = fact
    return facts


READERS: dict[str, Callable[[pa.Table], list[Fact]]] = {"1": decode}
"""Every version of the schema with what makes facts of its rows."""


def write_table(table: pa.Table, *, small: bool) -> bytes:
    """A segment of log rows. ``small``: a single append, where the time to write counts; else what is kept, where size counts."""
    return seal(table, {VERSION_KEY: VERSION}, small=small)


def read_table(content: bytes, name: str) -> tuple[pa.Table, str]:
    """The rows of one segment and the version of their schema. Raises Corrupt, or UserError for a version of the future."""
    try:
        version = stamps_of(content).get(VERSION_KEY, "none")
    except BrokenSeal as broken:
        raise Corrupt(f"{name} is damaged ({broken}).") from None
    if version not in READERS:
        raise UserError(
            f"{name} has schema version {version}; this metasearch reads versions {', '.join(READERS)}. "
            "A newer metasearch wrote it: install that one (pip install -U metasearch)."
        )
    return rows_of(content), version


def plain_json(record: object) -> str:
    return json.dumps(record, separators=(",", ":"))


def _row(fact: Fact) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": _KINDS[type(fact)]}
    for name in _FIELDS[type(fact)]:
        value = getattr(fact, name)
        if name == "metrics":
            _spread(value, row)
        elif name not in _DEFAULTS or value != _DEFAULTS[name]:
            row[name] = _ENCODERS[name](value) if name in _ENCODERS else value
    return row


def _spread(metrics: Mapping[str, float], row: dict[str, Any]) -> None:
    others = []
    for name, value in metrics.items():
        if name in STANDARD_METRICS:
            row[name] = value
        else:
            others.append((name, value))
    if others:
        row["metrics"] = others


def _array(values: list[Any], dtype: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, dtype, from_pandas=False)
    except UnicodeEncodeError:
        # Messages of foreign programs may hold half characters; losing those is better than losing the fact.
        return pa.array([None if v is None else v.encode("utf-8", "replace").decode() for v in values], dtype)


def _decode_kind(rows: pa.Table, kind: str) -> Iterable[Fact]:
    if kind not in FACTS:
        raise Corrupt(f'There is no fact of kind "{kind}".')
    columns = [_field(rows, name) for name in _FIELDS[FACTS[kind]]]
    return map(FACTS[kind], *columns)


def _field(rows: pa.Table, name: str) -> Iterable[Any]:
    """One field of every row, as the fact holds it."""
    if name == "metrics":
        return _gather(rows)
    if name not in rows.column_names:
        if name not in _DEFAULTS:
            raise Corrupt(f'The column "{name}" is missing.')
        return [_DEFAULTS[name]] * rows.num_rows
    column = rows[name].combine_chunks()
    if pa.types.is_string(column.type):
        return _texts(column, _DECODERS.get(name), _DEFAULTS.get(name))
    if column.null_count and _DEFAULTS.get(name) is None:
        return list(column.to_pylist())
    filled = column.fill_null(_DEFAULTS[name]) if column.null_count else column
    return list(filled.to_numpy(zero_copy_only=False).tolist())


def _texts(column: pa.StringArray, parse: Callable[[str], Any] | None, default: object) -> list[Any]:
    """Each distinct text is made and parsed once, which is what makes opening long logs quick."""
    encoded = column.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    values = [*(distinct if parse is None else map(parse, distinct)), default]
    codes = encoded.indices.fill_null(len(distinct)).to_numpy(zero_copy_only=False)
    return [values[code] for code in codes.tolist()]


def _gather(rows: pa.Table) -> list[dict[str, float]]:
    gathered: list[dict[str, float]] = [{} for _ in range(rows.num_rows)]
    for name in STANDARD_METRICS:
        if name not in rows.column_names or rows[name].null_count == rows.num_rows:
            continue
        column = rows[name].combine_chunks()
        present = column.is_valid().to_numpy(zero_copy_only=False)
        values = column.drop_null().to_numpy(zero_copy_only=False).tolist()
        for position, value in zip(np.nonzero(present)[0].tolist(), values, strict=True):
            gathered[position][name] = value
    if "metrics" in rows.column_names:
        for metrics, others in zip(gathered, rows["metrics"].to_pylist(), strict=True):
            metrics.update(others or ())
    return gathered


def _encode_directive(directive: Directive) -> str:
    return plain_json({name: value for name, value in asdict(directive).items() if value != _SAYS_NOTHING[name]})


_SAYS_NOTHING = asdict(Directive())
_KINDS: dict[type[Fact], str] = {kind: name for name, kind in FACTS.items()}
_FIELDS: dict[type[Fact], tuple[str, ...]] = {kind: tuple(field.name for field in fields(kind)) for kind in FACTS.values()}
_DEFAULTS: dict[str, Any] = {
    field.name: field.default for kind in FACTS.values() for field in fields(kind) if field.default is not MISSING
}
"""What null stands for, by field; a field has one default in every kind of fact that has it."""
_ENCODERS: dict[str, Callable[[Any], Any]] = {
    "action": lambda action: action.value,
    "config": lambda config: config.text,
    "directive": _encode_directive,
    **dict.fromkeys(("sweep", "environment", "changes"), plain_json),
}
_DECODERS: dict[str, Callable[[str], Any]] = {
    "action": Action,
    "config": lambda text: Config(json.loads(text)),
    "directive": lambda text: Directive(**json.loads(text)),
    **dict.fromkeys(("sweep", "environment", "changes"), json.loads),
}
