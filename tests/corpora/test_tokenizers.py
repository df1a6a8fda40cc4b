from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metasearch.core.errors import UserError
from metasearch.corpora import tokenizers
from metasearch.corpora.tokenizers import Tokenizer
from tests.corpora.conftest import prose

TRAIN = prose(300) + "naïve café, 東京 été; don't\r\n\tx = foo_bar(1)\n"
SPECS: dict[str, Any] = {
    "byte": "byte",
    "char": "char",
    "word": {"name": "word", "vocab_size": 200},
    "bpe": {"name": "bpe", "vocab_size": 400},
}


@cache
def trained(name: str) -> Tokenizer:
    return tokenizers.train(SPECS[name], TRAIN)


@pytest.mark.parametrize("name", ["byte", "bpe"])
@given(text=st.text())
def test_lossless_tokenizers_give_back_any_text(name: str, text: str) -> None:
    tokenizer = trained(name)
    assert tokenizer.lossless
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("name", ["char", "word"])
@given(text=st.text())
def test_lossy_tokenizers_give_back_text_that_they_were_trained_on(name: str, text: str) -> None:
    tokenizer = tokenizers.train(name, text)
    assert not tokenizer.lossless
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("name", SPECS)
@given(text=st.text())
def test_ids_are_below_the_vocabulary_size_in_the_smallest_unsigned_type(name: str, text: str) -> None:
    tokenizer = trained(name)
    ids = tokenizer.encode(text)
    assert ids.ndim == 1 and ids.dtype == (np.uint8 if tokenizer.vocab_size <= 256 else np.uint16)
    assert all(ids < tokenizer.vocab_size)


@pytest.mark.parametrize("name", SPECS)
def test_a_tokenizer_written_as_json_reads_back_the_same(name: str) -> None:
    tokenizer = trained(name)
    again = tokenizers.from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert again.vocab_size == tokenizer.vocab_size
    assert np.array_equal(again.encode(TRAIN), tokenizer.encode(TRAIN))


@pytest.mark.parametrize("name", SPECS)
def test_training_twice_gives_the_same_tokenizer(name: str) -> None:
    assert tokenizers.train(SPECS[name], TRAIN).to_json() == trained(name).to_json()


@pytest.mark.parametrize(("name", "decoded"), [("char", "ka\N{REPLACEMENT CHARACTER}a"), ("word", "<unk>")])
def test_what_the_train_split_never_showed_is_unknown(name: str, decoded: str) -> None:
    ids = trained(name).encode("kaЖa")
    assert np.count_nonzero(ids == trained(name).unknown) == 1
    assert trained(name).decode(ids) == decoded


def test_words_keep_marks_digits_and_underscores_and_lose_punctuation() -> None:
    word = tokenizers.train("word", "नमस्ते foo_bar2, don't «x»\n")
    assert [word.decode(np.array([i])) for i in word.encode("नमस्ते foo_bar2, don't «x»\n")] == [
        *("नमस्ते", " foo_bar2", ",", " don", "'", "t", " «", "x", "»", "\n")
    ]


def test_the_most_frequent_pieces_are_kept() -> None:
    word = tokenizers.train({"name": "word", "vocab_size": 3}, " b" * 3 + " a" * 5 + " c" * 3)
    assert word.to_json()["pieces"] == [" a", " b"]


def test_bpe_learns_common_words_and_stays_within_its_size() -> None:
    assert trained("bpe").vocab_size == 400
    assert len(trained("bpe").encode(TRAIN)) < 0.5 * len(TRAIN.encode())


def test_bpe_encodes_a_text_of_many_chunks_without_loss() -> None:
    text = "ab" * 100_000 + prose(2000)
    assert trained("bpe").decode(trained("bpe").encode(text)) == text


def test_bytes_that_are_not_utf_8_decode_to_replacement_characters() -> None:
    for name in ("byte", "bpe"):
        whole = trained(name).encode("é")
        assert trained(name).decode(whole[:1] if name == "byte" else trained(name).encode("東")[:1]) == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("bpee", 'there is no tokenizer "bpee". Did you mean "bpe"?'),
        ({}, 'there is no tokenizer "". Known: bpe, byte, char, word.'),
        ({"name": "bpe", "vocab": 300}, 'the tokenizer bpe has no option "vocab". Did you mean "vocab_size"?'),
        ({"name": "byte", "vocab_size": 300}, 'the tokenizer byte has no option "vocab_size".'),
        (
            {"name": "bpe", "vocab_size": 255},
            "vocab_size of the tokenizer bpe must be a whole number from 256 to 1,000,000, found 255",
        ),
        (
            {"name": "word", "vocab_size": True},
            "vocab_size of the tokenizer word must be a whole number from 2 to 1,000,000, found True",
        ),
        (
            {"name": "word", "vocab_size": "4k"},
            "vocab_size of the tokenizer word must be a whole number from 2 to 1,000,000, found '4k'",
        ),
    ],
)
def test_faults_of_a_spec_are_named(spec: Any, fault: str) -> None:
    assert tokenizers.check(spec) == [fault]
    with pytest.raises(UserError, match="tokenizer cannot be set up"):
        tokenizers.normal_form(spec)


def test_equal_specs_have_one_normal_form() -> None:
    assert tokenizers.normal_form("bpe") == tokenizers.normal_form({"vocab_size": 4096, "name": "bpe"})


@pytest.mark.parametrize("name", SPECS)
def test_the_spelling_of_a_token_is_what_it_stands_for(name: str) -> None:
    tokenizer = trained(name)
    spellings, ids = tokenizer.spellings(), tokenizer.encode(TRAIN)
    assert len(spellings) == tokenizer.vocab_size
    if tokenizer.lossless:
        assert b"".join(spellings[token] for token in ids.tolist()) == TRAIN.encode("utf-8")
    else:
        known = ids[ids != tokenizer.unknown]
        assert b"".join(spellings[token] for token in known.tolist()) == tokenizer.decode(known).encode("utf-8")
        assert tokenizer.unknown is not None and spellings[tokenizer.unknown] == b""
