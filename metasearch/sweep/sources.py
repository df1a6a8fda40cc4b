"""Where a simulation takes its curves from: the target that is searched, and the sources that are known before it begins.

Both are written ``FILE.parquet:TASK`` (a curve table) or ``STORE:TASK`` (one's own trials, by the task's name or id).
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.recording import RecordedTable
from metasearch.core.rng import derive
from metasearch.core.scales import LEARNING_RATES, Scale
from metasearch.core.space import Fixed, Space
from metasearch.store.archive import Store
from metasearch.store.tables import read_curve_table, read_past_task, table_tasks

CORRUPTIONS = ("none", "permute", "reverse", "mixed")
"""What can be done to sources, to see what misleading history costs."""

EVERY = "*"


@dataclass(frozen=True)
class Place:
    """A task of a curve table or of a store; the task ``*`` is all of them but the target."""

    path: str
    task: str
    is_table: bool

    @staticmethod
    def parse(text: str, noun: str) -> Place:
        """Raises UserError, which calls it a ``noun``, if it is not written as it should be or there is no such store."""
        path, colon, task = text.rpartition(".parquet:")
        if colon and path and task:
            return Place(f"{path}.parquet", task, True)
        path, colon, task = text.partition(":") if "://" not in text else text.rpartition(":")
        if not colon or not path or not task:
            every = "; the task * of a source is every task but the target" if noun == "source" else ""
            raise UserError(f'A {noun} is written FILE.parquet:TASK or STORE:TASK, found "{text}"{every}.')
        if "://" not in path and not Path(path).is_dir():
            raise UserError(f'There is no store at {path}, and "{text}" names no Parquet file.')
        return Place(path, task, False)

    @property
    def identity(self) -> str:
        return self.path if "://" in self.path else os.path.realpath(self.path)

    @property
    def task_ids(self) -> list[str]:
        """The ids of past tasks that it means. Raises UserError if there is none."""
        return [read_past_task(self.path, self.task).id] if self.is_table else Store(self.path).task_ids(self.task)

    def __str__(self) -> str:
        return f"{self.path}:{self.task}"


@dataclass(frozen=True)
class Sources:
    """What is known before a simulation begins. ``names``: where each task of the archive comes from, in its order."""

    archive: Archive
    names: tuple[str, ...]


def read_target(target: str) -> RecordedTable:
    """The curves behind ``FILE.parquet:TASK`` or ``STORE:TASK``. Raises UserError unless one of them has a finite loss."""
    place = Place.parse(target, "target")
    table = read_curve_table(place.path, place.task) if place.is_table else Store(place.path).recorded(place.task)
    if not any(math.isfinite(loss) for recording in table.recordings.values() for loss in recording.losses):
        raise UserError(f"{target}: none of its {len(table.recordings)} configs ever had a finite loss; choose another target.")
    return table


def read_sources(
    sources: Iterable[str],
    target: str,
    *,
    trials: int,
    corrupt: str,
    descriptors: bool,
    seed: int,
    lacking: float = 0.0,
    shifted: bool = False,
) -> Sources:
    """``trials`` random trials of every source (all of one that has fewer), as ``corrupt`` leaves them.

    Each of ``sources`` may hold several, with commas between them. ``lacking``: the share of the target's parameters of which a
    source knows nothing (``forgetful``). ``shifted``: only trials a decade away from where the target is best (``distant``).
    Raises UserError for a source that is not there, is the target, or holds no finite loss, and if ``shifted`` leaves nothing.
    """
    places = [Place.parse(part.strip(), "source") for text in sources for part in text.split(",") if part.strip()]
    known = Place.parse(target, "target")
    found = {(place.identity, task.id, task.horizon): (name, task) for place in places for name, task in _tasks(place, known)}
    names, tasks = [name for name, _ in found.values()], [task for _, task in found.values()]
    if shifted and tasks:
        tasks = distant(tasks, read_target(target))
        names = [name for name, task in zip(names, tasks, strict=True) if _usable(task)]
        tasks = [task for task in tasks if _usable(task)]
    tasks = list(corrupted([drawn(task, trials, seed) for task in tasks], corrupt, seed))
    if lacking:
        tasks = list(forgetful(tasks, read_target(target).space, lacking, seed))
    if not descriptors:
        tasks = [replace(task, descriptor={}) for task in tasks]
    return Sources(Archive(tuple(tasks)), tuple(names))


def drawn(task: PastTask, trials: int, seed: int) -> PastTask:
    """As many random trials of it, in their order. Which ones depends on the seed and the task alone."""
    if len(task.trials) <= trials:
        return task
    chosen = derive(seed, "source", task.id).choice(len(task.trials), trials, replace=False)
    return replace(task, trials=tuple(task.trials[index] for index in sorted(chosen)))


def corrupted(tasks: Sequence[PastTask], how: str, seed: int) -> Iterator[PastTask]:
    """``permute``: a task's curves are shuffled over its configs. ``reverse``: the config with the best curve gets the worst one,
    the second best the second worst, and so on. ``mixed``: permuted and reversed tasks take turns.
    """
    turns = {"none": [_kept], "permute": [_shuffled], "reverse": [_reversed], "mixed": [_shuffled, _reversed]}[how]
    for index, task in enumerate(tasks):
        order = turns[index % len(turns)](task.trials, derive(seed, "corrupt", task.id))
        trials = [_with_curve(trial, task.trials[other]) for trial, other in zip(task.trials, order, strict=True)]
        yield replace(task, trials=tuple(trials))


def forgetful(tasks: Iterable[PastTask], space: Space, share: float, seed: int) -> Iterator[PastTask]:
    """Each task without a random ``share`` of the parameters that vary in ``space``, but at least one of them if there are two.

    They are unknown there: neither the task nor any of its trials says that they exist. The curves stay as they were.
    """
    varying = sorted({parameter.name for parameter in space if not isinstance(parameter.domain, Fixed)})
    count = min(max(round(share * len(varying)), 1), len(varying) - 1)
    for task in tasks:
        hidden = {varying[index] for index in derive(seed, "lacking", task.id).choice(len(varying), max(count, 0), replace=False)}
        yield replace(task, trials=tuple(_without(trial, hidden) for trial in task.trials), names=task.names - hidden)


def distant(tasks: Sequence[PastTask], table: RecordedTable) -> list[PastTask]:
    """Each task's trials at learning rates that lie a decade or more away from the best of ``table``; some may be left with none.

    The best is the median, in decades, of the tenth of the table's configs with the lowest losses. All tasks keep the same side of
    it, that on which more of their trials had a finite loss: as if earlier sweeps had searched a range that ends a decade short.
    Raises UserError if the table's learning rate is not searched in decades, or nothing is left.
    """
    searched = [p.name for p in table.space if p.name in LEARNING_RATES and p.domain.scale is Scale.LOG]
    if not searched:
        raise UserError(
            f"{table.task_name} cannot have shifted sources: none of {', '.join(LEARNING_RATES)} varies by decades there."
        )
    name = searched[0]
    best = _best_decade(table, name)
    sides = [
        [_within(task, name, -math.inf, best - 1.0) for task in tasks],
        [_within(task, name, best + 1.0, math.inf) for task in tasks],
    ]
    kept = max(sides, key=lambda side: sum(math.isfinite(trial.lowest) for task in side for trial in task.trials))
    if not any(_usable(task) for task in kept):
        raise UserError(
            f"{table.task_name} cannot have shifted sources: no trial of theirs lies a decade from {name} = {10**best:.1e}."
        )
    return kept


def _usable(task: PastTask) -> bool:
    return any(math.isfinite(trial.lowest) for trial in task.trials)


def _best_decade(table: RecordedTable, name: str) -> float:
    rows = [
        (min(filter(math.isfinite, r.losses), default=math.inf), r.config[name])
        for r in table.recordings.values()
        if name in r.config
    ]
    best = sorted(rows)[: math.ceil(len(rows) / 10)]
    return statistics.median(Scale.LOG.encode(float(value)) for _, value in best)


def _within(task: PastTask, name: str, low: float, high: float) -> PastTask:
    codes = [trial.code.get(name) for trial in task.trials]
    kept = [trial for trial, code in zip(task.trials, codes, strict=True) if isinstance(code, float) and low <= code <= high]
    return replace(task, trials=tuple(kept))


def _without(trial: PastTrial, hidden: Collection[str]) -> PastTrial:
    config = Config({name: value for name, value in trial.config.items() if name not in hidden})
    return replace(trial, config=config, code={name: code for name, code in trial.code.items() if name not in hidden})


def _tasks(place: Place, target: Place) -> list[tuple[str, PastTask]]:
    """The past tasks that ``place`` means, with what each is called."""
    of_target = target.task_ids if place.identity == target.identity else []
    if place.task != EVERY and set(of_target) & set(place.task_ids):
        raise UserError(f"The source {place} is the target itself; leave it out.")
    found = _of_table(place) if place.is_table else _of_store(place)
    usable = [task for task in found if task.id not in of_target and _usable(task)]
    if not usable:
        what = "no other task with a finite loss" if place.task == EVERY else "no trial with a finite loss"
        raise UserError(f"The source {place} holds {what}, so there is nothing to learn from; leave it out.")
    return [(f"{place.path}:{task.name}", task) for task in usable]


def _of_table(place: Place) -> list[PastTask]:
    if place.task != EVERY:
        return [read_past_task(place.path, place.task)]
    found = []
    for task in table_tasks(place.path):
        try:
            found.append(read_past_task(place.path, task))
        except UserError:
            continue  # a task without a single point
    return found


def _of_store(place: Place) -> list[PastTask]:
    archive = Store(place.path).archive()
    found = [task for task in archive if place.task in (EVERY, task.name, task.id)]
    if not found and place.task != EVERY:
        known = did_you_mean(place.task, {task.name for task in archive})
        raise UserError(f'The store {place.path} holds no trials of a task "{place.task}" to learn from.{known}')
    return found


_Order = Callable[[Sequence[PastTrial], np.random.Generator], Sequence[int]]


def _kept(trials: Sequence[PastTrial], rng: np.random.Generator) -> Sequence[int]:
    return range(len(trials))


def _shuffled(trials: Sequence[PastTrial], rng: np.random.Generator) -> Sequence[int]:
    return [int(index) for index in rng.permutation(len(trials))]


def _reversed(trials: Sequence[PastTrial], rng: np.random.Generator) -> Sequence[int]:
    """Trials that diverged are the worst, whatever they had reached before."""
    ranked = sorted(range(len(trials)), key=lambda index: (trials[index].diverged, trials[index].lowest))
    opposite = dict(zip(ranked, reversed(ranked), strict=True))
    return [opposite[index] for index in range(len(trials))]


def _with_curve(trial: PastTrial, other: PastTrial) -> PastTrial:
    return replace(trial, steps=other.steps, losses=other.losses, costs=other.costs, ended=other.ended)
