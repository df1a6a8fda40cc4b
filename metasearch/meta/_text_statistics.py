"""The text of a task as the meta-network reads it: its description in numbers, and how sampled bytes follow each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metasearch.core.errors import UserError

LAGS = 3
"""How far apart two bytes may be to be counted as neighbours: a character of UTF-8 may have so many bytes."""

NEIGHBOURHOODS = 2 * LAGS
FEATURES = 2 + NEIGHBOURHOODS

FEWEST_BYTES = 256
"""Less says neither which bytes are frequent nor which follow each other."""

OF_THE_TOKENIZER = frozenset({"log10_train_tokens", "log10_vocab_size", "tokens_per_byte"})
"""Numbers of a descriptor that say how a text was cut into tokens; the meta-network reads bytes."""


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


@dataclass(frozen=True, eq=False)
class Statistics:
    """How the bytes of a text are used. ``bytes_U``: those that occur. ``neighbours_KUU``: row b of matrix 2n is the distribution
    of what comes n + 1 places after b, of matrix 2n + 1 of what comes before it. ``features_VF``: of all 256, how frequent each is,
    whether it occurs, and the entropy of each of its neighbourhoods.
    """

    bytes_U: Tensor
    neighbours_KUU: Tensor
    features_VF: Tensor
    log_unigram_V: Tensor


def statistics(text_N: np.ndarray) -> Statistics:
    """Shapes: K ``NEIGHBOURHOODS``, U bytes that occur, V 256, F ``FEATURES``. What bytes are called plays no part."""
    byte_U, place_N = np.unique(text_N, return_inverse=True)
    shares, used = [], len(byte_U)
    for lag in range(1, LAGS + 1):
        pairs = np.bincount(place_N[:-lag] * used + place_N[lag:], minlength=used * used)
        count_UU = pairs.reshape(used, used).astype(np.float32)
        shares += [each_UU / (each_UU.sum(1, keepdims=True) + 1) for each_UU in (count_UU, count_UU.T)]
    neighbours_KUU = np.stack(shares)
    features_VF = np.zeros((256, FEATURES), dtype=np.float32)
    log_V = log_unigram(text_N)
    features_VF[:, 0] = log_V / 4 + 1.5  # all of order one
    features_VF[byte_U, 1] = 1
    features_VF[byte_U, 2:] = -(neighbours_KUU * np.log(neighbours_KUU + 1e-9)).sum(2).T / 2
    return Statistics(*(torch.from_numpy(each) for each in (byte_U.astype(np.int64), neighbours_KUU, features_VF, log_V)))


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
