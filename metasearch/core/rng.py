"""Randomness by address: no generator is stored or passed along, so a resumed sweep draws what an uninterrupted one would."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *address: str | int) -> int:
    """A 63-bit seed that depends on nothing but ``seed`` and ``address``."""
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in address)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def derive(seed: int, *address: str | int) -> np.random.Generator:
    """The random stream at ``address``, for example ``derive(seed, "propose", trial_id)``."""
    return np.random.default_rng(derive_seed(seed, *address))
