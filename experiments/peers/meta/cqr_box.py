"""Bounding box by Syne Tune: the smallest box that holds the best trial of every earlier task, in which CQR then searches.

Perrone, Shen, Seeger, Archambeau and Jenatton (2019), "Learning search spaces for Bayesian optimization: Another view of
hyperparameter transfer learning".
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from metasearch import catalog
from metasearch.core.archive import Archive, PastTask
from metasearch.core.event import Fact
from metasearch.core.history import History
from metasearch.core.protocols import Proposal

flat = catalog.load("search", "flat")
cqr = catalog.load("search", "cqr")

NAME = "cqr-box"
_PEER = "The bounding box"
_LOSS = "loss"
_TRANSFER = "syne_tune.optimizer.schedulers.transfer_learning"


@dataclass(frozen=True, eq=False)
class CqrBox:
    """A parameter that no earlier task knows keeps its range, and an earlier task has no say about those that it does not know."""

    sources: Archive

    def __post_init__(self) -> None:
        flat.package(f"{_TRANSFER}.bounding_box", _PEER)

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        box = history.view(self, lambda known: Box(known, self.sources))
        if not box.domains or not self.sources.tasks:
            return cqr.Cqr().propose(history, rng)
        config = cqr.suggested(history, box.space, box.domains, rng)
        return None if config is None else Proposal(config, NAME, "in the box")


class Box:
    """View: the domains that Syne Tune is given. They follow from the space; when that changes, views are made anew."""

    def __init__(self, history: History, sources: Archive) -> None:
        self.space = flat.Flat.of(history.sweep.space)
        self.domains = {
            name: _shrunk(name, domain, axis, sources)
            for axis, (name, domain) in zip(self.space, cqr.domains(self.space).items(), strict=True)
        }

    def update(self, history: History, fact: Fact) -> None:
        return


class CqrBoxMeta:
    """What it learns is which trials there were: the box is made once the space is known."""

    def init(self, rng: np.random.Generator) -> Archive:
        return Archive()

    def learn(self, theta: Archive, archive: Archive, rng: np.random.Generator) -> Archive:
        return archive if len(archive) else theta

    def build(self, theta: Archive) -> CqrBox:
        return CqrBox(theta)


def _shrunk(name: str, domain: Any, axis: Any, sources: Archive) -> Any:
    """One side of the box, of the tasks whose best trial knows the parameter. Syne Tune makes every side by itself, too."""
    evaluations = {task.id: made for task in sources if (made := _evaluations(name, domain, axis, task)) is not None}
    if not evaluations:
        return domain
    sides: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the box
        flat.package(f"{_TRANSFER}.bounding_box", _PEER).BoundingBox(
            lambda space, *_: sides.update(space), {name: domain}, _LOSS, evaluations, random_seed=0
        )
    return sides[name]


def _evaluations(name: str, domain: Any, axis: Any, task: PastTask) -> Any:
    """A task as Syne Tune wants it, with one parameter; None if its best trial does not know that."""
    pandas = flat.package("pandas", _PEER)
    rows = [(code, trial.lowest) for trial in task.trials if (code := axis.known(trial.config)) is not None]
    if not rows or min(loss for _, loss in rows) > min(trial.lowest for trial in task.trials):
        return None
    codes, losses = zip(*rows, strict=True)
    evaluations = flat.package(f"{_TRANSFER}.transfer_learning_task_evaluation", _PEER).TransferLearningTaskEvaluations
    return evaluations({name: domain}, pandas.DataFrame({name: codes}), [_LOSS], np.reshape(losses, (-1, 1, 1, 1)))


META = CqrBoxMeta()
