"""What the meta-selector saved in a sweep: the full trainings that random search is expected to need to come as far."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from metasearch.core.history import History
from metasearch.core.rng import derive
from metasearch.meta import curves
from metasearch.meta.selector import Selector, belief_on_ends

DRAWN = 256
"""Random configs of which is asked how likely they end as low."""

MOST = 1000.0
"""Of more trainings so few draws can tell nothing."""


@dataclass(frozen=True)
class Saving:
    """In full trainings: what was spent, and what random search, which trains every config to the end, would be expected to spend.

    The latter is an estimate: one over the probability, by what the surrogate believes, that a random config ends as low as the
    best of the sweep. None if that is more than ``MOST``.
    """

    spent: float
    at_random: float | None


def saving(selector: Selector, history: History) -> Saving | None:
    """None before a finite loss was seen."""
    if not math.isfinite(history.best_loss):
        return None
    space, rng = history.sweep.space, derive(history.sweep.seed, "saving")
    finite = space.candidates
    if finite:
        drawn = [finite[int(place)] for place in rng.permutation(len(finite))[:DRAWN]]
    else:
        drawn = [space.sample(rng) for _ in range(DRAWN)]
    belief, location, scale, noise = belief_on_ends(selector, history, drawn)
    best = float(curves.squashed(curves.in_units(np.array(history.best_loss), location, scale)))
    mean, deviation = belief.mean[-len(drawn) :], belief.deviation[-len(drawn) :]
    chance = float(ndtr((mean - best) / np.sqrt(deviation**2 + noise)).mean())
    full = history.sweep.horizon * selector.theta.full_share
    return Saving(history.steps_spent / full, 1.0 / chance if chance * MOST > 1.0 else None)
