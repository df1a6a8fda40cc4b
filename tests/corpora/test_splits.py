from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metasearch.core.errors import UserError
from metasearch.corpora import Splits
from metasearch.corpora._splits import cut_end
from tests.corpora.conftest import prose


@given(st.text(alphabet="ab \n\ré€😀", min_size=20))
def test_no_text_is_lost_or_doubled(text: str) -> None:
    splits = Splits.cut(text)
    assert splits.train + splits.valid + splits.test == text


@given(st.text(min_size=20))
def test_every_split_of_twenty_characters_or_more_has_text(text: str) -> None:
    assert all(part for _, part in Splits.cut(text).items())


def test_a_text_of_lines_is_cut_at_line_ends_near_90_and_95_percent() -> None:
    text = prose(1000)
    splits = Splits.cut(text)
    assert splits.train.endswith(".\n") and splits.valid.endswith(".\n")
    assert 0.88 <= len(splits.train) / len(text) <= 0.90
    assert 0.03 <= len(splits.valid) / len(text) <= 0.07


def test_a_text_of_one_line_is_cut_between_words() -> None:
    splits = Splits.cut("word " * 500)
    assert splits.train.endswith(" ") and splits.valid.endswith(" ")


def test_a_text_without_spaces_is_cut_by_count() -> None:
    splits = Splits.cut("字" * 1000)
    assert [len(text) for _, text in splits.items()] == [900, 50, 50]


def test_the_end_cut_off_is_a_twentieth_and_nothing_is_lost() -> None:
    rest, end = cut_end(prose(200))
    assert rest + end == prose(200)
    assert 0.05 <= len(end) / len(rest + end) <= 0.08


@pytest.mark.parametrize("text", ["", "a", "short"])
def test_a_text_too_short_to_cut_is_refused_with_what_was_found(text: str) -> None:
    with pytest.raises(UserError, match=r"Each of train, valid and test needs text, but .* got none \(train: "):
        Splits.cut(text)
