"""Byte-pair encoding over bytes (Sennrich et al. 2016; the byte alphabet of Radford et al. 2019), trained with ``tokenizers``.

All 256 bytes are in the vocabulary, there are no special tokens and no normalisation: every text comes back exactly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHUNK_CHARACTERS = 1 << 16
"""Text is encoded in chunks of at most this size, so that memory does not grow with the corpus."""
CHUNKS_AT_ONCE = 16


@dataclass(frozen=True)
class BpeTokenizer:
    """``model``: what ``tokenizers.Tokenizer.to_str`` writes."""

    model: str
    name: ClassVar[str] = "bpe"
    lossless: ClassVar[bool] = True
    unknown: ClassVar[int | None] = None

    @staticmethod
    def train(text: str, vocab_size: int) -> BpeTokenizer:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        byte_level = pre_tokenizers.ByteLevel
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = byte_level(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=byte_level.alphabet(), show_progress=False)
        tokenizer.train_from_iterator(_chunks(text), trainer)
        return BpeTokenizer(tokenizer.to_str())

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> BpeTokenizer:
        return BpeTokenizer(json.dumps(plain["model"], ensure_ascii=False))

    def spellings(self) -> list[bytes]:
        byte_of = _byte_of()
        index_of = self._tokenizer.get_vocab()
        return [bytes(map(byte_of.__getitem__, token)) for token in sorted(index_of, key=index_of.__getitem__)]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "model": json.loads(self.model)}

    @cached_property
    def vocab_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, text: str) -> np.ndarray:
        dtype = np.min_scalar_type(self.vocab_size - 1)
        chunks = _chunks(text)
        ids = [np.empty(0, dtype)]
        while batch := list(islice(chunks, CHUNKS_AT_ONCE)):
            ids += [np.array(encoding.ids, dtype) for encoding in self._tokenizer.encode_batch(batch)]
        return np.concatenate(ids)

    def decode(self, ids: np.ndarray) -> str:
        """The text; bytes that are not UTF-8 (a model may write such) become U+FFFD."""
        return str(self._tokenizer.decode(np.asarray(ids).tolist()))

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.model)


def _chunks(text: str) -> Iterator[str]:
    """The text in order, in pieces that end at a line end where there is one within CHUNK_CHARACTERS."""
    start = 0
    while start < len(text):
        end = start + CHUNK_CHARACTERS
        if end < len(text):
            end = text.rfind("\n", start, end) + 1 or end
        yield text[start:end]
        start = end


def _byte_of() -> dict[str, int]:
    """The byte behind each character of the byte alphabet: printable ones are themselves, the others follow 255 in order
    (Radford et al., 2019).
    """
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}
