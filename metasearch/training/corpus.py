"""The text a trial learns from, as tokens, and how batches are read from it.

Shapes: B rows, T tokens per row.
"""

from __future__ import annotations

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
    """What training needs to know of a corpus. ``valid_bytes``: length in UTF-8 of the text that ``valid`` stands for."""

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
