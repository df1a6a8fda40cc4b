"""Which tasks of a store are like a given one: a task of the store, or a corpus that no sweep has seen yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metasearch import catalog
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.likeness import DescriptorScale
from metasearch.corpora import describe_sources, load
from metasearch.store.archive import Store


@dataclass(frozen=True)
class Similar:
    """A task of the store. ``distance``: 0 for an equal descriptor, about 1.4 between two tasks that are like any two."""

    task_id: str
    task: str
    distance: float


def similar_tasks(store: Store, like: str) -> list[Similar]:
    """The tasks of ``store`` with trials, the most similar first. ``like``: the name or id of one of them, or a corpus.

    Raises UserError if it is neither, or if there is nothing to compare by.
    """
    tasks = store.query("select task_id, task, descriptor from tasks where task_id in (select task_id from trials)").to_pylist()
    described = {row["task_id"]: dict(row["descriptor"]) for row in tasks}
    by_name = {row["task"]: described[row["task_id"]] for row in tasks}
    asked = described[like] if like in described else _descriptor(like, by_name)
    if not asked:
        raise UserError(f'The task "{like}" has no descriptor, so that none can be told to be like it. Name another one.')
    scale = DescriptorScale.of([*described.values(), asked])
    near = [(scale.distance(asked, described[row["task_id"]]), row) for row in tasks]
    found = [Similar(row["task_id"], row["task"], distance) for distance, row in near if distance is not None]
    if not found:
        raise UserError(f"No task of the store {store.url} has a number in its descriptor that {like} has too.")
    return sorted(found, key=lambda one: (one.distance, one.task, one.task_id))


def _descriptor(like: str, known: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    if like in known:
        return known[like]
    kinds = catalog.corpus_kinds()
    try:
        return load(like, kinds=kinds).descriptor
    except UserError as error:
        if Path(like).exists() or re.match(r"\w+:", like):
            raise
        names = {*known, *describe_sources(kinds)}
        raise UserError(f'"{like}" is neither a task of the store nor a corpus.{did_you_mean(like, names)}') from error
