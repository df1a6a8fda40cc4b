"""Text to ids and back. A tokenizer is plain data learned from the train split alone.

``byte`` and ``bpe`` are lossless. ``char`` and ``word`` lose what the train split never showed (``<unk>``): a model of them is
excused from naming the character, so its bits per byte are too low and not comparable across tokenizers. The record of a
corpus therefore carries ``lossless`` and, per split, ``unknown_share``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from metasearch.core.errors import UserError, did_you_mean
from metasearch.corpora.tokenizers.bpe import BpeTokenizer
from metasearch.corpora.tokenizers.byte import ByteTokenizer
from metasearch.corpora.tokenizers.char import CharTokenizer
from metasearch.corpora.tokenizers.word import WordTokenizer

__all__ = ["Tokenizer", "check", "from_json", "normal_form", "train"]


class Tokenizer(Protocol):
    """``decode(encode(text)) == text`` for every text if ``lossless``, else for every text without unknown parts.

    Texts are valid Unicode (no lone surrogates).
    """

    name: ClassVar[str]
    lossless: ClassVar[bool]
    unknown: ClassVar[int | None]
    """The id of ``<unk>``; None if there is none."""

    @property
    def vocab_size(self) -> int: ...

    def encode(self, text: str) -> np.ndarray:
        """Ids [tokens] in the smallest unsigned type that holds ``vocab_size - 1``."""

    def decode(self, ids: np.ndarray) -> str: ...

    def spellings(self) -> list[bytes]:
        """The UTF-8 bytes of each token, by id; empty for ``<unk>``. Of a lossless tokenizer those of a text join to the text's."""

    def to_json(self) -> dict[str, Any]:
        """Plain data from which ``from_json`` makes an equal tokenizer."""


class VocabSize(NamedTuple):
    least: int
    most: int
    default: int


TRAINED: Mapping[str, Callable[..., Tokenizer]] = {
    "byte": ByteTokenizer.train,
    "char": CharTokenizer.train,
    "word": WordTokenizer.train,
    "bpe": BpeTokenizer.train,
}
RESTORED: Mapping[str, Callable[[Mapping[str, Any]], Tokenizer]] = {
    "byte": ByteTokenizer.from_json,
    "char": CharTokenizer.from_json,
    "word": WordTokenizer.from_json,
    "bpe": BpeTokenizer.from_json,
}
VOCAB_SIZES = {"word": VocabSize(2, 1_000_000, 16_384), "bpe": VocabSize(256, 1_000_000, 4_096)}
"""Tokenizers whose vocabulary size is an option; with a small text the vocabulary may stay smaller than asked for."""


def check(spec: str | Mapping[str, Any]) -> list[str]:
    """Every fault of ``"byte"`` or ``{"name": "bpe", "vocab_size": 4096}``."""
    options: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = str(options.pop("name", ""))
    if name not in TRAINED:
        return [f'there is no tokenizer "{name}".{did_you_mean(name, TRAINED)}']
    known = ["vocab_size"] if name in VOCAB_SIZES else []
    faults = [f'the tokenizer {name} has no option "{key}".{did_you_mean(key, known)}' for key in options if key not in known]
    return faults + (_size_faults(name, options["vocab_size"]) if known and "vocab_size" in options else [])


def _size_faults(name: str, found: Any) -> list[str]:
    least, most, _ = VOCAB_SIZES[name]
    if isinstance(found, int) and not isinstance(found, bool) and least <= found <= most:
        return []
    return [f"vocab_size of the tokenizer {name} must be a whole number from {least:,} to {most:,}, found {found!r}"]


def normal_form(spec: str | Mapping[str, Any]) -> dict[str, Any]:
    """The spec with every option spelled out, equal for equal tokenizers. Raises UserError with every fault."""
    faults = check(spec)
    if faults:
        raise UserError("The tokenizer cannot be set up so:", faults)
    given: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    size = VOCAB_SIZES.get(given["name"])
    return {"vocab_size": size.default, **given} if size else given


def train(spec: str | Mapping[str, Any], text: str) -> Tokenizer:
    """The tokenizer that ``spec`` asks for, with its vocabulary from ``text``."""
    options = normal_form(spec)
    return TRAINED[options.pop("name")](text, **options)


def from_json(plain: Mapping[str, Any]) -> Tokenizer:
    return RESTORED[plain["name"]](plain)
