"""How a corpus is named, found and found fault with."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from metasearch import catalog, corpora
from metasearch.core.errors import UserError
from metasearch.corpora import Splits, check_source, describe_sources, load


def test_a_file_a_folder_and_a_named_corpus_are_found(novel: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METASEARCH_CORPORA", str(library))
    names = {load(source).name for source in (f"file:{novel}", f"folder:{library}/tales", "corpora:tales")}
    assert names == {"file/novel.txt", "folder/tales", "corpora/tales"}


def test_a_path_is_a_file_or_a_folder(novel: Path, library: Path) -> None:
    assert load(str(novel)).record() == load(f"file:{novel}").record()
    assert load(str(library / "tales")).record() == load(f"folder:{library}/tales").record()


def test_a_listed_name_can_be_written_with_a_slash_or_a_colon(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METASEARCH_CORPORA", str(library))
    assert load("corpora/tales").record() == load("corpora:tales").record() == load({"source": "corpora:tales"}).record()


def test_own_splits_are_used_as_they_are(library: Path) -> None:
    corpus = load(f"folder:{library}/tales")
    texts = [(library / "tales" / f"{split}.txt").read_bytes() for split in ("train", "valid", "test")]
    assert [corpus.train.tobytes(), corpus.valid.tobytes(), corpus.test.tobytes()] == texts


def test_line_ends_and_byte_order_marks_are_kept(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + b"one line\r\nanother\rand\n" * 50
    (tmp_path / "dos.txt").write_bytes(content)
    corpus = load(str(tmp_path / "dos.txt"))
    assert corpus.train.tobytes() + corpus.valid.tobytes() + corpus.test.tobytes() == content


def test_a_relative_path_is_recorded_so_that_another_working_folder_finds_it(novel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(novel.parent)
    record = load("novel.txt").record()
    monkeypatch.chdir("/")
    assert load(record["source"]).record() == record


def test_a_file_that_is_not_utf_8_is_refused_with_the_byte_at_fault(tmp_path: Path) -> None:
    path = tmp_path / "latin1.txt"
    path.write_bytes(b"x" * 1500 + "café\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin1.txt is not UTF-8: .* at byte 1,503 \(0xe9\). Convert it, for example: iconv"):
        load(str(path))


def test_every_built_in_kind_is_listed(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METASEARCH_CORPORA", str(library))
    listed = describe_sources()
    assert {"cpython/comments", "corpora:NAME", "corpora/tales", "file:PATH", "folder:PATH"} <= listed.keys()
    assert {name.replace("/", ":").partition(":")[0] for name in listed} == set(catalog.names("corpora"))


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("fil:x.txt", 'There is no kind of corpus "fil". Did you mean "file"?'),
        ("cpython/coments", '"cpython/coments" is neither a file, a folder nor a known corpus. Did you mean "cpython/comments"?'),
        ("cpython:coments", 'there is no built-in corpus "coments". Did you mean "comments"?'),
        ("file:/nowhere/x.txt", "there is no file /nowhere/x.txt"),
        ("file:/", "/ is a folder, expected a text file"),
        ("file:/dev/null", "/dev/null is empty, expected text"),
        ("folder:/nowhere", "there is no folder /nowhere"),
        ("folder:/dev/null", "/dev/null is a file; write file:PATH"),
        ("corpora:tales", "METASEARCH_CORPORA is not set; set it to the folder that holds tales, or write folder:PATH"),
        ({"source": "cpython/comments", "colour": 1}, 'it has no option "colour".'),
        ({}, 'A corpus needs a source such as "file:novel.txt" or "cpython/comments", found {}.'),
        ("x" * 5000 + "/y", f'"{"x" * 5000}/y" is neither a file, a folder nor a known corpus.'),
    ],
)
def test_faults_are_found_without_loading(source: Any, fault: str) -> None:
    (found,) = check_source(source)
    assert found.startswith(fault)
    with pytest.raises(UserError, match="cannot be loaded"):
        load(source)


def test_an_unknown_name_in_the_library_is_answered_with_a_near_one(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METASEARCH_CORPORA", str(library))
    assert check_source("corpora:tails") == [f'there is no folder "tails" in METASEARCH_CORPORA={library}. Did you mean "tales"?']


def test_a_missing_split_is_named_with_what_was_found_instead(library: Path) -> None:
    (library / "tales" / "valid.txt").rename(library / "tales" / "dev.txt")
    (fault,) = check_source(f"folder:{library}/tales")
    assert fault.endswith("tales lacks valid.txt (found dev.txt, test.txt, train.txt). For one text without splits write file:PATH")


def test_faults_of_source_and_tokenizer_are_shown_together(library: Path) -> None:
    (library / "tales" / "test.txt").write_bytes(b"")
    (library / "tales" / "train.txt").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        load({"source": f"folder:{library}/tales", "colour": 1}, {"name": "bpe", "vocab_size": 1})
    assert len(caught.value.faults) == 4


class Poems:
    """A kind of corpus as another package might bring it; counts how often its text is read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.times_read = 0

    def describe(self) -> Mapping[str, str]:
        return {"poems:POET": "poems"}

    def check(self, place: str, options: Mapping[str, Any]) -> list[str]:
        return []

    def resolve(self, place: str) -> str:
        return place

    def fingerprint(self, place: str, options: Mapping[str, Any]) -> str:
        return self.text

    def read(self, place: str, options: Mapping[str, Any]) -> Splits:
        self.times_read += 1
        return Splits.cut(self.text)


def test_the_text_is_read_again_only_when_its_fingerprint_changes() -> None:
    poems = Poems("a rose is a rose\n" * 20)
    first = load("poems:stein", kinds={"poems": poems})
    assert load("poems:stein", kinds={"poems": poems}).digest == first.digest
    assert poems.times_read == 1
    poems.text += "is a rose\n"
    assert load("poems:stein", kinds={"poems": poems}).digest != first.digest


def test_the_kind_shown_in_the_documentation_works_as_a_file_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "poems").mkdir()
    (tmp_path / "poems" / "stein").write_text("a rose is a rose\n" * 20)
    assert corpora.__doc__ is not None
    shown = textwrap.dedent(corpora.__doc__[corpora.__doc__.index("    from pathlib") : corpora.__doc__.index("Files that start")])
    (tmp_path / "plugins" / "corpora").mkdir(parents=True)
    (tmp_path / "plugins" / "corpora" / "poems.py").write_text(shown.replace("/srv/poems", str(tmp_path / "poems")))
    monkeypatch.setenv("METASEARCH_PLUGINS", str(tmp_path / "plugins"))
    assert load("poems:stein", kinds=catalog.corpus_kinds()).name == "poems/stein"
    assert check_source("poems:shelley", kinds=catalog.corpus_kinds()) == ["there are no poems by shelley"]
