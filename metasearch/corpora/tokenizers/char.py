"""One id per Unicode character of the train split; any other character is ``<unk>``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

UNKNOWN_MARK = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class CharTokenizer:
    """``characters`` sorted by code point; the character at position ``i`` has the id ``i + 1``, ``<unk>`` is 0."""

    characters: str
    name: ClassVar[str] = "char"
    lossless: ClassVar[bool] = False
    unknown: ClassVar[int | None] = 0

    @staticmethod
    def train(text: str) -> CharTokenizer:
        return CharTokenizer("".join(sorted(set(text))))

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> CharTokenizer:
        return CharTokenizer(plain["characters"])

    def spellings(self) -> list[bytes]:
        return [b"", *(character.encode("utf-8") for character in self.characters)]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "characters": self.characters}

    @property
    def vocab_size(self) -> int:
        return len(self.characters) + 1

    def encode(self, text: str) -> np.ndarray:
        code_T = _code_points(text)
        place_T = np.searchsorted(self._codes, code_T)
        known_T = self._codes.take(place_T, mode="clip") == code_T if len(self._codes) else np.zeros(len(code_T), dtype=bool)
        return np.where(known_T, place_T + 1, 0).astype(np.min_scalar_type(self.vocab_size - 1))

    def decode(self, ids: np.ndarray) -> str:
        """The text, with U+FFFD for each ``<unk>``."""
        code_V = np.concatenate([_code_points(UNKNOWN_MARK), self._codes])
        return str(code_V[np.asarray(ids)].astype("<u4").tobytes(), "utf-32-le")

    @cached_property
    def _codes(self) -> np.ndarray:
        return _code_points(self.characters)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
