"""``cpython/NAME``: eight texts that every Python carries within itself, for trying things out without a download.

The same interpreter always gives the same text; another version gives another one, and the record's hashes tell.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from metasearch.core.errors import UserError, did_you_mean
from metasearch.corpora import _interpreter, _stdlib, _text
from metasearch.corpora._kinds import unknown_options
from metasearch.corpora._splits import Splits

CAP_BYTES = 2_000_000


class Builtin(NamedTuple):
    line: str
    pieces: Callable[[], Iterator[str]]
    """Yields the text in a fixed order, up to any length."""


BUILTINS = {
    "ast_dumps": Builtin("syntax trees of standard library modules, indented", _stdlib.ast_dumps),
    "bytecode": Builtin("disassembled functions of the standard library", _stdlib.bytecode),
    "codec_tables": Builtin("the character maps of Python's codecs, one character a line", _interpreter.codec_tables),
    "comments": Builtin("comments of the standard library", _stdlib.comments),
    "docstrings": Builtin("docstrings of the standard library", _stdlib.docstrings),
    "language_reference": Builtin("topics of the Python language reference", _interpreter.language_reference),
    "stdlib_code": Builtin("source code of the standard library", _stdlib.code),
    "unicode_names": Builtin("Unicode characters with their names", _interpreter.unicode_names),
}


def describe() -> Mapping[str, str]:
    return {f"cpython/{name}": builtin.line for name, builtin in BUILTINS.items()}


def check(place: str, options: Mapping[str, Any]) -> list[str]:
    unknown = [] if place in BUILTINS else [f'there is no built-in corpus "{place}".{did_you_mean(place, BUILTINS)}']
    return unknown + unknown_options(options)


def resolve(place: str) -> str:
    return place


def fingerprint(place: str, options: Mapping[str, Any]) -> str:
    """The interpreter, the files of its library by size and time, and the code that makes text of them."""
    makers = [Path(module_file) for module_file in (__file__, _interpreter.__file__, _stdlib.__file__)]
    stats = [(name, path.stat()) for name, path in _stdlib.modules()]
    library = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return _text.digest(repr((place, sys.version, sys.platform, library, _text.fingerprint(makers))).encode())


def read(place: str, options: Mapping[str, Any]) -> Splits:
    text = capped(BUILTINS[place].pieces())
    if len(text) < 100_000:
        raise UserError(
            f'The Python at {sys.prefix} lacks the files for "cpython/{place}" ({len(text):,} characters found). '
            "Install its standard library in full, or use another corpus."
        )
    return Splits.cut(text)


def capped(pieces: Iterator[str]) -> str:
    """The pieces joined, at most CAP_BYTES of UTF-8, cut at a line end; what UTF-8 cannot hold becomes ``?``."""
    joined = bytearray()
    for piece in pieces:
        joined += piece.encode("utf-8", errors="replace")
        if len(joined) > CAP_BYTES:
            del joined[joined.rfind(b"\n", 0, CAP_BYTES) + 1 :]
            break
    return joined.decode("utf-8")
