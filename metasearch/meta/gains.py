"""What actions were really worth: doubly robust estimates from trials that were acted upon or, by chance, were not.

Robins, Rotnitzky and Zhao (1994): with foreseen losses m0 (left alone) and m1 (acted upon), probability e of acting, T whether it
was, and the loss Y that came, the gain of one trial is estimated by

    m0 - m1 + (1 - T)/(1 - e) · (Y - m0) - T/e · (Y - m1)

which is right on average if the foreseen losses are or the probabilities are, and these were logged. Only the first intent of a
trial counts; what followed belongs to its effect. Trials that were stopped early say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from metasearch.core.archive import Archive, PastTrial
from metasearch.core.event import Directive

FEWEST = 10
"""Trials of a class below which nothing is concluded."""

NINETY_FIVE = 1.645


@dataclass(frozen=True)
class Gain:
    """Mean gain in loss of one class of actions, its standard error, and how many trials were acted upon or were controls."""

    mean: float
    error: float
    acted: int
    controls: int

    @property
    def disabled(self) -> bool:
        """Enough was seen, and it does not help."""
        return self.acted + self.controls >= FEWEST and min(self.acted, self.controls) > 0 and self.mean <= 0.0

    @property
    def proven(self) -> bool:
        """Enough was seen, and with 95 % certainty it helps."""
        enough = self.acted + self.controls >= FEWEST and min(self.acted, self.controls) > 0
        return enough and self.mean - NINETY_FIVE * self.error > 0.0


def learn(archive: Archive) -> dict[str, Gain]:
    """The gain of every class of actions of which the archive holds finished trials."""
    found: dict[str, list[tuple[float, bool]]] = {}
    for task in archive:
        for trial in task.trials:
            first = _first_intent(trial)
            if first is not None and trial.ended and not trial.diverged and trial.steps[-1] >= task.horizon:
                found.setdefault(first.intent, []).append((_gain(first, trial.losses[-1]), bool(first.changes)))
    return {intent: _pooled(rows) for intent, rows in sorted(found.items())}


def _first_intent(trial: PastTrial) -> Directive | None:
    told: Mapping[int, Directive] = trial.directed
    intents = (told[step] for step in sorted(told))
    return next((d for d in intents if d.intent and d.propensity and d.foreseen is not None and d.gain is not None), None)


def _gain(directive: Directive, loss: float) -> float:
    assert directive.propensity is not None and directive.foreseen is not None and directive.gain is not None
    kept, acted = directive.foreseen, directive.foreseen - directive.gain
    if directive.changes:
        return directive.gain - (loss - acted) / directive.propensity
    return directive.gain + (loss - kept) / (1.0 - directive.propensity)


def _pooled(rows: Iterable[tuple[float, bool]]) -> Gain:
    listed = list(rows)
    gains, acted = np.array([gain for gain, _ in listed]), sum(did for _, did in listed)
    error = float(gains.std(ddof=1) / math.sqrt(len(gains))) if len(gains) > 1 else math.inf
    return Gain(float(gains.mean()), error, acted, len(listed) - acted)
