"""What learned parts know, kept in a store: ``thetas/<digest>.safetensors`` (numbers) and ``thetas/<digest>.json`` (its card).

A theta's name is the hash of its content, so the log of a sweep that adopted one says exactly which it was.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from metasearch.core.errors import UserError, did_you_mean
from metasearch.store.files import Files

FOLDER = "thetas"

KEPT = 10
"""So many of the newest thetas of every part stay, adopted or not."""

KEPT_SECONDS = 24 * 3600.0
"""A younger theta stays: a sweep that is about to begin may have chosen it and not said so in its log yet."""


@dataclass(frozen=True)
class KeptTheta:
    """One theta as it was kept: the part that it belongs to, arrays, and plain JSON data."""

    part: str
    arrays: Mapping[str, np.ndarray]
    plain: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The hash of all of it; the same content has the same digest wherever it was learned."""
        digest = hashlib.blake2b(json.dumps([self.part, _canonical(self.plain)]).encode(), digest_size=16)
        for name, array in sorted(self.arrays.items()):
            digest.update(json.dumps([name, array.dtype.str, array.shape]).encode() + array.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Card:
    """What a person wants to know of a theta. ``learned_from``: per sweep how many trials and steps it had then.

    ``time``: when it was last learned, in seconds since the epoch; ``seconds``: how long that took. ``held_out``: how it did on
    tasks that it had not seen, empty if nobody has looked. ``format``: two thetas of one part and format that were learned from the
    same are the same, whichever ``version`` learned them; 0 if nobody said.
    """

    part: str
    learned_from: Mapping[str, Mapping[str, int]]
    tasks: int
    trials: int
    time: float
    seconds: float
    version: str
    held_out: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    format: int = 0


def put_theta(files: Files, theta: KeptTheta, card: Card) -> str:
    """Keeps it and returns its digest. What is there already is not written again; its card becomes this one, but scores stay."""
    digest = theta.digest
    if not files.exists(_path(digest)):
        metadata = {"part": theta.part, "plain": _canonical(theta.plain)}
        files.write_atomic(_path(digest), save({name: np.array(a, order="C") for name, a in theta.arrays.items()}, metadata))
    if not card.held_out and files.exists(_card_path(digest)):
        card = replace(card, held_out=_read_card(files, digest).held_out)
    put_card(files, card, digest)
    return digest


def get_theta(files: Files, digest: str) -> KeptTheta:
    """Raises UserError, with the remedy, if there is none of that digest or its content is not what the digest says."""
    try:
        content = files.read(_path(_checked(files, digest)))
    except FileNotFoundError:
        known = did_you_mean(digest, [card.digest for card in theta_cards(files)])
        raise UserError(f"There is no theta {digest} in the store {files.url}.{known} {_remedy(files)}") from None
    try:
        metadata = _metadata(content)
        theta = KeptTheta(metadata["part"], load(content), json.loads(metadata["plain"]))
        whole = theta.digest == digest
    except (SafetensorError, ValueError, KeyError, TypeError, struct.error):
        whole = False
    if not whole:
        raise UserError(
            f"{_path(digest)} in the store {files.url} is damaged: its content is not what its name says. Delete that file. "
            f"{_remedy(files)} A sweep that adopted it needs that file as it was."
        )
    return theta


def put_card(files: Files, card: Card, digest: str) -> None:
    """Writes the card of a theta, in place of an earlier one."""
    content = {name: value for name, value in asdict(card).items() if name != "digest"}
    files.write_atomic(_card_path(digest), json.dumps(content, indent=2).encode())


def theta_cards(files: Files) -> list[Card]:
    """The cards of all thetas, newest first. Raises UserError for one that is damaged."""
    names = files.names(FOLDER)
    digests = [name.removesuffix(".json") for name in names if name.endswith(".json") and not name.startswith(".")]
    cards = []
    for digest in digests:
        with suppress(FileNotFoundError):  # somebody deleted it meanwhile
            cards += [_read_card(files, digest)] if f"{digest}.safetensors" in names else []
    return sorted(cards, key=lambda card: (-card.time, card.digest))


def prune_thetas(files: Files, adopted: Callable[[], Collection[str]], now: float) -> list[str]:
    """Deletes thetas that nobody will ask for again, and returns their digests.

    Of every part the ``KEPT`` newest stay, what is younger than ``KEPT_SECONDS``, and the digests that logs name: ``adopted()``
    is called only if there are others.
    """
    seen: Counter[str] = Counter()
    spare = []
    for card in theta_cards(files):
        seen[card.part] += 1
        if seen[card.part] > KEPT and now - card.time > KEPT_SECONDS:
            spare.append(card.digest)
    needed = adopted() if spare else ()
    dropped = [digest for digest in spare if digest not in needed]
    for digest in dropped:
        files.delete(_card_path(digest))  # first, so that nobody finds a theta that is about to go
        files.delete(_path(digest))
    return dropped


def _read_card(files: Files, digest: str) -> Card:
    try:
        content = json.loads(files.read(_card_path(digest)))
        known = {f.name: content[f.name] for f in fields(Card) if f.name in content}
        return Card(**{**known, "digest": digest})
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{_card_path(digest)} in the store {files.url} is damaged. Delete that file. {_remedy(files)}") from None


def _remedy(files: Files) -> str:
    return f"To learn from its sweeps anew: metasearch meta learn --store {files.url}"


def _metadata(content: bytes) -> dict[str, str]:
    """The texts in the header of a safetensors file, which begins with its length."""
    (length,) = struct.unpack("<Q", content[:8])
    return dict(json.loads(content[8 : 8 + length])["__metadata__"])


def _canonical(plain: Mapping[str, Any]) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def _checked(files: Files, digest: str) -> str:
    if len(digest) != 32 or not set(digest) <= set("0123456789abcdef"):
        known = did_you_mean(digest, [card.digest for card in theta_cards(files)])
        raise UserError(f'A theta is named by 32 hexadecimal digits, found "{digest}".{known}')
    return digest


def _path(digest: str) -> str:
    return f"{FOLDER}/{digest}.safetensors"


def _card_path(digest: str) -> str:
    return f"{FOLDER}/{digest}.json"
