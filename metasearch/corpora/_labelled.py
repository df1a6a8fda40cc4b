"""Examples in files: texts with a label, or with their translation. Every line that does not work is named.

- ``.tsv`` and ``.csv``: a first line that names the columns; ``.jsonl``: one object a line, with keys instead of columns.
- ``.txt`` of labelled texts: ``__label__CLASS text``, as fastText has it.
- two text files for a translation: line n of one says what line n of the other says.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from metasearch.core.errors import UserError, did_you_mean
from metasearch.corpora._text import file_faults, read_utf8

Pair = tuple[str, str]
"""The text that a model is given, and what it should answer: a label, or another text."""

COLUMNS = {"classify": ("text", "label"), "translate": ("source", "target")}
DELIMITERS = {".tsv": "\t", ".csv": ","}
OBJECTS = (".jsonl", ".ndjson")
FASTTEXT = "__label__"
MOST_NAMED = 10
"""So many faulty lines are named; of others only the number is told."""

Place = str | Mapping[str, str]
"""A file, or for a translation ``{"source": FILE, "target": FILE}``."""


def paths_of(place: Place) -> list[Path]:
    return [Path(path) for path in ([place] if isinstance(place, str) else place.values())]


def place_faults(kind: str, place: Place) -> list[str]:
    """What can be said without reading."""
    if not isinstance(place, str):
        wanted = set(COLUMNS["translate"])
        if kind != "translate" or set(place) != wanted:
            return [
                f"expected the path of a file{', or {source: FILE, target: FILE}' * (kind == 'translate')}, found {dict(place)!r}"
            ]
        return [fault for path in paths_of(place) for fault in file_faults(path)]
    known = [*DELIMITERS, *OBJECTS, *([".txt"] if kind == "classify" else [])]
    suffix = Path(place).suffix
    found = file_faults(Path(place))
    if not found and suffix not in known:
        found.append(f"{place}: files that end in {suffix or 'nothing'} are not known here, expected {', '.join(known)}")
    return found


def read(kind: str, place: Place, columns: Mapping[str, str]) -> list[Pair]:
    """The examples of one file, or pair of files. Raises UserError with every line that does not work."""
    faults: list[str] = []
    named = [columns.get(name, name) for name in COLUMNS[kind]]
    pairs = list(_sound(_rows(kind, place, named, faults), faults))
    if not pairs and not faults:
        faults.append(f"{_name(place)} holds no example")
    if faults:
        more = len(faults) - MOST_NAMED
        listed = faults[:MOST_NAMED] + ([f"and {more} more"] if more > 0 else [])
        raise UserError(f"{_name(place)} cannot be read as examples:", listed)
    return pairs


_Row = tuple[str, str, str]
"""Where it stands, then the pair."""


def _name(place: Place) -> str:
    return " and ".join(str(path) for path in paths_of(place))


def _sound(rows: Iterator[_Row], faults: list[str]) -> Iterator[Pair]:
    for where, text, answer in rows:
        if not text.strip() or not answer.strip():
            faults.append(f"{where}: {'the text' if not text.strip() else 'the answer'} is empty")
        else:
            yield text, answer


def _rows(kind: str, place: Place, named: Sequence[str], faults: list[str]) -> Iterator[_Row]:
    if not isinstance(place, str):
        return _aligned(place, faults)
    path, text = Path(place), read_utf8(Path(place))
    if path.suffix in DELIMITERS:
        return _table(path, text, named, faults)
    return _objects(path, text, named, faults) if path.suffix in OBJECTS else _fasttext(path, text, faults)


def _table(path: Path, text: str, named: Sequence[str], faults: list[str]) -> Iterator[_Row]:
    quoting: Literal[0, 3] = csv.QUOTE_NONE if path.suffix == ".tsv" else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS[path.suffix], quoting=quoting)
    header = next(reader, [])
    missing = [name for name in named if name not in header]
    for name in missing:
        hint = did_you_mean(name, header) or " Name it in the sweep file: columns."
        faults.append(f"{path}:1: there is no column {name}, found {', '.join(header) or 'nothing'}.{hint}")
    if missing:
        return
    first, second = (header.index(name) for name in named)
    for row in reader:
        if len(row) == len(header):
            yield f"{path}:{reader.line_num}", row[first], row[second]
        elif row:
            faults.append(f"{path}:{reader.line_num}: expected {len(header)} columns, found {len(row)}")


def _objects(path: Path, text: str, named: Sequence[str], faults: list[str]) -> Iterator[_Row]:
    for number, line in enumerate(text.splitlines(), 1):
        try:
            content = json.loads(line) if line.strip() else None
        except json.JSONDecodeError as error:
            faults.append(f"{path}:{number}: not JSON: {error.msg}")
            continue
        if content is None:
            continue
        if not isinstance(content, dict) or any(not isinstance(content.get(name), str | int) for name in named):
            faults.append(f"{path}:{number}: expected an object with {' and '.join(named)}, found {line[:60]}")
            continue
        yield f"{path}:{number}", str(content[named[0]]), str(content[named[1]])


def _fasttext(path: Path, text: str, faults: list[str]) -> Iterator[_Row]:
    for number, line in enumerate(text.splitlines(), 1):
        first, _, rest = line.partition(" ")
        if first.startswith(FASTTEXT) and not rest.startswith(FASTTEXT):
            yield f"{path}:{number}", rest, first.removeprefix(FASTTEXT)
        elif line.strip():
            faults.append(f"{path}:{number}: expected one {FASTTEXT}CLASS and a text, found {line[:60]}")


def _aligned(place: Mapping[str, str], faults: list[str]) -> Iterator[_Row]:
    source, target = (read_utf8(Path(place[name])).splitlines() for name in COLUMNS["translate"])
    if len(source) != len(target):
        faults.append(f"{place['source']} has {len(source):,} lines and {place['target']} {len(target):,}; they must be aligned")
        return
    for number, pair in enumerate(zip(source, target, strict=True), 1):
        yield f"line {number}", *pair
