"""What a loaded corpus promises, whatever its source."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metasearch.core.task import Task
from metasearch.corpora import as_task, load

SPECS: list[Any] = ["byte", "char", {"name": "word", "vocab_size": 100}, {"name": "bpe", "vocab_size": 300}]


@pytest.mark.parametrize("spec", SPECS)
def test_the_splits_are_read_only_views_of_one_mapped_file(novel: Path, spec: Any) -> None:
    corpus = load(f"file:{novel}", spec)
    views = (corpus.train, corpus.valid, corpus.test)
    assert all(view.ndim == 1 and not view.flags.writeable and view.dtype.kind == "u" for view in views)
    ends = [view.__array_interface__["data"][0] + view.nbytes for view in views]
    assert ends[:2] == [view.__array_interface__["data"][0] for view in views[1:]]
    assert all(len(view) == corpus.splits[split]["tokens"] for split, view in zip(("train", "valid", "test"), views, strict=True))


@pytest.mark.parametrize("spec", ["byte", {"name": "bpe", "vocab_size": 300}])
def test_the_tokens_decode_to_the_text_and_the_bytes_are_its_bytes(novel: Path, spec: Any) -> None:
    corpus = load(f"file:{novel}", spec)
    texts = [corpus.tokenizer.decode(ids) for ids in (corpus.train, corpus.valid, corpus.test)]
    assert "".join(texts) == novel.read_text()
    assert [len(text.encode()) for text in texts] == [corpus.train_bytes, corpus.valid_bytes, corpus.test_bytes]


@pytest.mark.parametrize("spec", SPECS)
def test_a_record_survives_json_and_loads_the_same_corpus(novel: Path, spec: Any, cache: Path) -> None:
    corpus = load(str(novel), spec)
    record = json.loads(json.dumps(corpus.record()))
    again = load(record["source"], record["tokenizer"], cache / "another")
    assert record == corpus.record() == again.record()
    assert again.digest == corpus.digest
    assert np.array_equal(again.train, corpus.train)


def test_the_record_tells_of_unknown_tokens(library: Path) -> None:
    folder = library / "tales"
    (folder / "valid.txt").write_text("Ж" * 10 + "a" * 90)
    record = load(f"folder:{folder}", "char").record()
    assert record["lossless"] is False
    assert [record["splits"][split]["unknown_share"] for split in ("train", "valid")] == [0.0, 0.1]
    assert load(f"folder:{folder}", "byte").record()["lossless"] is True


def test_the_digest_depends_on_text_and_tokenizer_but_not_on_the_place(novel: Path, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy.txt", tmp_path / "other.txt"
    copy.write_bytes(novel.read_bytes())
    other.write_bytes(novel.read_bytes().replace(b"7", b"8"))
    corpus = load(f"file:{novel}")
    assert load(f"file:{copy}").digest == corpus.digest
    assert as_task(load(f"file:{copy}")).id == as_task(corpus).id
    assert len({corpus.digest, load(f"file:{other}").digest, load(f"file:{novel}", "char").digest}) == 3


def test_a_task_carries_the_record_and_the_descriptor(novel: Path) -> None:
    corpus = load(f"file:{novel}")
    task = as_task(corpus)
    assert (task.name, task.kind, task.metric, task.unit) == ("file/novel.txt", "language_model", "val_bpb", "tokens")
    assert task.source == corpus.record() and task.descriptor == corpus.descriptor
    assert Task(**json.loads(json.dumps(vars(task)))).id == task.id


def test_importing_the_room_is_light() -> None:
    code = "import sys, metasearch.corpora; print(*{'datasets', 'tokenizers', 'torch', 'pyarrow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"
