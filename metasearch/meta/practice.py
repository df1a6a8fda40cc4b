"""What practice knows of a config before any result: how doubtful its numbers are, by the meaning of their parameters.

Doubt is 0 where practice has nothing against a config and close to 1 where nobody expects anything of it. The surrogates subtract a
multiple of it from what they expect, which results outvote; see ``surrogate``. All limits are in codes (decades of a learning rate,
nines of a momentum), from the papers that made the methods known: Adam's from Kingma and Ba (2015), section 2; of stochastic
gradient descent from He et al. (2016), section 3.4; weight decay from Loshchilov and Hutter (2019); Lion's from Chen et al. (2023),
section 5; dropout from Srivastava et al. (2014).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from metasearch.core.scales import LEARNING_RATES
from metasearch.meta.features import Code, Layout

USUAL_RATE = -3.0
"""Log10 of a learning rate of Adam and of all methods that divide by the size of the gradient."""

RATES: Mapping[str, float] = {
    "sgd": -1.0,
    "gradientdescent": -1.0,
    "momentum": -2.0,
    "nesterov": -2.0,
    "muon": -1.7,
    "schedulefreeadamw": -2.5,
    "lion": -4.0,
    "prodigy": 0.0,
}
UNNAMED_MOMENTUM = -2.0
"""Where no optimizer is named, but there is a momentum and no beta1."""

OFF, OFF_FAR = 0.25, 0.5
"""Doubt of a learning rate grows with the square of the decades that it is off, from two decades on linearly."""

NARROW, WIDE = 1.5, 3.0
"""Decades: who searches so narrow a range of learning rates has used what practice knows; in so wide a one it is heard in full."""

HEEDED = 8.0
"""A config is drawn with a probability that falls by a factor e for each 1/8 of doubt."""


@dataclass(frozen=True)
class _Limit:
    """Beyond ``most`` doubt grows by ``steep`` for each unit of the code."""

    most: float
    steep: float


LIMITS: Mapping[str, _Limit] = {
    **dict.fromkeys(("l1", "l2"), _Limit(-4.0, 0.3)),
    "weight_decay": _Limit(-1.0, 0.3),
    **dict.fromkeys(("eps", "epsilon"), _Limit(-4.0, 0.2)),
    "beta1": _Limit(1.5, 0.3),
    "beta2": _Limit(4.0, 0.3),
    "momentum": _Limit(2.0, 0.3),
    "dropout": _Limit(0.5, 1.0),
}


def doubts(codes: Iterable[Code], layout: Layout) -> np.ndarray:
    """Of each config, from 0 to 1. ``layout`` tells which learning rates are under discussion."""
    return np.array([1.0 - math.exp(-_against(code, layout)) for code in codes])


def chances(doubt_N: np.ndarray) -> np.ndarray:
    """With which probability each config is drawn, if one is drawn as practice suggests."""
    return np.asarray(softmax(-HEEDED * doubt_N))


def openness(doubt_N: np.ndarray) -> float:
    """The share of configs that practice leaves in play: the effective number of those drawn so (Kish, 1965) over all. It is 1
    where all are doubted alike.
    """
    return float(1.0 / (len(doubt_N) * (chances(doubt_N) ** 2).sum()))


def _against(code: Code, layout: Layout) -> float:
    total = 0.0
    for name, value in code.items():
        if isinstance(value, str):
            continue
        if name in LEARNING_RATES:
            total += _off(value, _usual_rate(code), *layout.numbers[name])
        elif limit := LIMITS.get("dropout" if "dropout" in name else name):
            total += limit.steep * max(0.0, value - limit.most)
    return total


def _usual_rate(code: Code) -> float:
    named = "".join(letter for letter in str(code.get("optimizer", "")).lower() if letter.isalnum())
    if not named and "momentum" in code and "beta1" not in code:
        return UNNAMED_MOMENTUM
    return RATES.get(named, USUAL_RATE)


def _off(value: float, usual: float, centre: float, half: float) -> float:
    """``usual`` is moved into the middle half of the range: that a value was thought worth searching says something too."""
    decades = abs(value - min(max(usual, centre - half / 2), centre + half / 2))
    heard = min(max((2 * half - NARROW) / (WIDE - NARROW), 0.0), 1.0)
    return heard * min(OFF * decades**2, OFF_FAR * decades)
