"""Who searches in a simulation: a searcher with the scheduler that fits it, or a learned algorithm with what it learns from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from metasearch import catalog
from metasearch.catalog import name_of
from metasearch.core.archive import Archive
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.protocols import Meta, Scheduler, Searcher
from metasearch.core.rng import derive
from metasearch.sweep.pairing import WITH_RANDOM, fitting

Spec = str | Mapping[str, Any]


@dataclass(frozen=True)
class Contestant:
    """Two algorithms by their names, ready to decide. ``seconds_learning``: real time before the first decision."""

    searcher: Searcher
    scheduler: Scheduler
    searcher_name: str
    scheduler_name: str
    seconds_learning: float
    learned: bool


@dataclass(frozen=True)
class Entry:
    """What was asked for, checked before anything is read. ``meta``: the learned algorithm, if it is one."""

    searcher: Spec
    scheduler: Spec | None
    meta: Any = None

    @staticmethod
    def of(searcher: Spec, scheduler: Spec | None) -> Entry:
        """Raises UserError for names and options that do not work."""
        name = name_of(searcher)
        if name in WITH_RANDOM:
            if scheduler is not None and scheduler != name:
                raise UserError(
                    f'The searcher "{name}" is random search with the scheduler {name}, but the scheduler asked for is '
                    f'{name_of(scheduler)}. Leave that out, or ask for the searcher "random".'
                )
            return Entry("random", searcher)
        if name in catalog.LEARNED and scheduler == searcher:
            scheduler = None
        if scheduler is not None:
            catalog.build_scheduler(scheduler)
        if name in catalog.searchers():
            catalog.build_searcher(searcher)
            return Entry(searcher, scheduler or fitting(name))
        if not catalog.is_meta(name):
            known = did_you_mean(name, [*catalog.searchers(), *catalog.metas(), *WITH_RANDOM])
            raise UserError(f'There is no searcher "{name}".{known}')
        if not isinstance(searcher, str) and len(searcher) > 1:
            raise UserError(f"The learned searcher {name} has no options, found {', '.join(searcher.keys() - {'name'})}.")
        return Entry(name, scheduler, catalog.load_meta(name))

    def prepared(self, archive: Archive, seed: int) -> Contestant:
        """The algorithms; a learned one has learned from ``archive``."""
        name = name_of(self.searcher)
        began = time.perf_counter()
        if self.meta is None:
            searcher = catalog.build_searcher(self.searcher)
        else:
            searcher = cast(Searcher, self.meta.build(learned(self.meta, name, archive, seed)))
        seconds = time.perf_counter() - began
        if self.scheduler is None and hasattr(searcher, "judge") and hasattr(searcher, "thaw"):
            return Contestant(searcher, cast(Scheduler, searcher), name, name, seconds, True)
        scheduler = self.scheduler or "asha"
        return Contestant(searcher, catalog.build_scheduler(scheduler), name, name_of(scheduler), seconds, self.meta is not None)


def learned(meta: Meta[Any, Archive, Any], name: str, archive: Archive, seed: int) -> Any:
    """The theta that ``archive`` teaches; the same one for the same seed."""
    return meta.learn(meta.init(derive(seed, "init", name)), archive, derive(seed, "learn", name))
