"""Which structure of a model suits a task and a length of training, by what all earlier trials showed.

A structure is a model with its depth, its width, and whether embedding and output share their weights. It is worth what the best
strategy with it is expected to be worth: of those that were best with such a model in trials about as long, the one of which the
meta-selector's surrogate expects most. In a sweep the meta-selector compares structures and strategies by the same surrogate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from metasearch.core.archive import Archive, circumstances
from metasearch.core.config import Config, Value
from metasearch.core.domains import Domain, Int
from metasearch.core.space import Space
from metasearch.meta.features import layout_of
from metasearch.meta.practice import doubts
from metasearch.meta.surrogate import Places
from metasearch.meta.theta import Theta

WIDTHS = (32, 64, 128, 256, 512)

BEST_OF_A_TASK, TRIALS_OF_A_TASK = 3, 10
"""So many of the best trials of a model on a task lend their strategies to its structures, if there were so many of them: the best
of a few need not be good.
"""

ABOUT_AS_LONG = math.log10(2)
"""Lengths of training that differ by no more decades count alike."""

MOST_NAMED = 9
"""A range of whole numbers that is longer is looked at in the widths that are compared, instead of everywhere."""

SLACK = math.log10(4 / 3)
"""How much further than any trial a width may lie, on its scale."""

PARTS = ("depth", "width", "tied")


@dataclass(frozen=True)
class Ranked:
    """A structure and what is expected of it on a task.

    ``score``: of its best strategy, 0 for an ordinary result on such a task and 1 for a very good one; ``deviation``: how uncertain
    that is. ``cost``: seconds per token, as a multiple of those of the cheapest structure in the list. ``config``: that strategy.
    """

    model: str
    depth: int
    width: int
    tied: bool
    score: float
    deviation: float
    cost: float
    config: Config


def ranked(
    theta: Theta,
    archive: Archive,
    space: Space,
    descriptor: Mapping[str, float],
    horizon: int,
    widths: Sequence[int] = WIDTHS,
) -> list[Ranked]:
    """Every structure in ``space``, the most promising first. Deterministic. Left out are models of which theta knows no trial, and
    those deeper, shallower, wider or narrower than all of its trials: what nobody tried is the selector's to explore.

    ``archive``: what theta learned from. ``horizon``: tokens of a training. ``widths``: those that are compared, as far as the
    space has them.
    """
    layout = theta.layout_for(space)
    rows = theta.rows(layout)
    if rows is None or theta.kernel is None:
        return []
    places = Places(theta.kernel, layout, rows, theta.place(circumstances(descriptor, horizon)))
    seen = _seen(theta)
    known = [one for one in structures(space, widths) if _within(seen, space, one)]
    strategies = {model: _strategies(archive, model, horizon) for model in {one["model"] for one in known}}
    best = [_best(places, space, strategies[one["model"]], one) for one in known]
    if not best:
        return []
    relative = theta.costs.on(layout).conditioned(np.zeros((0, len(layout.groups))), np.zeros(0))
    cost = relative.relative(places.layout.points([space.encode(config) for config, _, _ in best], space.names))
    found = [
        Ranked(
            model=str(config["model"]),
            depth=int(config["depth"]),
            width=int(config["width"]),
            tied=bool(config["tied"]),
            score=score,
            deviation=deviation,
            cost=float(seconds / cost.min()),
            config=config,
        )
        for (config, score, deviation), seconds in zip(best, cost, strict=True)
    ]
    return sorted(found, key=lambda one: (-one.score, one.cost))


def structures(space: Space, widths: Sequence[int] = WIDTHS) -> Iterator[dict[str, Value]]:
    """The part of a config that is its structure, for every structure in a space of language models."""
    models = next(p.domain for p in space if p.name == "model")
    for model in _values(models, ()):
        opened = {p.name: p.domain for p in space.open_parameters({"model": model})}
        parts = [_values(opened[name], widths) for name in PARTS]
        for values in product(*parts):
            yield {"model": model, **dict(zip(PARTS, values, strict=True))}


def _seen(theta: Theta) -> dict[tuple[str, str], tuple[float, float]]:
    """By model and name the least and the largest coordinate in past results."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for code in (result.code for result in theta.results):
        for name, value in code.items():
            if not isinstance(value, str):
                low, high = found.get(key := (str(code.get("model")), name), (value, value))
                found[key] = (min(low, value), max(high, value))
    return found


def _within(seen: Mapping[tuple[str, str], tuple[float, float]], space: Space, structure: Mapping[str, Value]) -> bool:
    """Whether trials of that model reached as deep and as wide, and as little so."""
    coordinates = space.encode(space.complete(structure))
    for name, slack in (("depth", 0.0), ("width", SLACK)):
        low, high = seen.get((str(structure["model"]), name), (math.inf, -math.inf))
        if not low - slack <= float(coordinates[name]) <= high + slack:
            return False
    return True


def _strategies(archive: Archive, model: Value, horizon: int) -> list[Config]:
    """The best trials with that model of every task that was tried at a length near ``horizon``, or as near as any was."""
    of = [(task, [t for t in task.trials if t.config.get("model") == model and math.isfinite(t.lowest)]) for task in archive]
    tried = [(abs(math.log10(task.horizon / horizon)), trials) for task, trials in of if trials]
    enough = [(far, trials) for far, trials in tried if len(trials) >= TRIALS_OF_A_TASK] or tried
    near = max(min(far for far, _ in enough), ABOUT_AS_LONG)
    best = [sorted(trials, key=lambda trial: trial.lowest)[:BEST_OF_A_TASK] for far, trials in enough if far <= near]
    return [trial.config for trials in best for trial in trials]


def _best(places: Places, space: Space, settings: Sequence[Config], structure: Mapping[str, Value]) -> tuple[Config, float, float]:
    """The strategy of that structure of which most is expected, with mean and standard deviation."""
    configs = [space.complete({**setting, **structure}) for setting in settings]
    codes = [space.encode(config) for config in configs]
    belief = places.foreseen(places.layout.points(codes, space.names), doubts(codes, layout_of((), space)))
    first = int(np.argmax(belief.mean))
    return configs[first], float(belief.mean[first]), float(belief.deviation[first])


def _values(domain: Domain, widths: Sequence[int]) -> Sequence[Value]:
    """All values of a few, the known widths of many."""
    if isinstance(domain, Int) and domain.high - domain.low >= MOST_NAMED:
        return [width for width in widths if domain.fault(width) is None] or [domain.default]
    return list(domain.grid(MOST_NAMED))
