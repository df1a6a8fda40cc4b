"""Which corpora there are: kinds are files of this folder, a source names a kind and a place within it."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import Any, Protocol, cast

from metasearch.core.errors import UserError, did_you_mean
from metasearch.corpora._splits import Splits


class Kind(Protocol):
    """What a file of this folder offers as module-level functions; its name is the scheme of its sources.

    ``place`` is what follows the scheme; ``options`` are the other keys of a source given as a mapping.
    """

    def describe(self) -> Mapping[str, str]:
        """What a user can type, each with one line: ``{"file:PATH": "any UTF-8 text file"}``; ``kind/name`` for a named corpus."""

    def check(self, place: str, options: Mapping[str, Any]) -> list[str]:
        """Every fault that can be found without reading the text; the other functions are called only if there is none."""

    def resolve(self, place: str) -> str:
        """The same place, spelled so that it means the same in every working folder (a worker has its own)."""

    def fingerprint(self, place: str, options: Mapping[str, Any]) -> str:
        """A name for the splits, cheaper than reading them: equal fingerprints promise equal splits."""

    def read(self, place: str, options: Mapping[str, Any]) -> Splits:
        """The text of the splits. Raises UserError if it cannot be had."""


Kinds = Mapping[str, Kind]


@dataclass(frozen=True)
class Source:
    """Where the text of a corpus comes from."""

    scheme: str
    place: str
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        """``cpython/comments``, ``file/novel.txt``: the kind and the last part of the place."""
        return f"{self.scheme}/{PurePath(self.place).name}"

    def spec(self) -> dict[str, Any]:
        """Plain data from which ``parse`` makes an equal source."""
        return {"source": f"{self.scheme}:{self.place}", **self.options}


@cache
def built_in() -> Kinds:
    """The kinds of this folder: every module without a leading underscore."""
    package = importlib.import_module("metasearch.corpora")
    names = [m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg and not m.name.startswith("_")]
    return {name: cast(Kind, importlib.import_module(f"metasearch.corpora.{name}")) for name in names}


def listing(kinds: Kinds) -> dict[str, str]:
    """Everything a user can type as a source, with one line each, sorted."""
    return dict(sorted(line for kind in kinds.values() for line in kind.describe().items()))


def parse(source: str | Mapping[str, Any], kinds: Kinds) -> Source:
    """A source from ``"kind:place"``, the name of a listed corpus, the path of a file or folder, or a mapping with ``source``.

    Raises UserError with every fault.
    """
    options = {} if isinstance(source, str) else dict(source)
    text = source if isinstance(source, str) else options.pop("source", None)
    if not isinstance(text, str) or not text:
        raise UserError(f'A corpus needs a source such as "file:novel.txt" or "cpython/comments", found {source!r}.')
    scheme, place = _locate(text, kinds)
    faults = [*_plain_faults(options), *kinds[scheme].check(place, options)]
    if faults:
        raise UserError(f'The corpus "{text}" cannot be loaded:', faults)
    return Source(scheme, kinds[scheme].resolve(place), options)


def _locate(text: str, kinds: Kinds) -> tuple[str, str]:
    known = listing(kinds)
    scheme, colon, place = text.partition(":")
    if colon and scheme in kinds:
        return scheme, place
    if text in known:  # a named corpus goes before a path of the same spelling, which can be written ./PATH
        scheme, _, place = text.partition("/")
        return scheme, place
    path = os.path.expanduser(text)
    if os.path.exists(path):
        return ("folder" if os.path.isdir(path) else "file"), text
    if colon and re.fullmatch(r"\w{2,}", scheme):
        raise UserError(f'There is no kind of corpus "{scheme}".{did_you_mean(scheme, kinds)}')
    raise UserError(f'"{text}" is neither a file, a folder nor a known corpus.{did_you_mean(text, known)}')


def _plain_faults(options: Mapping[str, Any]) -> list[str]:
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as error:
        return [f"its options must be plain data: {error}"]
    return []


def unknown_options(options: Mapping[str, Any], known: Collection[str] = ()) -> list[str]:
    """A fault for each option that the kind does not have."""
    return [f'it has no option "{name}".{did_you_mean(name, known)}' for name in sorted(options.keys() - set(known))]
