"""Examples that every Python carries within itself: pieces of its texts by kind, and functions with what they are for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import islice

from metasearch.corpora import _stdlib
from metasearch.corpora.cpython import BUILTINS

CLASSES = ("comments", "docstrings", "language_reference", "stdlib_code", "unicode_names")
PIECES, PIECE = 300, 160
"""So many pieces of each text, of at most so many characters."""

FUNCTIONS = 3000
LONGEST = 80


def labelled() -> Iterator[tuple[str, str]]:
    """Which of Python's texts is it from?"""
    for label in CLASSES:
        for text in islice(_pieces(BUILTINS[label].pieces()), PIECES):
            yield text, label


def _pieces(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        for start in range(0, len(text), PIECE):
            piece = text[start : start + PIECE].strip()
            if len(piece) > PIECE // 4:
                yield piece


def described() -> Iterator[tuple[str, str]]:
    """Functions of the standard library, and the first lines of their docstrings."""
    return islice(_functions(), FUNCTIONS)


def _functions() -> Iterator[tuple[str, str]]:
    for tree in _stdlib.trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node)):
                signature = f"{node.name}({', '.join(argument.arg for argument in node.args.args)})"
                line = text.strip().splitlines()[0]
                if max(len(signature), len(line)) <= LONGEST:
                    yield signature, line
