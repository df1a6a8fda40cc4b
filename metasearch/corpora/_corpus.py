"""From a source and a tokenizer to tokens, and from there to a task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metasearch.core.errors import UserError
from metasearch.core.task import Task
from metasearch.corpora import _cache, _descriptor, _kinds, tokenizers
from metasearch.corpora._kinds import Kinds
from metasearch.corpora._splits import SPLITS, Splits
from metasearch.corpora._text import digest
from metasearch.corpora.tokenizers import Tokenizer

FORMAT = 1
"""Raised whenever the splits' cuts, a tokenizer or the layout of a cache entry changes."""


@dataclass(frozen=True, eq=False)
class TokenizedCorpus:
    """A corpus as ids. ``train``, ``valid``, ``test``: one-dimensional read-only views of one memory-mapped array.

    ``splits``: for each split ``bytes`` and ``blake2b`` of its UTF-8 text; ``tokens`` (how many), ``tokens_blake2b`` and
    ``unknown_share`` (of the tokens) of its ids.
    """

    name: str
    source: Mapping[str, Any]
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    tokenizer: Tokenizer
    tokenizer_spec: Mapping[str, Any]
    splits: Mapping[str, Mapping[str, Any]]
    descriptor: Mapping[str, float]

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    @cached_property
    def spellings(self) -> list[bytes]:
        """The bytes of each token, by id."""
        return self.tokenizer.spellings()

    @property
    def train_bytes(self) -> int:
        return int(self.splits["train"]["bytes"])

    @property
    def valid_bytes(self) -> int:
        return int(self.splits["valid"]["bytes"])

    @property
    def test_bytes(self) -> int:
        return int(self.splits["test"]["bytes"])

    @cached_property
    def digest(self) -> str:
        """Equal for equal splits under equal tokenizers, wherever the text lies."""
        return digest(json.dumps([self.splits, self.tokenizer_spec], sort_keys=True).encode())

    def record(self) -> dict[str, Any]:
        """Plain data: ``load(record["source"], record["tokenizer"])`` gives this corpus again while the text is unchanged.

        If ``lossless`` is false, bits per byte cannot be compared with those under another tokenizer.
        """
        return {
            "source": dict(self.source),
            "tokenizer": dict(self.tokenizer_spec),
            "lossless": self.tokenizer.lossless,
            "vocab_size": self.vocab_size,
            "splits": {split: dict(facts) for split, facts in self.splits.items()},
        }


def load(
    source: str | Mapping[str, Any],
    tokenizer: str | Mapping[str, Any] = "byte",
    cache: Path | None = None,
    kinds: Kinds | None = None,
) -> TokenizedCorpus:
    """The corpus as tokens, from the cache (``METASEARCH_CACHE`` by default) or built now.

    ``kinds``: what ``catalog`` finds, for kinds that are not built in. Raises UserError with every fault of the arguments.
    """
    kinds = _kinds.built_in() if kinds is None else kinds
    faults = check_source(source, tokenizer, kinds)
    if faults:
        raise UserError(f"The corpus {source!r} cannot be loaded:", faults)
    found, spec = _kinds.parse(source, kinds), tokenizers.normal_form(tokenizer)
    kind = kinds[found.scheme]
    fingerprint = kind.fingerprint(found.place, found.options)
    key = digest(json.dumps([FORMAT, _descriptor.VERSION, fingerprint, spec], sort_keys=True).encode())
    entry = _cache.get(cache or _cache.folder(), key, lambda: _build(kind.read(found.place, found.options), spec))
    return _corpus(found, spec, entry)


def _build(splits: Splits, tokenizer_spec: Mapping[str, Any]) -> _cache.Entry:
    tokenizer = tokenizers.train(tokenizer_spec, splits.train)
    tokens = {split: tokenizer.encode(text) for split, text in splits.items()}
    facts = {split: _split_facts(text, tokens[split], tokenizer) for split, text in splits.items()}
    descriptor = _descriptor.describe(splits, facts["train"]["bytes"], len(tokens["train"]), tokenizer.vocab_size)
    content = {"tokenizer": tokenizer.to_json(), "splits": facts, "descriptor": descriptor}
    return _cache.Entry(np.concatenate([tokens[split] for split in SPLITS]), content)


def _split_facts(text: str, token_T: np.ndarray, tokenizer: Tokenizer) -> dict[str, Any]:
    unknown = 0 if tokenizer.unknown is None else int(np.count_nonzero(token_T == tokenizer.unknown))
    content = text.encode("utf-8")
    return {
        "blake2b": digest(content),
        "bytes": len(content),
        "tokens": len(token_T),
        "tokens_blake2b": digest(token_T.tobytes()),
        "unknown_share": unknown / len(token_T),
    }


def _corpus(found: _kinds.Source, tokenizer_spec: Mapping[str, Any], entry: _cache.Entry) -> TokenizedCorpus:
    splits = entry.facts["splits"]
    ends = np.cumsum([splits[split]["tokens"] for split in SPLITS])
    train, valid, test, rest = np.split(entry.tokens, ends)
    assert not len(rest), "the cache holds more tokens than its splits"
    return TokenizedCorpus(
        name=found.name,
        source=found.spec(),
        train=train,
        valid=valid,
        test=test,
        tokenizer=tokenizers.from_json(entry.facts["tokenizer"]),
        tokenizer_spec=tokenizer_spec,
        splits=splits,
        descriptor=entry.facts["descriptor"],
    )


def as_task(corpus: TokenizedCorpus) -> Task:
    """Language modelling of the corpus: bits per byte of the valid split, to be minimised, over a budget of tokens."""
    return Task(corpus.name, source=corpus.record(), content=corpus.digest, descriptor=dict(corpus.descriptor))


def check_source(
    source: str | Mapping[str, Any], tokenizer: str | Mapping[str, Any] = "byte", kinds: Kinds | None = None
) -> list[str]:
    """Every fault that ``load`` would find without reading the text."""
    faults = tokenizers.check(tokenizer)
    try:
        _kinds.parse(source, _kinds.built_in() if kinds is None else kinds)
    except UserError as error:
        faults = [*(error.faults or [error.message]), *faults]
    return faults


def describe_sources(kinds: Kinds | None = None) -> dict[str, str]:
    """What can be written as a source, each with one line: ``{"cpython/comments": "…", "file:PATH": "…"}``."""
    return _kinds.listing(_kinds.built_in() if kinds is None else kinds)
