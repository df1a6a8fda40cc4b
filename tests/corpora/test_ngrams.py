from __future__ import annotations

from collections import Counter, defaultdict
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metasearch.corpora import _ngrams
from tests.corpora.conftest import prose

few_bytes = st.binary(min_size=1, max_size=60).map(lambda content: bytes(b % 4 for b in content))


def as_array(content: bytes) -> np.ndarray:
    return np.frombuffer(content, dtype=np.uint8)


def plain_witten_bell(train: bytes, valid: bytes, order: int) -> float:
    """The recursion of Witten & Bell word for word, one byte at a time."""
    followers: defaultdict[bytes, Counter[int]] = defaultdict(Counter)
    for end in range(len(train)):
        for length in range(min(order, end + 1)):
            followers[train[end - length : end]][train[end]] += 1
    bits = 0.0
    for end, byte in enumerate(valid):
        probability = 1 / 256
        for length in range(min(order, end + 1)):
            seen = followers.get(valid[end - length : end])
            if seen:
                probability = (seen[byte] + len(seen) * probability) / (seen.total() + len(seen))
        bits -= log2(probability)
    return bits / len(valid)


@given(train=few_bytes, valid=few_bytes, order=st.integers(1, 5))
def test_the_vectorised_model_is_that_of_the_paper(train: bytes, valid: bytes, order: int) -> None:
    vectorised = _ngrams.held_out_bits_per_byte(as_array(train), as_array(valid), order)
    assert vectorised == pytest.approx(plain_witten_bell(train, valid, order))


def test_entropies_of_texts_that_can_be_computed_by_hand() -> None:
    assert _ngrams.entropy_bits(as_array(b"aaaa")) == (0.0, 0.0)
    assert _ngrams.entropy_bits(as_array(b"ab" * 500)) == pytest.approx((1.0, 0.0), abs=1e-9)
    assert _ngrams.entropy_bits(as_array(b"x")) == (0.0, 0.0)


def test_repetition_counts_what_was_seen_before() -> None:
    train, valid = as_array(b"abcdabcd"), as_array(b"abcdxbcd")
    repeated, seen = _ngrams.repetition(train, valid, order=4)  # abcd bcda cdab dabc abcd; abcd bcdx cdxb dxbc xbcd
    assert repeated == pytest.approx(1 / 5)
    assert seen == pytest.approx(1 / 5)


def test_longer_histories_help_on_prose() -> None:
    train, valid = as_array(prose(2000).encode()), as_array(prose(100, seed=1).encode())
    bits = [_ngrams.held_out_bits_per_byte(train, valid, order) for order in (1, 2, 3)]
    assert bits[0] > bits[1] > bits[2]
