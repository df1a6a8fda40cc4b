"""Archives made up for tests: trials of random configs whose lowest loss is a function of the config."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.rng import derive
from metasearch.core.space import Space
from metasearch.testing.curves import bowl

Loss = Callable[[Config], float]


def past_task(name: str, space: Space, configs: Sequence[Config], loss: Loss) -> PastTask:
    trials = [PastTrial(c, space.encode(c), (50, 100), (loss(c) + 1.0, loss(c)), (1.0, 2.0)) for c in configs]
    return PastTask(name, name, 100, tuple(trials), frozenset(space.names))


def drawn_task(name: str, space: Space, loss: Loss, count: int = 30, seed: int = 0) -> PastTask:
    rng = derive(seed, name)
    return past_task(name, space, [space.sample(rng) for _ in range(count)], loss)


def bowls(space: Space, tasks: int = 3, sign: float = 1.0) -> Archive:
    """Tasks whose optimum is that of ``BowlCurves``; with ``sign`` -1 it is their worst place."""
    return Archive(tuple(drawn_task(f"bowl {k}", space, lambda config: sign * bowl(space, config)) for k in range(tasks)))
