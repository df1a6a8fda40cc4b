"""A corpus in numbers: what the learned parts know of a task before its first trial.

Entropies are in bits per byte, shares between 0 and 1, lengths in characters, sizes of the whole train split as log10. All but the
sizes are measured on samples at fixed positions, so that the cost is bounded and the same text gives the same numbers.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Callable
from math import log10
from typing import TypeVar

import numpy as np

from metasearch.corpora import _ngrams
from metasearch.corpora._splits import Splits
from metasearch.corpora.tokenizers.word import WORD

VERSION = 1
"""Raised whenever a number changes its meaning; descriptors of other versions are computed anew."""

TRAIN_SAMPLE = 1 << 20
VALID_SAMPLE = 1 << 17
"""At most so many characters, and so many bytes, of a split are measured."""
SAMPLE_PIECES = 16
NGRAM_ORDER = 5
REPETITION_ORDER = 8
TYPE_TOKEN_WORDS = 10_000
"""The share of distinct words falls with the length of a text; it is taken over this many words."""

SCRIPTS = ("latin", "cyrillic", "greek", "arabic", "hebrew", "cjk", "devanagari", "other")
CJK = {"cjk", "hiragana", "katakana", "hangul", "bopomofo", "ideographic"}
CLASSES: dict[str, Callable[[str, str], bool]] = {
    "digit_share": lambda character, category: category == "Nd",
    "punctuation_share": lambda character, category: category[0] in "PS",
    "uppercase_share": lambda character, category: category == "Lu",
    "whitespace_share": lambda character, category: character.isspace(),
}
"""Classes of characters by (character, Unicode general category)."""

Text = TypeVar("Text", str, bytes)


def describe(splits: Splits, train_bytes: int, train_tokens: int, vocab_size: int) -> dict[str, float]:
    """The descriptor of a corpus; ``train_bytes`` and ``train_tokens`` are the sizes of the whole train split."""
    text = sample(splits.train, TRAIN_SAMPLE)
    train_T = _as_bytes(text, TRAIN_SAMPLE)
    valid_V = _as_bytes(sample(splits.valid, VALID_SAMPLE), VALID_SAMPLE)
    words = WORD.findall(text)
    return {
        "log10_train_bytes": log10(train_bytes),
        "log10_train_tokens": log10(max(1, train_tokens)),
        "log10_train_words": log10(max(1.0, len(words) * len(splits.train) / len(text))),
        "log10_vocab_size": log10(vocab_size),
        "tokens_per_byte": train_tokens / train_bytes,
        **_byte_statistics(train_T, valid_V),
        **_word_statistics(text, words),
        **_character_statistics(text),
    }


def sample(text: Text, size: int) -> Text:
    """The text itself if it is no longer than ``size``, else that much of it in evenly spaced pieces."""
    if len(text) <= size:
        return text
    width = size // SAMPLE_PIECES
    starts = [(len(text) - width) * piece // (SAMPLE_PIECES - 1) for piece in range(SAMPLE_PIECES)]
    return text[:0].join(text[start : start + width] for start in starts)


def _as_bytes(text: str, size: int) -> np.ndarray:
    return np.frombuffer(sample(text.encode("utf-8"), size), dtype=np.uint8)


def _byte_statistics(train_T: np.ndarray, valid_V: np.ndarray) -> dict[str, float]:
    unigram, bigram = _ngrams.entropy_bits(train_T)
    repeated, seen = _ngrams.repetition(train_T, valid_V, REPETITION_ORDER)
    return {
        "unigram_entropy": unigram,
        "bigram_entropy": bigram,
        "ngram_bits_per_byte": _ngrams.held_out_bits_per_byte(train_T, valid_V, NGRAM_ORDER),
        "zlib_bits_per_byte": 8 * len(zlib.compress(train_T.tobytes(), 6)) / len(train_T),
        "repeated_ngram_share": repeated,
        "seen_ngram_share": seen,
    }


def _word_statistics(text: str, words: list[str]) -> dict[str, float]:
    first = words[:TYPE_TOKEN_WORDS]
    return {
        "type_token_ratio": len(set(first)) / max(1, len(first)),
        "log10_mean_word_length": log10(max(1, sum(map(len, words))) / max(1, len(words))),
        "log10_mean_line_length": log10(len(text) / (text.count("\n") + (not text.endswith("\n")))),
    }


def _character_statistics(text: str) -> dict[str, float]:
    code_C, count_C = np.unique(np.frombuffer(text.encode("utf-32-le"), dtype="<u4"), return_counts=True)
    classes = dict.fromkeys(CLASSES, 0)
    scripts = dict.fromkeys(SCRIPTS, 0)
    for character, count in zip(map(chr, code_C.tolist()), count_C.tolist(), strict=True):
        category = unicodedata.category(character)
        for name, belongs in CLASSES.items():
            classes[name] += count * belongs(character, category)
        if category[0] == "L":
            scripts[_script(character)] += count
    letters = max(1, sum(scripts.values()))
    return {
        "log10_distinct_characters": log10(len(code_C)),
        **{name: count / len(text) for name, count in classes.items()},
        **{f"script_{name}_share": count / letters for name, count in scripts.items()},
    }


def _script(letter: str) -> str:
    """The script of a letter is the first word of its Unicode name, but for the several that write Chinese, Japanese and Korean."""
    first = unicodedata.name(letter, "other").split()[0].lower()
    if first in CJK:
        return "cjk"
    return first if first in SCRIPTS else "other"
