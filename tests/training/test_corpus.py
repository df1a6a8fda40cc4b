"""How batches are read from a corpus."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metasearch.core.errors import UserError
from metasearch.training.corpus import Stream, check_corpus


@given(tokens=st.integers(2, 300), rows=st.integers(1, 40), position=st.integers(0, 1000), length=st.integers(1, 50))
def test_rows_read_on_around_the_corpus_and_targets_are_one_token_later(tokens, rows, position, length):
    corpus = np.arange(tokens, dtype=np.uint16)
    inputs_BT, targets_BT = Stream(corpus, rows).read(position, length)
    assert inputs_BT.shape == targets_BT.shape == (rows, length)
    for row in range(rows):
        start = row * tokens // rows + position
        assert inputs_BT[row].tolist() == [(start + t) % tokens for t in range(length)]
        assert targets_BT[row].tolist() == [(start + t + 1) % tokens for t in range(length)]


def test_one_pass_of_all_rows_reads_every_token_once():
    stream = Stream(np.arange(60, dtype=np.uint16), rows=4)
    seen = [token for position in range(0, 15, 5) for token in stream.read(position, 5)[0].flatten().tolist()]
    assert sorted(seen) == list(range(60))


def test_a_corpus_too_small_to_predict_anything_is_refused():
    corpus = SimpleNamespace(name="empty file", train=np.zeros(0, np.uint8), valid=np.zeros(1, np.uint8))
    with pytest.raises(UserError) as caught:
        check_corpus(corpus)
    assert str(caught.value) == (
        'The corpus "empty file" is too small: each split needs at least 2 tokens.\n'
        "  - the train split has 0\n"
        "  - the valid split has 1"
    )
