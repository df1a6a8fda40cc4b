from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from functools import cache as memo
from pathlib import Path

import pytest

from metasearch.core.errors import UserError
from metasearch.corpora import Splits, _interpreter, _stdlib, cpython, load

NAMES = sorted(cpython.BUILTINS)


@memo
def splits(name: str) -> Splits:
    return cpython.read(name, {})


@pytest.mark.parametrize("name", NAMES)
def test_every_built_in_text_is_large_enough_to_learn_from_and_small_enough_to_load(name: str) -> None:
    sizes = [len(text.encode()) for _, text in splits(name).items()]
    assert sizes[0] >= 100_000 and sum(sizes) <= cpython.CAP_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_no_built_in_text_holds_a_path_of_this_machine(name: str) -> None:
    assert sysconfig.get_path("stdlib") not in "".join(text for _, text in splits(name).items())


def test_bytecode_names_inner_functions_without_their_addresses() -> None:
    text = splits("bytecode").train
    assert "<code object " in text and " at 0x" not in text


def test_two_processes_with_other_hash_seeds_read_the_same_texts() -> None:
    code = (
        "from metasearch.corpora import cpython; from metasearch.corpora._text import digest\n"
        "for name in sorted(cpython.BUILTINS): print(digest(repr(cpython.read(name, {})).encode()), cpython.fingerprint(name, {}))"
    )
    running = [
        subprocess.Popen(
            [sys.executable, *flags, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed, flags in (("1", ["-O"]), ("2", []))
    ]
    first, second = (process.communicate(timeout=120)[0].splitlines() for process in running)
    assert first == second and len(set(first)) == len(NAMES)


def test_a_built_in_corpus_loads_by_name() -> None:
    corpus = load("cpython/language_reference")
    assert corpus.name == "cpython/language_reference"
    assert corpus.train.tobytes().decode() == splits("language_reference").train


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("unicode_names", "é LATIN SMALL LETTER E WITH ACUTE"),
        ("codec_tables", "cp1252 0x80 U+20AC € EURO SIGN"),
        ("bytecode", "    0 RESUME"),
        ("ast_dumps", " body=["),
    ],
)
def test_a_built_in_text_holds_what_its_name_says(name: str, line: str) -> None:
    assert f"\n{line}\n" in "".join(part for _, part in splits(name).items())


def test_docstrings_and_comments_are_without_code() -> None:
    source = 'class A:\n    """Of A."""\n    def f(self):\n        x = "# no comment"  # a comment long enough to keep\n'
    found = [match["comment"] for match in _stdlib.COMMENT_OR_STRING.finditer(source) if match["comment"]]
    assert found == ["# a comment long enough to keep"]
    assert "def __init__(self" not in splits("docstrings").valid + splits("comments").valid


def test_files_that_cannot_be_read_or_parsed_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.py").write_text('"""Good."""\ndef f(): return 1 in {2, 3}, "\\d" is "x"\n')
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "latin.py").write_bytes(b"# coding: latin-1\n# \xe9\n")
    paths = [(name, tmp_path / name) for name in ("broken.py", "gone.py", "good.py", "latin.py")]
    monkeypatch.setattr(_stdlib, "modules", lambda: paths)
    assert list(_stdlib.docstrings()) == ["Good.\n\n"]
    assert "frozenset({2, 3})" in "".join(_stdlib.bytecode())


def test_a_python_without_its_library_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stdlib, "modules", list)
    with pytest.raises(UserError, match=r'lacks the files for "cpython/comments" \(0 characters found\)'):
        cpython.read("comments", {})
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    assert list(_interpreter.language_reference()) == []


def test_a_text_over_the_cap_ends_at_a_line_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpython, "CAP_BYTES", 10)
    assert cpython.capped(iter(["one\ntwo\n", "thrée\nfour\n"])) == "one\ntwo\n"
    assert cpython.capped(iter(["\ud800\n"])) == "?\n"
