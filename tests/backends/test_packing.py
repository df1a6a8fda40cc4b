"""Several trials on one GPU, by their memory: a node that says it has a GPU, and trials that say what they need of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from metasearch import catalog
from metasearch.backends import tune
from metasearch.core.engine import Engine
from metasearch.core.event import Failed, Proposed, Reported, Thawed
from metasearch.core.history import OUT_OF_MEMORY, History, State
from metasearch.core.protocols import Progress
from metasearch.core.space import Fixed, Float, Space
from metasearch.core.sweep import Budget, Resources, Sweep
from metasearch.core.task import Task
from metasearch.store.archive import Store
from metasearch.testing.runners import CurveRunner
from tests.cluster.nodes import nodes

pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.timeout(120)]

GIB = 2.0**30
GREEDY = 3


class OutOfMemoryError(RuntimeError):
    """As torch's is called."""


class Metered(CurveRunner):
    """Reports 5 GiB of a GPU of 80. One trial needs more than it gets, unless it gets a whole GPU."""

    def advance(self) -> Progress:
        share = ray.get_runtime_context().get_assigned_resources()["GPU"]
        if self.assignment.trial == GREEDY and share < 1:
            raise OutOfMemoryError("CUDA out of memory")
        progress = super().advance()
        used = {"peak_memory": 5 * GIB, "gpu_memory": 80 * GIB, "share": float(share)}
        return replace(progress, metrics={**progress.metrics, **used})


class Silent:
    def tick(self, history: History, busy: int, slots: int) -> str | None:
        return None


def test_trials_share_a_gpu_by_their_memory_and_one_that_needs_more_gets_it_whole(tmp_path: Path) -> None:
    sweep = Sweep(
        "packed",
        Task("bowl"),
        Space.of(model=Fixed("lstm"), kind=Fixed("a"), x=Float(0.0, 1.0)),
        horizon=3,
        reports=3,
        budget=Budget(trials=6),
        resources=Resources(cpu=1.0, gpu=1.0, gpu_memory="auto"),
        max_failures=0,
        settings={"sleep": 0.3},
    )
    store = Store(str(tmp_path))
    with nodes({"num_cpus": 2, "num_gpus": 1}) as cluster, tune.cluster(cluster.address), store.open_log("packed") as log:
        engine = Engine.open(sweep, catalog.build_searcher("random"), catalog.build_scheduler("fifo"), log, time.time())
        tune.run(engine, store.url, Metered, Silent())
    facts, history = list(store.facts("packed")), store.history("packed")
    assert [trial.state for trial in history] == [State.COMPLETED] * 6
    assert [(fact.trial, fact.error) for fact in facts if isinstance(fact, Failed)] == [
        (GREEDY, f"{OUT_OF_MEMORY}: CUDA out of memory")
    ]
    assert [fact.trial for fact in facts if isinstance(fact, Thawed)] == [GREEDY]
    shares = {(fact.trial, fact.metrics["share"]) for fact in facts if isinstance(fact, Reported)}
    assert shares == {(number, 1.0 if number in (0, GREEDY) else 0.125) for number in range(6)}
    begins = next(number for number, fact in enumerate(facts) if isinstance(fact, Proposed) and fact.trial == 2)
    ends = max(number for number, fact in enumerate(facts) if isinstance(fact, Reported) and fact.trial == 1)
    assert begins < ends, "they share the GPU"
