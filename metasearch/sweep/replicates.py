"""What several seeds of the same config say: how good it is, how sure that is, and which configs cannot be told apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metasearch.core.history import NEVER_BEST, History
from metasearch.store.noise import Noise


@dataclass(frozen=True)
class Standing:
    """A config over its seeds. ``trials``: their numbers. ``lost``: of those, how many diverged or failed and so have no loss.
    ``mean``: of their losses; ``value``: that in the sign of the task's metric.

    ``noise``: standard deviation between seeds, pooled over all configs; None if no config has two losses. ``tied``: is the
    difference to the best config within the noise? None if that cannot be told.
    """

    config_id: str
    strategy: str
    trials: tuple[int, ...]
    lost: int
    mean: float | None
    value: float | None
    noise: float | None
    tied: bool | None


def standings(history: History) -> list[Standing]:
    """Every config of a sweep, the lowest mean of the seeds' best losses first; those without any loss last.

    Two configs are tied if Student's two-sided t-test with the pooled variance does not tell their means apart.
    That variance takes the noise of all configs for equal: with three seeds each its own estimate would be worth little.
    """
    losses: dict[str, list[float]] = {}
    for trial in history:
        listed = losses.setdefault(trial.config.id, [])
        if trial.state not in NEVER_BEST and math.isfinite(trial.best_loss):
            listed.append(trial.best_loss)
    noise = Noise.pooled(list(losses.values()))
    order = sorted(losses, key=lambda config: statistics.fmean(losses[config]) if losses[config] else math.inf)
    best = losses[order[0]] if order else []
    return [_standing(history, config, losses, noise, _tied(best, losses[config], noise)) for config in order]


def _standing(
    history: History, config: str, losses: Mapping[str, Sequence[float]], noise: Noise | None, tied: bool | None
) -> Standing:
    trials = [trial for trial in history if trial.config.id == config]
    mean = statistics.fmean(losses[config]) if losses[config] else None
    numbers = tuple(int(trial.number) for trial in trials)
    lost = len(trials) - len(losses[config])
    value = None if mean is None else history.sweep.task.value(mean)
    return Standing(config, trials[0].config.strategy, numbers, lost, mean, value, noise.deviation if noise else None, tied)


def _tied(best: Sequence[float], other: Sequence[float], noise: Noise | None) -> bool | None:
    if noise is None or not best or not other:
        return None
    return noise.ties(statistics.fmean(best), len(best), statistics.fmean(other), len(other))
