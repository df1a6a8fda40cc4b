"""Examples in files become ids, and whatever does not work is named with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metasearch.core.errors import UserError
from metasearch.corpora import load_examples
from metasearch.corpora._examples import ExampleCorpus

ROWS = [
    (f"it was {'very ' * (n % 3)}{word}, number {n}", label) for n in range(20) for word, label in (("good", "pos"), ("bad", "neg"))
]
FORMS: dict[str, Callable[[list[tuple[str, str]]], str]] = {
    "tsv": lambda rows: "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows),
    "csv": lambda rows: "id,label,text\n" + "".join(f'{n},{label},"{text}"\n' for n, (text, label) in enumerate(rows)),
    "jsonl": lambda rows: "".join(json.dumps({"text": text, "label": label}) + "\n\n" for text, label in rows),
    "txt": lambda rows: "".join(f"__label__{label} {text}\n" for text, label in rows),
}


def written(folder: Path, form: str, content: str) -> str:
    path = folder / f"examples.{form}"
    path.write_text(content, encoding="utf-8")
    return str(path)


def loaded(kind: str, **source: Any) -> ExampleCorpus:
    return load_examples(kind, source)


def texts_of(corpus: ExampleCorpus, split: str) -> list[str]:
    tokens_BT, lengths_B = corpus.inputs[split].padded(np.arange(len(corpus.inputs[split])), 1000)
    return [corpus.tokenizer.decode(row[:length]) for row, length in zip(tokens_BT, lengths_B, strict=True)]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_file_holds_the_same_examples(tmp_path: Path, form: str) -> None:
    corpus = loaded("classify", corpus=written(tmp_path, form, FORMS[form](ROWS)))
    assert corpus.classes == ("neg", "pos")
    found = {
        (text, corpus.classes[label])
        for split in ("train", "valid")
        for text, label in zip(texts_of(corpus, split), corpus.labels[split].tolist(), strict=True)
    }
    assert found == set(ROWS)
    assert sorted(corpus.labels["valid"].tolist()) == [0, 0, 1, 1]  # a tenth of each class
    assert corpus.descriptor["log2_classes"] == 1.0 and corpus.descriptor["class_entropy"] == pytest.approx(1.0)


def test_the_form_and_the_place_of_a_file_make_no_other_task_but_the_examples_do(tmp_path: Path) -> None:
    one = loaded("classify", corpus=written(tmp_path, "tsv", FORMS["tsv"](ROWS)))
    other = loaded("classify", corpus=written(tmp_path, "csv", FORMS["csv"](ROWS)))
    fewer = loaded("classify", corpus=written(tmp_path, "jsonl", FORMS["jsonl"](ROWS[2:])))
    assert one.task().id == other.task().id != fewer.task().id
    assert one.task().sign == 1.0 and one.task("accuracy").sign == -1.0


def test_columns_may_have_other_names_and_validation_a_file_of_its_own(tmp_path: Path) -> None:
    train = written(tmp_path, "tsv", "review\tstars\nfine\t5\nawful\t1\n")
    valid = written(tmp_path, "csv", 'stars,review\n5,"good, really"\n')
    corpus = loaded("classify", corpus=train, valid=valid, columns={"text": "review", "label": "stars"})
    assert texts_of(corpus, "train") == ["fine", "awful"] and texts_of(corpus, "valid") == ["good, really"]
    assert corpus.labels["valid"].tolist() == [corpus.classes.index("5")]


def test_translations_are_aligned_lines_or_columns(tmp_path: Path) -> None:
    lines = {"source": [f"a {n}" for n in range(10)], "target": [f"ein {n}" for n in range(10)]}
    places = {}
    for side, of in lines.items():
        (tmp_path / f"{side}.txt").write_text("\n".join(of) + "\n")
        places[side] = str(tmp_path / f"{side}.txt")
    table = written(tmp_path, "tsv", "source\ttarget\n" + "".join(f"a {n}\tein {n}\n" for n in range(10)))
    one, other = loaded("translate", corpus=places), loaded("translate", corpus=table)
    assert one.task().id == other.task().id and one.vocab_size == 258
    assert len(one.inputs["train"]) == len(one.outputs["train"]) == 9


@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        ("tsv", "text\tlabel\nfine\tpos\nbad\n", ":3: expected 2 columns, found 1"),
        ("tsv", "text\tlable\nfine\tpos\n", "no column label, found text, lable. Did you mean"),
        ("tsv", "text\tlabel\n  \tpos\n", ":2: the text is empty"),
        ("tsv", "text\tlabel\n", "holds no example"),
        ("jsonl", '{"text": "fine"}\n', ":1: expected an object with text and label"),
        ("jsonl", "{fine\n", ":1: not JSON"),
        ("txt", "fine\n", ":1: expected one __label__CLASS"),
        ("tsv", "text\tlabel\n" + "fine\tpos\n" * 20, "at least two classes"),
        ("tsv", "text\tlabel\nfine\tpos\n", "too few to hold some out"),
        ("xml", "<a/>", "files that end in .xml are not known here"),
        ("tsv", "", "is empty"),
    ],
)
def test_what_does_not_work_is_named_with_its_place(tmp_path: Path, form: str, content: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        loaded("classify", corpus=written(tmp_path, form, content))
    assert message in "\n".join([raised.value.message, *raised.value.faults])


def test_many_faults_are_counted_and_unaligned_files_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        loaded("classify", corpus=written(tmp_path, "tsv", "text\tlabel\n" + "x\n" * 15))
    assert raised.value.faults[-1] == "and 5 more"
    for name, lines in (("a", 3), ("b", 4)):
        (tmp_path / f"{name}.txt").write_text("x\n" * lines)
    with pytest.raises(UserError) as raised:
        loaded("translate", corpus={"source": str(tmp_path / "a.txt"), "target": str(tmp_path / "b.txt")})
    assert "has 3 lines" in raised.value.faults[0] and "must be aligned" in raised.value.faults[0]


def test_validation_examples_of_an_unknown_class_are_refused(tmp_path: Path) -> None:
    train = written(tmp_path, "tsv", FORMS["tsv"](ROWS))
    with pytest.raises(UserError, match="no training example is: meh"):
        loaded("classify", corpus=train, valid=written(tmp_path, "txt", "__label__meh so so\n"))
