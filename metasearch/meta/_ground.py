"""View: the configs that a decision may speak of, as places of the surrogates, with history and without."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from metasearch.core.archive import circumstances
from metasearch.core.config import Config, Value
from metasearch.core.domains import Float, Int
from metasearch.core.event import Fact
from metasearch.core.history import History
from metasearch.core.rng import derive
from metasearch.core.space import Space
from metasearch.meta._tuning import Results
from metasearch.meta.features import Layout, layout_of
from metasearch.meta.practice import doubts, openness
from metasearch.meta.surrogate import Belief, Places, Surrogate
from metasearch.meta.theta import Theta, plain_kernel

POOL = 256
"""Configs drawn from the space at a time."""

BLOCK = 24
"""So many trials are proposed from one pool before the next is drawn."""

NEIGHBOURS, PARENTS = 40, 4
KEPT_NEAR = 16
"""Of so many configs the neighbours are kept."""

CHANGED, ALL_THE_WAY = 0.35, 0.5
"""How probable it is that a parameter of a neighbour differs from its parent's, and then that it is simply drawn anew."""

USUAL_AMONG = 40
"""Configs over which the usual doubt is averaged."""

MOST_CANDIDATES = 1000
MOST_PLACES, KEPT_PLACES = 1600, 1000
"""Beyond so many places, only those that were asked for last are kept."""


Learned = Callable[[Theta, Layout, Mapping[str, float]], Surrogate | None]
"""Makes a surrogate for the task with this descriptor, of all that theta knows; None if nothing was learned."""


def gaussian_process(theta: Theta, layout: Layout, descriptor: Mapping[str, float]) -> Places | None:
    """The surrogate that ships."""
    rows = theta.rows(layout)
    return None if rows is None or theta.kernel is None else Places(theta.kernel, layout, rows, theta.place(descriptor))


class Ground:
    """``places[0]``: without history; ``places[1]``, if anything was learned: with it. Configs are places by their id.

    ``points``, ``doubts``: the same configs as points of the layout, and what practice holds against them. ``openness``: how much
    of the space practice leaves in play. ``costs``: what past sweeps teach of seconds per step.
    """

    def __init__(self, history: History, theta: Theta, learned: Learned) -> None:
        self.theta, self.space = theta, history.sweep.space
        self.layout, self._own = theta.layout_for(self.space), layout_of((), self.space)
        self.costs, self.seed = theta.costs.on(self.layout), history.sweep.seed
        self.known = [] if self.space.candidates else [self.space.complete(config) for config in theta.best]
        self._block, self._drawn = -1, list[Config]()
        self._near: dict[str, list[Config]] = {}
        some = self.space.candidates or [self.space.sample(derive(0, "doubt", k)) for k in range(USUAL_AMONG)]
        doubt = self.doubted(some)
        self.usual_doubt, self.openness = float(doubt.mean()), openness(doubt)
        self.position: dict[str, int] = {}
        self.points, self.doubts = np.zeros((0, len(self.layout.groups))), np.zeros(0)
        self.plain = plain_kernel(self.layout)
        self.places: list[Surrogate] = [Places(self.plain, self.layout, None, np.zeros(0), self.usual_doubt)]
        history_knows = learned(theta, self.layout, circumstances(history.sweep.task.descriptor, history.sweep.horizon))
        if history_knows is not None:
            self.places.append(history_knows)

    def doubted(self, configs: Sequence[Config]) -> np.ndarray:
        """What practice holds against ``configs``, in the ranges of this sweep: those of earlier ones may lie elsewhere."""
        return doubts([self.space.encode(config) for config in configs], self._own)

    def update(self, history: History, fact: Fact) -> None:
        return None

    def at(self, configs: Sequence[Config]) -> np.ndarray:
        """The places of ``configs``, which are added if they are new. Places that an earlier call gave may change."""
        asked = {config.id: config for config in configs}
        for known in asked:
            if known in self.position:
                self.position[known] = self.position.pop(known)  # to the end: those that were asked for last
        new = [config for config in asked.values() if config.id not in self.position]
        most = max(MOST_PLACES, len(self.space.candidates))
        if new and len(self.position) + len(new) > most:
            self._keep(max(KEPT_PLACES, len(asked)) - len(new))
        if new:
            codes = [self.space.encode(config) for config in new]
            points, doubt_N = self.layout.points(codes, self.space.names), doubts(codes, self._own)
            self.points, self.doubts = np.concatenate([self.points, points]), np.concatenate([self.doubts, doubt_N])
            for places in self.places:
                places.add(points, doubt_N)
            for config in new:
                self.position[config.id] = len(self.position)
        return np.array([self.position[config.id] for config in configs], dtype=int)

    def _keep(self, most: int) -> None:
        """Forgets all places but those that were asked for last."""
        kept = list(self.position)[max(len(self.position) - most, 0) :]
        indices = np.array([self.position[known] for known in kept], dtype=int)
        self.position = {known: index for index, known in enumerate(kept)}
        self.points, self.doubts = self.points[indices], self.doubts[indices]
        for places in self.places:
            places.keep(indices)

    def candidates(self, history: History, tried: Collection[str], best: Sequence[Config]) -> list[Config]:
        """What might be tried next: what is left of a finite space; else draws, past tasks' best, and neighbours of the best here.

        A function of the sweep and of the number of trials, so that it is the same whenever it is asked for.
        """
        if self.space.candidates:
            left = [config for config in self.space.candidates if config.id not in tried]
            if len(left) > MOST_CANDIDATES:
                picked = derive(self.seed, "candidates", len(history) // BLOCK).permutation(len(left))[:MOST_CANDIDATES]
                left = [left[i] for i in sorted(picked.tolist())]
            return left
        near = [config for parent in best for config in self.near(parent)]
        every = {config.id: config for config in [self.space.default(), *self.drawn(history), *self.known, *near]}
        return [config for config in every.values() if config.id not in tried]

    def drawn(self, history: History) -> list[Config]:
        """Random configs of the whole space, the same for a block of trials."""
        block = len(history) // BLOCK
        if block != self._block:
            rng = derive(self.seed, "pool", block)
            self._block, self._drawn = block, [self.space.sample(rng) for _ in range(POOL)]
        return self._drawn

    def near(self, parent: Config) -> list[Config]:
        """The ``neighbours`` of a config."""
        if parent.id not in self._near:
            if len(self._near) >= KEPT_NEAR:
                del self._near[next(iter(self._near))]
            self._near[parent.id] = neighbours(self.space, parent, self.seed)
        return self._near[parent.id]

    def tuned_ahead(self, seen: np.ndarray, z: np.ndarray, variance: np.ndarray, wanted: np.ndarray) -> Belief:
        """How far the places ``wanted`` are believed to be ahead of the best of ``seen``, without history, with a kernel that the
        results of the places ``seen`` ask for.
        """
        results = Results(self.points[seen], self.doubts[seen], z, variance, self.usual_doubt)
        kernel = results.tuned(self.plain, self.layout)
        return results.ahead_by(kernel, self.layout, self.points[wanted], self.doubts[wanted])


def neighbours(space: Space, parent: Config, seed: int) -> list[Config]:
    """Configs like ``parent`` but for some parameters, which are a random config's or go part of the way there."""
    rng = derive(seed, "neighbours", parent.id)
    return [_between(space, parent, space.sample(rng), rng) for _ in range(NEIGHBOURS)]


def _between(space: Space, parent: Config, other: Config, rng: np.random.Generator) -> Config:
    values: dict[str, Value] = dict(parent)
    for parameter in space.open_parameters(parent):
        name, domain = parameter.name, parameter.domain
        if name not in other or rng.random() > CHANGED:
            continue
        if isinstance(domain, Float | Int) and rng.random() > ALL_THE_WAY:
            here, there = domain.scale.encode(float(parent[name])), domain.scale.encode(float(other[name]))
            values[name] = domain.nearest(domain.scale.decode(here + rng.uniform(0.0, 0.5) * (there - here)))
        else:
            values[name] = other[name]
    return space.complete(values)
