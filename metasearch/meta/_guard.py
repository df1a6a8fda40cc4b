"""What history is worth in this sweep: measured against trials that are drawn without it, not inferred from how well it explains.

The trials of the *guard* are drawn at random, the rather, the less practice doubts them. History's say is the probability that its
own trials win more than a certain share of the comparisons with these, at the last report that both made: three quarters where
practice has nothing to say, so that the guard is a blind one, and half where practice leaves little of the space in play.
Misleading history cannot win these, whatever it claims of itself, and so loses its say within a few cheap slices.
"""

from __future__ import annotations

from scipy.special import betaincc

from metasearch.core.event import TrialId
from metasearch.core.history import History
from metasearch.meta._traces import Traces, compared

HISTORY, PLAIN, GUARD = "history", "plain", "guard"
"""Origins of trials: proposed with history, without it, and drawn to measure it."""

SHARE = 0.12
"""Of what was spent, about this much goes to the guard while it has fewer than ``TRIALS``."""

SHORT = 0.05
"""Slices no longer than this share of a full training are taken at once, so that misleading history is found out early. Longer ones
wait until the guard keeps within its share with them.
"""

TRIALS = 8
BETTER_THAN_CHANCE, BETTER_THAN_PRACTICE = 0.75, 0.5
MOST_COMPARISONS = 12.0
FIRST_SAY = 0.9
NEWEST_OURS, NEWEST_GUARDS = 40, 20


def is_due(history: History, traces: Traces) -> bool:
    """Whether the guard is due a slice. Asked once there are reports."""
    guards = [trial for trial in history if trial.origin == GUARD]
    usual = history.steps_spent / traces.reports
    counted = usual if usual > SHORT * history.sweep.horizon else 0.0
    taken = sum(trial.step for trial in guards)
    return len(guards) < TRIALS and taken + counted < SHARE * (history.steps_spent + counted)


def won(history: History, traces: Traces) -> float | None:
    """The share of all comparisons that history's trials won; None before the first."""
    return compared(traces, *_by_origin(history))


def say(history: History, traces: Traces, openness: float) -> float:
    """How probable it is that history helps. ``openness``: the share of the space that practice leaves in play."""
    ours, guards = _by_origin(history)
    share = compared(traces, ours[-NEWEST_OURS:], guards[-NEWEST_GUARDS:])
    if share is None:
        return FIRST_SAY
    weight = min(2.0 * len(ours) * len(guards) / (len(ours) + len(guards)), MOST_COMPARISONS)
    demanded = BETTER_THAN_PRACTICE + (BETTER_THAN_CHANCE - BETTER_THAN_PRACTICE) * openness
    return float(betaincc(2.0 + share * weight, 1.0 + (1.0 - share) * weight, demanded))


def _by_origin(history: History) -> tuple[list[TrialId], list[TrialId]]:
    ours = [trial.number for trial in history if trial.origin == HISTORY and trial.steps]
    return ours, [trial.number for trial in history if trial.origin == GUARD and trial.steps]
