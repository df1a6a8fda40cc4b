"""The three parts of a corpus, and the one rule by which a single text is cut into them."""

from __future__ import annotations

from dataclasses import dataclass

from metasearch.core.errors import UserError

SPLITS = ("train", "valid", "test")
SLACK = 0.02
"""A cut may move back by this share of the text to reach a line end (or else a space); no two cuts can meet."""


@dataclass(frozen=True)
class Splits:
    """The text of each split; none is empty. Raises UserError if one is."""

    train: str
    valid: str
    test: str

    def __post_init__(self) -> None:
        empty = [split for split, text in self.items() if not text]
        if empty:
            found = ", ".join(f"{split}: {len(text):,} characters" for split, text in self.items())
            raise UserError(f"Each of train, valid and test needs text, but {' and '.join(empty)} got none ({found}).")

    @staticmethod
    def cut(text: str) -> Splits:
        """Contiguous 90/5/5 % of the characters, cut at line ends; ``train + valid + test == text``."""
        first, second = _cut_before(text, 0.90), _cut_before(text, 0.95)
        return Splits(text[:first], text[first:second], text[second:])

    def items(self) -> tuple[tuple[str, str], ...]:
        return tuple((split, getattr(self, split)) for split in SPLITS)


def cut_end(text: str) -> tuple[str, str]:
    """The first 95 % and the last 5 % of a text, cut at a line end."""
    position = _cut_before(text, 0.95)
    return text[:position], text[position:]


def _cut_before(text: str, share: float) -> int:
    """Just after the last line end (or else space) before ``share`` of the text, if one is within SLACK."""
    target = int(len(text) * share)
    earliest = target - int(len(text) * SLACK)
    for mark in ("\n", " "):
        found = text.rfind(mark, earliest, target)
        if found >= 0:
            return found + 1
    return target
