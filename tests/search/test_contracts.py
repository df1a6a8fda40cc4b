"""Every plug-in in the room keeps its contract: a new file is tested by being there."""

from __future__ import annotations

from typing import Any

import pytest

from metasearch import catalog
from metasearch.core.protocols import Scheduler, Searcher
from metasearch.testing.contract import SchedulerContract, SearcherContract

OPTIONS: dict[str, dict[str, Any]] = {
    "tpe": {"startup": 8},
    "gp": {"startup": 8},
    "pbt": {"population": 4},
    "pb2": {"population": 4},
}
"""So that sweeps of a dozen trials reach the interesting part."""


@pytest.mark.parametrize("name", catalog.searchers())
class TestEverySearcher(SearcherContract):
    @pytest.fixture
    def searcher(self, name: str) -> Searcher:
        return catalog.build_searcher({"name": name, **OPTIONS.get(name, {})})


@pytest.mark.parametrize("name", catalog.schedulers())
class TestEveryScheduler(SchedulerContract):
    @pytest.fixture
    def scheduler(self, name: str) -> Scheduler:
        return catalog.build_scheduler({"name": name, **OPTIONS.get(name, {})})
