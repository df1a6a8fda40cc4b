"""What several seeds of the same config say: how good it is, how sure that is, and which configs cannot be told apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metasearch.core.history import NEVER_BEST, History

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Standing:
    """A config over its seeds. ``trials``: their numbers. ``lost``: of those, how many diverged or failed and so have no loss.

    ``noise``: standard deviation between seeds, pooled over all configs; None if no config has two losses. ``tied``: is the
    difference to the best config within the noise? None if that cannot be told.
    """

    config_id: str
    strategy: str
    trials: tuple[int, ...]
    lost: int
    mean: float | None
    noise: float | None
    tied: bool | None


def standings(history: History) -> list[Standing]:
    """Every config of a sweep, the lowest mean of the seeds' best losses first; those without any loss last.

    Two configs are tied if Student's two-sided t-test with the pooled variance does not tell their means apart at ``CONFIDENCE``.
    That variance takes the noise of all configs for equal: with three seeds each its own estimate would be worth little.
    """
    losses: dict[str, list[float]] = {}
    for trial in history:
        listed = losses.setdefault(trial.config.id, [])
        if trial.state not in NEVER_BEST and math.isfinite(trial.best_loss):
            listed.append(trial.best_loss)
    noise, freedom = _pooled(list(losses.values()))
    order = sorted(losses, key=lambda config: statistics.fmean(losses[config]) if losses[config] else math.inf)
    best = losses[order[0]] if order else []
    return [_standing(history, config, losses, noise, _tied(best, losses[config], noise, freedom)) for config in order]


def _standing(
    history: History, config: str, losses: Mapping[str, Sequence[float]], noise: float | None, tied: bool | None
) -> Standing:
    trials = [trial for trial in history if trial.config.id == config]
    mean = statistics.fmean(losses[config]) if losses[config] else None
    numbers = tuple(int(trial.number) for trial in trials)
    return Standing(config, trials[0].config.strategy, numbers, len(trials) - len(losses[config]), mean, noise, tied)


def _pooled(groups: Sequence[Sequence[float]]) -> tuple[float | None, int]:
    """Standard deviation within groups, and its degrees of freedom."""
    freedom = sum(max(len(group) - 1, 0) for group in groups)
    if freedom == 0:
        return None, 0
    squares = sum((len(group) - 1) * statistics.variance(group) for group in groups if len(group) > 1)
    return math.sqrt(squares / freedom), freedom


def _tied(best: Sequence[float], other: Sequence[float], noise: float | None, freedom: int) -> bool | None:
    if noise is None or not best or not other:
        return None
    from scipy.stats import t

    allowed = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * noise * math.sqrt(1 / len(best) + 1 / len(other))
    return statistics.fmean(other) - statistics.fmean(best) <= allowed
