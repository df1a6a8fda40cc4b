"""Texts made of the standard library's source files. Nothing is imported or run: modules are only read, parsed or compiled."""

from __future__ import annotations

import ast
import dis
import hashlib
import os
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar

SKIPPED_FOLDERS = {
    *("site-packages", "dist-packages", "__pycache__", "test", "tests"),
    *("idlelib", "tkinter", "turtledemo", "lib2to3", "distutils", "ensurepip"),  # often split off or missing
    *("pydoc_data", "encodings"),  # these are corpora of their own
}
BUILD_DEPENDENT = ("_sysconfigdata", "config-")
"""Files and folders that hold paths of the machine on which Python was built."""

COMMENT_OR_STRING = re.compile(
    r'(?s:(?P<quote>"""|\'\'\').*?(?<!\\)(?P=quote))|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|(?P<comment>#[^\n]*)'
)
COMMENTS_WORTH_READING = 20
"""Shorter comments are mostly rules, pragmas and leftovers."""

Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Item = TypeVar("Item")


def scrambled(items: Iterable[tuple[str, Item]]) -> list[tuple[str, Item]]:
    """Named items in the order of their names' hashes: fixed, but such that the end of a text is like its beginning."""
    return sorted(items, key=lambda item: hashlib.blake2b(item[0].encode(), digest_size=8).digest())


@cache
def modules() -> list[tuple[str, Path]]:
    """Relative names and paths of the library's source files, scrambled."""
    root = Path(sysconfig.get_path("stdlib"))
    found = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in SKIPPED_FOLDERS and not name.startswith(BUILD_DEPENDENT)]
        found += [Path(folder, name) for name in files if name.endswith(".py") and not name.startswith(BUILD_DEPENDENT)]
    return scrambled((path.relative_to(root).as_posix(), path) for path in found)


def _sources() -> Iterator[tuple[str, str]]:
    for name, path in modules():
        try:
            yield name, path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue


def trees() -> Iterator[ast.Module]:
    for name, source in _sources():
        try:
            with _silence():
                tree = ast.parse(source, name)
        except (SyntaxError, ValueError):
            continue
        yield tree


@contextmanager
def _silence() -> Iterator[None]:
    """Parsing and compiling warn of other people's escapes and comparisons."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def code() -> Iterator[str]:
    for _, source in _sources():
        yield source.rstrip() + "\n\n\n"


def comments() -> Iterator[str]:
    """Comments without their marks, one a line, an empty line after each module."""
    for _, source in _sources():
        found = (match["comment"] for match in COMMENT_OR_STRING.finditer(source) if match["comment"])
        bare = [comment.strip("# \t-=*!:") for comment in found]
        lines = [line for line in bare if len(line) >= COMMENTS_WORTH_READING]
        if lines:
            yield "\n".join(lines) + "\n\n"


def docstrings() -> Iterator[str]:
    for tree in trees():
        for scope in _scopes(tree):
            text = ast.get_docstring(scope)
            if text:
                yield text + "\n\n"


def _scopes(node: Scope) -> Iterator[Scope]:
    yield node
    for child in node.body:
        if isinstance(child, Scope):
            yield from _scopes(child)


def ast_dumps() -> Iterator[str]:
    for tree in trees():
        yield ast.dump(tree, indent=1) + "\n\n"


def bytecode() -> Iterator[str]:
    for tree in trees():
        with _silence():
            # optimize is given, or the text would depend on how this process was started
            module = compile(tree, "", "exec", dont_inherit=True, optimize=0)
        yield from _listings(module)


def _listings(module: CodeType) -> Iterator[str]:
    for inner in (constant for constant in module.co_consts if isinstance(constant, CodeType)):
        lines = [f"{i.offset:>5} {i.opname:<24}{_argument(i)}".rstrip() for i in dis.get_instructions(inner)]
        yield "\n".join([f"{inner.co_qualname}:", *lines]) + "\n\n"
        yield from _listings(inner)


def _argument(instruction: dis.Instruction) -> str:
    if isinstance(instruction.argval, tuple | frozenset | CodeType):
        return _constant(instruction.argval)
    return instruction.argrepr


def _constant(value: Any) -> str:
    """``repr``, but without memory addresses and with sets in an order that does not depend on this process's hash seed."""
    if isinstance(value, CodeType):
        return f"<code object {value.co_qualname}>"
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    if isinstance(value, frozenset):
        return f"frozenset({{{', '.join(sorted(map(_constant, value)))}}})"
    return repr(value)
