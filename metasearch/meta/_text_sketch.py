"""The text of a task as the meta-network reads it: its description in numbers and n-gram statistics of sampled bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metasearch.core.errors import UserError

BUCKETS = 256
"""Pairs of bytes are hashed into so many buckets (Weinberger et al., 2009)."""

SKETCH = 256 + BUCKETS

FEWEST_BYTES = 256
"""Less says neither which bytes are frequent nor which follow each other."""

OF_THE_TOKENIZER = frozenset({"log10_train_tokens", "log10_vocab_size", "tokens_per_byte"})
"""Numbers of a descriptor that say how a text was cut into tokens; the meta-network reads bytes."""

_PAIR = np.uint32(2654435761)
"""Knuth's multiplicative hash."""


@dataclass(frozen=True, eq=False)
class TextTask:
    """A text to be modelled. ``text_N``: bytes to learn from, uint8, or a sample of them. ``descriptor``: its stored description.

    Raises UserError if there are too few bytes to describe, or only one symbol.
    """

    name: str
    text_N: np.ndarray
    descriptor: Mapping[str, float]

    def __post_init__(self) -> None:
        if len(self.text_N) < FEWEST_BYTES:
            raise UserError(
                f'The text of "{self.name}" has {len(self.text_N)} bytes; at least {FEWEST_BYTES} are needed to describe it. '
                "Use a longer text."
            )
        if (self.text_N == self.text_N[0]).all():
            raise UserError(
                f'The text of "{self.name}" is one symbol, repeated {len(self.text_N):,} times: there is nothing to predict. '
                "Is this the right file?"
            )


def sketch(text_N: np.ndarray) -> np.ndarray:
    """Square roots of the shares of each byte (256) and of each bucket of byte pairs (``BUCKETS``): a point on two unit spheres.

    On square roots Euclidean distance is that of Hellinger, which is not ruled by the most frequent symbols.
    """
    pair_N = (text_N[:-1].astype(np.uint32) << np.uint32(8)) | text_N[1:]
    bucket_N = (pair_N * _PAIR) >> np.uint32(24)
    single = np.bincount(text_N, minlength=256) / len(text_N)
    double = np.bincount(bucket_N, minlength=BUCKETS) / len(bucket_N)
    shares: np.ndarray = np.sqrt(np.concatenate([single, double])).astype(np.float32)
    return shares


def log_shares(count_V: np.ndarray) -> np.ndarray:
    """Log probabilities of what was counted, each counted half a time more than it was seen (Jeffreys' prior)."""
    raised_V = count_V + 0.5
    logs: np.ndarray = np.log(raised_V / raised_V.sum()).astype(np.float32)
    return logs


def log_unigram(text_N: np.ndarray) -> np.ndarray:
    """Log probabilities of the 256 bytes."""
    return log_shares(np.bincount(text_N, minlength=256))


def sampled(text_N: np.ndarray, size: int, rng: np.random.Generator, pieces: int = 4) -> np.ndarray:
    """``size`` bytes in ``pieces`` from random places; the whole text if it is shorter."""
    length = size // pieces
    if len(text_N) <= size:
        return text_N
    return np.concatenate([text_N[start : start + length] for start in rng.integers(0, len(text_N) - length, pieces)])


def described(descriptor: Mapping[str, float], names: Sequence[str]) -> np.ndarray:
    """The numbers of ``names``; NaN for one that is unknown."""
    return np.array([descriptor.get(name, np.nan) for name in names], dtype=np.float32)
