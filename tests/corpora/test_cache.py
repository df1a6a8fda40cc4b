from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metasearch.core.errors import UserError
from metasearch.corpora import load


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "corpora").iterdir())


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["tokens.npy", "entry.json"])
@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:-100])],
    ids=["flipped bit", "missing", "emptied", "cut short"],
)
def test_a_damaged_entry_is_built_anew(novel: Path, cache: Path, name: str, damage: Callable[[Path], object]) -> None:
    digest = load(f"file:{novel}").digest
    (entry,) = entries(cache)
    damage(entry / name)
    rebuilt = load(f"file:{novel}")
    assert rebuilt.digest == digest
    assert rebuilt.train.tobytes() + rebuilt.valid.tobytes() + rebuilt.test.tobytes() == novel.read_bytes()
    assert entries(cache) == [entry]


def test_a_file_in_the_place_of_an_entry_is_replaced(novel: Path, cache: Path) -> None:
    load(f"file:{novel}")
    (entry,) = entries(cache)
    entry.rename(cache / "elsewhere")
    entry.write_text("not a folder")
    load(f"file:{novel}")
    assert entry.is_dir()


def test_a_changed_descriptor_in_the_cache_is_not_believed(novel: Path, cache: Path) -> None:
    unigram_entropy = load(f"file:{novel}").descriptor["unigram_entropy"]
    (entry,) = entries(cache)
    sealed = json.loads((entry / "entry.json").read_text())
    sealed["facts"]["descriptor"]["unigram_entropy"] = 0.0
    (entry / "entry.json").write_text(json.dumps(sealed))
    assert load(f"file:{novel}").descriptor["unigram_entropy"] == unigram_entropy


def test_processes_that_load_one_corpus_at_once_agree_and_leave_one_entry(novel: Path, cache: Path) -> None:
    told = [process.communicate(timeout=120)[0].split() for process in loading(novel, 3)]
    assert len({digest for digest, _ in told}) == 1
    assert len(entries(cache)) == 1
    assert sum(int(built) for _, built in told) == 1, "the others wait for the one that tokenizes"


def test_a_builder_that_was_killed_does_not_keep_the_others_waiting(novel: Path, cache: Path) -> None:
    (killed,) = loading(novel, 1, "lambda *_: (print(0, flush=True), time.sleep(60))")
    assert killed.stdout is not None and killed.stdout.readline()
    killed.kill()
    killed.communicate()
    ((told, _),) = [process.communicate(timeout=60) for process in loading(novel, 1)]
    assert told.split()[1] == "1"


def loading(
    novel: Path, processes: int, build: str = "lambda *given: built.append(given) or build(*given)"
) -> list[subprocess.Popen[str]]:
    """Processes that load one corpus at once and print its digest, and how often they read and tokenized it themselves."""
    code = (
        "import sys, time; from metasearch.corpora import _corpus, load; built, build = [], _corpus._build;"
        f"_corpus._build = {build};"
        "print(load(sys.argv[1], {'name': 'bpe', 'vocab_size': 500}).digest, len(built))"
    )
    command = [sys.executable, "-c", code, str(novel)]
    return [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]


def test_processes_that_find_one_damaged_entry_at_once_all_get_a_good_one(novel: Path, cache: Path) -> None:
    digest = load(str(novel)).digest
    code = "import sys; from metasearch.corpora import load; sys.stdin.read(1); print(load(sys.argv[1]).digest)"
    command = [sys.executable, "-c", code, str(novel)]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    flip_a_bit(entries(cache)[0] / "tokens.npy")
    for process in running:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    assert [process.communicate(timeout=120)[0].strip() for process in running] == [digest] * 3
    assert len(entries(cache)) == 1


def test_text_at_two_places_shares_one_entry(novel: Path, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "copy.txt").write_bytes(novel.read_bytes())
    load(str(novel))
    load(str(tmp_path / "copy.txt"))
    assert len(entries(cache)) == 1


def test_a_cache_that_cannot_be_written_is_told_with_the_remedy(novel: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match=r"taken cannot be written: Not a directory\. .*set METASEARCH_CACHE"):
        load(str(novel), cache=tmp_path / "taken")


def test_without_its_own_variable_the_cache_follows_xdg(novel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METASEARCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load(str(novel))
    assert len(entries(tmp_path / "xdg" / "metasearch")) == 1
