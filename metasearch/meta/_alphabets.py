"""A text in the letters of another alphabet, as one more task to learn from: what a language is like does not depend on its script.

Sources in the Latin script alone would teach that a character is a byte. In other scripts a letter is two or three bytes of UTF-8,
of which the first hardly tells anything; spaces and punctuation mostly stay what they are.

Shapes: N bytes of the text, V 256 bytes, L bytes of a letter at most, A letters.
"""

from __future__ import annotations

import numpy as np

CAPITALS_A, SMALL_A = np.arange(ord("A"), ord("Z") + 1), np.arange(ord("a"), ord("z") + 1)

FEWEST_LETTERS = 0.4
"""Share of letters below which a text is no language in the Latin script."""

TWO_BYTES, THREE_BYTES = (0x370, 0x7C0), (0x900, 0xD000)
"""Code points at which an alphabet may begin whose letters have so many bytes in UTF-8."""


def has_letters(text_N: np.ndarray) -> bool:
    """Whether most of it is in the Latin alphabet."""
    return bool(np.isin(text_N, np.concatenate([CAPITALS_A, SMALL_A])).mean() >= FEWEST_LETTERS)


def transliterated(text_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same text, a code point of one block of Unicode for each of the letters A to z; half of the time for capital and small
    ones alike, as in the many scripts that have no capitals. Other bytes stay as they are.
    """
    small = len(SMALL_A)
    first, last = TWO_BYTES if rng.random() < 0.5 else THREE_BYTES
    points_A = rng.integers(first, last) + rng.permutation(small if rng.random() < 0.5 else 2 * small)
    bytes_VL, length_V = np.zeros((256, 3), dtype=np.uint8), np.ones(256, dtype=np.int64)
    bytes_VL[:, 0] = np.arange(256)
    for number, letter in enumerate([*SMALL_A, *CAPITALS_A]):
        encoded = chr(points_A[number % len(points_A)]).encode()
        length_V[letter] = len(encoded)
        bytes_VL[letter, : len(encoded)] = list(encoded)
    return np.asarray(bytes_VL[text_N][np.arange(3) < length_V[text_N][:, None]])
