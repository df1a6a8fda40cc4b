"""Words, punctuation marks and white space of the train split, the most frequent first; any other piece is ``<unk>``.

The splitting rule: a piece is a run of characters that are neither white space nor punctuation, or one punctuation mark (each
with at most one space before it), or one white-space character. Every character belongs to exactly one piece, so that pieces
join back to the text. Combining marks, digits and the underscore belong to words; punctuation is that of the ASCII, Latin-1,
General Punctuation and CJK Punctuation blocks of Unicode.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

PUNCTUATION = r"!-/:-@\[-^`{-~¡-©«-´¶-¹»-¿×÷‐-‧‰-⁞、-〿"
WORD = re.compile(rf"[^\s{PUNCTUATION}]+")
PIECE = re.compile(rf" ?[^\s{PUNCTUATION}]+| ?[{PUNCTUATION}]|\s")
UNKNOWN_MARK = "<unk>"


@dataclass(frozen=True)
class WordTokenizer:
    """``pieces`` by falling frequency, ties by spelling; the piece at position ``i`` has the id ``i + 1``, ``<unk>`` is 0."""

    pieces: tuple[str, ...]
    name: ClassVar[str] = "word"
    lossless: ClassVar[bool] = False
    unknown: ClassVar[int | None] = 0

    @staticmethod
    def train(text: str, vocab_size: int) -> WordTokenizer:
        counts = Counter(PIECE.findall(text))
        ranked = sorted(counts, key=lambda piece: (-counts[piece], piece))
        return WordTokenizer(tuple(ranked[: vocab_size - 1]))

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> WordTokenizer:
        return WordTokenizer(tuple(plain["pieces"]))

    def spellings(self) -> list[bytes]:
        return [b"", *(piece.encode("utf-8") for piece in self.pieces)]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "pieces": list(self.pieces)}

    @property
    def vocab_size(self) -> int:
        return len(self.pieces) + 1

    def encode(self, text: str) -> np.ndarray:
        ids = self._ids
        return np.array([ids.get(piece, 0) for piece in PIECE.findall(text)], dtype=np.min_scalar_type(self.vocab_size - 1))

    def decode(self, ids: np.ndarray) -> str:
        """The text, with the five characters ``<unk>`` for each unknown piece."""
        spelled = (UNKNOWN_MARK, *self.pieces)
        return "".join(spelled[i] for i in np.asarray(ids).tolist())

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: position + 1 for position, piece in enumerate(self.pieces)}
