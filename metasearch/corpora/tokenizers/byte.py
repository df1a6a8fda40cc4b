"""The 256 bytes of UTF-8: nothing to learn, nothing lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True)
class ByteTokenizer:
    name: ClassVar[str] = "byte"
    lossless: ClassVar[bool] = True
    unknown: ClassVar[int | None] = None
    vocab_size: ClassVar[int] = 256

    @staticmethod
    def train(text: str) -> ByteTokenizer:
        return ByteTokenizer()

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> ByteTokenizer:
        return ByteTokenizer()

    def spellings(self) -> list[bytes]:
        return [bytes([byte]) for byte in range(self.vocab_size)]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name}

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-8"), dtype=np.uint8)

    def decode(self, ids: np.ndarray) -> str:
        """The text; bytes that are not UTF-8 (a model may write such) become U+FFFD."""
        return np.asarray(ids, dtype=np.uint8).tobytes().decode("utf-8", errors="replace")
