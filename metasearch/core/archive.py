"""What earlier sweeps left behind, as the learned parts read it: tasks, and for each the trials that were run on it.

Everything is in the terms in which sweeps can be compared: coordinates by meaning instead of positions in a range, the whole
configuration with every default instead of what happened to be searched.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from metasearch.core.config import Config
from metasearch.core.event import Directive


@dataclass(frozen=True)
class PastTrial:
    """One trial. ``code``: its coordinates by meaning (``Space.encode``); a parameter that is absent from it was closed.

    ``steps`` rise strictly, ``losses`` may end in a number that is not finite (it diverged), ``costs`` are cumulative training
    seconds, or whatever a table counts. ``ended``: it ran to its end, so there was nothing more to see. All three are equally long.
    So are ``lrs``, the learning rate at each step, unless nobody knows them. ``directed``: what it was told, by the step at which.
    """

    config: Config
    code: Mapping[str, float | str]
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    costs: tuple[float, ...]
    ended: bool = True
    seed: int = 0
    sweep: str = ""
    lrs: tuple[float, ...] = ()
    directed: Mapping[int, Directive] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert len(self.steps) == len(self.losses) == len(self.costs) > 0, f"a past trial needs a curve: {self.config}"

    @property
    def diverged(self) -> bool:
        return not math.isfinite(self.losses[-1])

    @property
    def lowest(self) -> float:
        """The lowest finite loss, infinite if there is none."""
        return min((loss for loss in self.losses if math.isfinite(loss)), default=math.inf)


@dataclass(frozen=True)
class PastTask:
    """One task, at one length of training, with the trials of every sweep that was run on it so long.

    ``names``: every parameter that its spaces knew. One that is not among them is unknown there, which is not the same as closed.
    ``horizon``: the steps of a full trial.
    """

    id: str
    name: str
    horizon: int
    trials: tuple[PastTrial, ...]
    names: frozenset[str]
    descriptor: Mapping[str, float] = field(default_factory=dict)
    metric: str = ""
    unit: str = ""

    @property
    def circumstances(self) -> dict[str, float]:
        return circumstances(self.descriptor, self.horizon)


def circumstances(descriptor: Mapping[str, float], horizon: int) -> dict[str, float]:
    """What results depend on besides the config: how the task is described, and how long a full trial trains. Of a task without a
    description nothing is said.
    """
    return {**descriptor, "log10_horizon": math.log10(max(horizon, 1))} if descriptor else {}


@dataclass(frozen=True)
class Archive:
    """All tasks of a store, or of tables that somebody published; those that were trained at several lengths once for each.
    Read-only."""

    tasks: tuple[PastTask, ...] = ()

    def __iter__(self) -> Iterator[PastTask]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def trials(self) -> int:
        return sum(len(task.trials) for task in self.tasks)

    @property
    def sweeps(self) -> tuple[str, ...]:
        """The sweeps that it comes from, in order."""
        return tuple(dict.fromkeys(trial.sweep for task in self.tasks for trial in task.trials if trial.sweep))


def together(tasks: Iterable[PastTask]) -> Archive:
    """One task for all trials of the same task and length; they must know the same names."""
    found: dict[tuple[str, int], PastTask] = {}
    for task in tasks:
        known = found.get((task.id, task.horizon))
        found[task.id, task.horizon] = task if known is None else replace(known, trials=known.trials + task.trials)
    return Archive(tuple(found.values()))
