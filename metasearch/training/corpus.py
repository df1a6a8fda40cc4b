"""The text a trial learns from, as tokens, and how batches are read from it.

Shapes: B rows, T tokens per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasearch.core.errors import UserError

Tokens = NDArray[np.unsignedinteger[Any]]
"""One-dimensional, memory-mapped or not."""


class TokenizedCorpus(Protocol):
    """What training needs to know of a corpus. ``valid_bytes``: length in UTF-8 of the text that ``valid`` stands for.
    ``spellings``: the bytes of each token, by id. ``descriptor``: the description of its task in numbers.
    """

    @property
    def name(self) -> str: ...
    @property
    def train(self) -> Tokens: ...
    @property
    def valid(self) -> Tokens: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def valid_bytes(self) -> int: ...
    @property
    def spellings(self) -> Sequence[bytes]: ...
    @property
    def descriptor(self) -> Mapping[str, float]: ...


def check_corpus(corpus: TokenizedCorpus) -> None:
    """Raises UserError if a split is too short to predict a single token."""
    lengths = {"train": len(corpus.train), "valid": len(corpus.valid)}
    faults = [f"the {split} split has {length}" for split, length in lengths.items() if length < 2]
    if faults:
        raise UserError(f'The corpus "{corpus.name}" is too small: each split needs at least 2 tokens.', faults)


@dataclass(frozen=True)
class Stream:
    """The training tokens as a ring, read by ``rows`` readers that start at equal distances and never stop.

    The position is one number, tokens per row since the start, so that reading on from anywhere is exact; and each reader goes
    through the whole corpus, however short the corpus and however many the readers.
    """

    tokens: Tokens
    rows: int

    def read(self, position: int, length: int) -> tuple[Tensor, Tensor]:
        """Tokens (B, T) from ``position`` on, and for each of them the token after it, as int64 on the CPU."""
        start_B1 = (np.arange(self.rows) * len(self.tokens) // self.rows + position)[:, None]
        ring_BT = self.tokens.take(start_B1 + np.arange(length + 1), mode="wrap")
        window_BT = torch.from_numpy(ring_BT.astype(np.int64))
        return window_BT[:, :-1], window_BT[:, 1:]


def sampled_text(corpus: TokenizedCorpus, most_tokens: int, pieces: int = 16) -> NDArray[np.uint8]:
    """The bytes of at most ``most_tokens`` training tokens, in pieces at equal distances."""
    length = most_tokens // pieces
    tokens = corpus.train
    if len(tokens) > most_tokens:
        starts = [(len(tokens) - length) * piece // (pieces - 1) for piece in range(pieces)]
        tokens = np.concatenate([tokens[start : start + length] for start in starts])
    spellings = corpus.spellings
    return np.frombuffer(b"".join(spellings[token] for token in tokens.tolist()), dtype=np.uint8)


def token_counts(corpus: TokenizedCorpus, most_tokens: int = 1 << 20) -> NDArray[np.int64]:
    """How often each token occurs among the first ``most_tokens`` training tokens."""
    return np.bincount(corpus.train[:most_tokens], minlength=corpus.vocab_size)
