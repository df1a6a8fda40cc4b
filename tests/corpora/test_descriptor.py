from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metasearch.corpora import Splits
from metasearch.corpora._descriptor import SAMPLE_PIECES, describe, sample
from tests.corpora.conftest import prose

some_text = st.text(min_size=1, max_size=200)


def described(train: str, valid: str = "x") -> dict[str, float]:
    return describe(Splits(train, valid, "x"), len(train.encode()), len(train.encode()), 256)


@given(train=some_text, valid=some_text)
@settings(deadline=None)
def test_every_number_is_finite_for_any_text(train: str, valid: str) -> None:
    descriptor = described(train, valid)
    assert all(type(value) is float and isfinite(value) for value in descriptor.values())
    assert all(-1e-9 <= value <= 1 + 1e-9 for name, value in descriptor.items() if name.endswith(("_share", "_ratio")))


def test_all_texts_have_the_same_names() -> None:
    assert described("x").keys() == described(prose(50), prose(5)).keys()


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Straße élan", "latin"),
        ("война и мир", "cyrillic"),
        ("μῆνιν ἄειδε", "greek"),
        ("السلام عليكم", "arabic"),
        ("בְּרֵאשִׁית", "hebrew"),
        ("東京 カタカナ 한국어", "cjk"),
        ("नमस्ते", "devanagari"),
        ("ⲁⲛⲟⲕ ᏣᎳᎩ", "other"),
    ],
)
def test_the_script_of_letters_is_told_whatever_their_marks(text: str, script: str) -> None:
    assert described(text)[f"script_{script}_share"] == 1.0


def test_shares_count_characters() -> None:
    descriptor = described("Ab 12,\n")
    expected = {"uppercase": 1 / 7, "digit": 2 / 7, "punctuation": 1 / 7, "whitespace": 2 / 7}
    assert {name: descriptor[f"{name}_share"] for name in expected} == pytest.approx(expected)


def test_noise_is_harder_than_prose_and_prose_harder_than_one_line_repeated() -> None:
    repeated, ordinary = described("the same line\n" * 500, "the same line\n"), described(prose(500), prose(50, seed=1))
    assert repeated["ngram_bits_per_byte"] < ordinary["ngram_bits_per_byte"]
    assert repeated["zlib_bits_per_byte"] < ordinary["zlib_bits_per_byte"]
    assert repeated["repeated_ngram_share"] > ordinary["repeated_ngram_share"]


@given(st.text(alphabet="abc", max_size=300), st.integers(SAMPLE_PIECES, 200))
def test_a_sample_is_the_text_itself_or_no_longer_than_asked_for(text: str, size: int) -> None:
    taken = sample(text, size)
    assert taken == text if len(text) <= size else size - SAMPLE_PIECES < len(taken) <= size


def test_a_sample_reaches_from_the_beginning_to_the_end() -> None:
    taken = sample("<" + "-" * 100_000 + ">", 1000)
    assert taken.startswith("<") and taken.endswith(">")


def test_a_long_text_is_described_by_its_sample_but_sized_as_a_whole() -> None:
    once = prose(20_000)
    one, four = described(once), described(once * 4)
    assert four["log10_train_words"] == pytest.approx(one["log10_train_words"] + 0.602, abs=0.01)
    assert four["unigram_entropy"] == pytest.approx(one["unigram_entropy"], abs=0.02)
