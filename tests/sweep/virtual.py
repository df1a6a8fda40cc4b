"""A backend for tests of whole sweeps: virtual time in place of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from metasearch.backends import tune
from metasearch.backends.simulated import Curves, News, simulate
from metasearch.core.engine import Engine
from metasearch.testing.crash import Crash


@dataclass
class Backend:
    """Runs sweeps over ``curves``; dies after ``lives`` reports."""

    curves: Curves
    lives: int = 10**9

    def run(self, engine: Engine, *ignored: Any, **named: Any) -> str:
        def count(news: News) -> None:
            self.lives -= 1
            if self.lives <= 0:
                raise Crash

        simulate(engine, self.curves, 2, on_fact=count)
        return engine.history.closed or ""


@contextmanager
def in_place_of_ray(curves: Curves, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """``launch`` and ``resume`` run on it; corpora are cached in ``folder``."""

    @contextmanager
    def cluster(*ignored: Any) -> Iterator[None]:
        yield

    made, threads = Backend(curves), torch.get_num_threads()
    monkeypatch.setenv("METASEARCH_CACHE", str(folder / "cache"))
    monkeypatch.setattr(tune, "cluster", cluster)
    monkeypatch.setattr(tune, "describe_cluster", lambda: {"resources": {}})
    monkeypatch.setattr(tune, "run", made.run)
    yield made
    torch.set_num_threads(threads)
