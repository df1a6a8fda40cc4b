"""Which scheduler fits a searcher that was asked for alone."""

from __future__ import annotations

from metasearch import catalog

WITH_RANDOM = ("asha", "hyperband")
"""Schedulers that may be named as searchers: they stand for random search with them."""

IN_FULL = ("random", "sobol", "grid")
"""Searchers whose trials run in full unless a scheduler is named."""


def paired(name: str) -> tuple[str, str]:
    """Searcher and scheduler by one name. One that is unknown stays, for whoever builds it to find."""
    if name in WITH_RANDOM:
        return "random", name
    return name, fitting(name)


def fitting(searcher: str) -> str:
    """The scheduler that fits: the searcher itself if it is both."""
    if searcher in IN_FULL:
        return "fifo"
    both = searcher in catalog.LEARNED or (searcher in catalog.searchers() and searcher in catalog.schedulers())
    return searcher if both else "asha"
