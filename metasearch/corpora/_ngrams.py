"""Statistics of byte n-grams, all orders at once in numpy.

Shapes: T bytes of a text, V bytes of the validation text, G distinct n-grams, H distinct histories (the n-gram but its last byte).
An n-gram of up to 8 bytes is one 64-bit code, oldest byte highest, so that ``code >> 8`` is its history.
"""

from __future__ import annotations

import numpy as np


def codes(byte_T: np.ndarray, order: int) -> np.ndarray:
    """Codes [T - order + 1] of all n-grams of ``order`` ≤ 8, in order of their last byte."""
    count = max(0, len(byte_T) - order + 1)
    code = np.zeros(count, dtype=np.uint64)
    for offset in range(order):
        code = (code << np.uint64(8)) | byte_T[offset : offset + count]
    return code


def entropy_bits(byte_T: np.ndarray) -> tuple[float, float]:
    """Entropy in bits of a byte, and of a byte given the one before it (0 for a text of one byte)."""
    unigram = _entropy(np.bincount(byte_T))
    if len(byte_T) < 2:
        return unigram, 0.0
    pair_counts = np.bincount(byte_T[:-1].astype(np.intp) * 256 + byte_T[1:])
    return unigram, max(0.0, _entropy(pair_counts) - _entropy(np.bincount(byte_T[:-1])))


def _entropy(count_G: np.ndarray) -> float:
    share_G = count_G[count_G > 0] / count_G.sum()
    return float(-(share_G * np.log2(share_G)).sum()) + 0.0  # no -0.0


def held_out_bits_per_byte(train_T: np.ndarray, valid_V: np.ndarray, order: int) -> float:
    """Bits per byte of ``valid_V`` under an n-gram model of ``train_T``, interpolated down to the uniform distribution.

    Witten & Bell 1991, method C: p_n(b|h) = (c(hb) + t(h) p_{n-1}(b|h')) / (c(h) + t(h)), with c the counts and t(h) the number
    of distinct bytes seen after h; where h was never seen, p_n = p_{n-1}.
    """
    probability_V = np.full(len(valid_V), 1 / 256)
    for n in range(1, order + 1):
        query = codes(valid_V, n)
        if not len(query) or len(train_T) < n:
            break
        count, total, kinds = _counts(codes(train_T, n), query)
        tail = probability_V[n - 1 :]  # the first n - 1 bytes have no history of this length
        probability_V[n - 1 :] = np.where(total > 0, (count + kinds * tail) / np.maximum(total + kinds, 1), tail)
    return float(-np.log2(probability_V).mean())


def _counts(train_code_T: np.ndarray, query_V: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each queried n-gram: how often it was seen, how often its history was, and with how many distinct last bytes."""
    code_G, count_G = np.unique(train_code_T, return_counts=True)
    history_H, start_H, kinds_H = np.unique(code_G >> np.uint64(8), return_index=True, return_counts=True)
    total_H = np.add.reduceat(count_G, start_H)
    history_V = query_V >> np.uint64(8)
    return _look_up(code_G, count_G, query_V), _look_up(history_H, total_H, history_V), _look_up(history_H, kinds_H, history_V)


def _look_up(key_K: np.ndarray, value_K: np.ndarray, query_V: np.ndarray) -> np.ndarray:
    """The value of each queried key, 0 where there is none; ``key_K`` is sorted and not empty."""
    place_V = np.minimum(np.searchsorted(key_K, query_V), len(key_K) - 1)
    return np.where(key_K[place_V] == query_V, value_K[place_V], 0)


def repetition(train_T: np.ndarray, valid_V: np.ndarray, order: int) -> tuple[float, float]:
    """Shares of the train n-grams that repeat an earlier one, and of the valid ones that stand in train; 0 if there are none."""
    train_code, valid_code = codes(train_T, order), codes(valid_V, order)
    if not len(train_code):
        return 0.0, 0.0
    distinct_G = np.unique(train_code)
    seen_V = _look_up(distinct_G, np.ones(len(distinct_G)), valid_code)
    return 1 - len(distinct_G) / len(train_code), float(seen_V.mean()) if len(seen_V) else 0.0
