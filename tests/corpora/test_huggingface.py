from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from metasearch.core.errors import UserError
from metasearch.corpora import Splits, check_source, huggingface, load
from tests.corpora.conftest import prose

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def rows(lines: int, column: str = "text", seed: int = 0) -> dict[str, list[str | None]]:
    return {column: [*prose(lines, seed).splitlines(), None, ""], "label": ["x"] * (lines + 2)}


def saved(folder: Path, **splits: dict[str, Any]) -> str:
    datasets.DatasetDict({name: datasets.Dataset.from_dict(split) for name, split in splits.items()}).save_to_disk(folder)
    return str(folder)


def test_the_splits_of_a_dataset_are_used(tmp_path: Path) -> None:
    folder = saved(tmp_path / "own", train=rows(50), validation=rows(20, seed=1), test=rows(30, seed=2))
    corpus = load(f"huggingface:{folder}")
    assert corpus.name == "huggingface/own"
    assert [part.tobytes().decode() for part in (corpus.train, corpus.valid, corpus.test)] == [
        *(prose(50), prose(20, seed=1), prose(30, seed=2))
    ]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_local_file_of_one_split_is_cut(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"reviews.{ending}"
    dataset = datasets.Dataset.from_dict(rows(100, column="review"))
    dataset.to_json(path) if ending == "jsonl" else dataset.to_parquet(path)
    corpus = load({"source": f"huggingface:{path}", "column": "review"})
    assert corpus.tokenizer.decode(corpus.train) == Splits.cut(prose(100)).train


def test_a_missing_split_is_cut_off_the_end_of_train(tmp_path: Path) -> None:
    without_valid = huggingface.read(saved(tmp_path / "a", train=rows(100), test=rows(10, seed=1)), {})
    without_test = huggingface.read(saved(tmp_path / "b", train=rows(100), dev=rows(10, seed=1)), {})
    assert without_valid.train + without_valid.valid == prose(100) and without_valid.test == prose(10, seed=1)
    assert without_test.train + without_test.test == prose(100) and without_test.valid == prose(10, seed=1)


def test_the_record_of_a_dataset_loads_it_again_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = load({"source": f"huggingface:{saved(tmp_path / 'own', train=rows(60))}", "column": "text"}).record()
    monkeypatch.setattr(huggingface, "read", None)
    assert load(record["source"], record["tokenizer"]).record() == json.loads(json.dumps(record))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "txet"}, 'has no column "txet". Did you mean "text"?'),
        ({"column": "label"}, 'The column "label" must hold text, found int: 1'),
    ],
)
def test_a_column_that_cannot_be_used_is_named(tmp_path: Path, options: dict[str, str], message: str) -> None:
    folder = saved(tmp_path / "own", train={"text": ["a"], "label": [1]})
    with pytest.raises(UserError) as caught:
        load({"source": f"huggingface:{folder}", **options})
    assert message in str(caught.value)


def test_splits_that_make_no_corpus_are_listed(tmp_path: Path) -> None:
    folder = saved(tmp_path / "own", left=rows(5), right=rows(5))
    with pytest.raises(UserError, match="has the splits left, right; expected train with validation or test, or one"):
        load(f"huggingface:{folder}")


def test_a_dataset_that_cannot_be_reached_is_one_clear_message() -> None:
    with pytest.raises(UserError, match='The dataset "nobody/nothing" cannot be loaded'):
        load("huggingface:nobody/nothing")


def test_faults_are_found_before_anything_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "novel.txt"
    path.write_text("x")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    faults = check_source({"source": f"huggingface:{path}", "colum": "x", "config": 1})
    assert faults == [
        'it has no option "colum". Did you mean "column"?',
        "config must be text, found 1",
        'the package "datasets" is not installed; install it: pip install "metasearch[huggingface]"',
        f"{path} has none of the endings .json, .jsonl, .parquet, .csv; for plain text write file:PATH",
    ]
