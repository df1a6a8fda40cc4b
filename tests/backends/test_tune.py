"""Sweeps on a real Ray cluster, with every fault a worker can have."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metasearch import catalog
from metasearch.backends import tune
from metasearch.backends.simulated import simulate
from metasearch.backends.tune import driver
from metasearch.core.audit import audit
from metasearch.core.engine import Engine
from metasearch.core.errors import UserError
from metasearch.core.event import Action, Directive, Failed, Judged, Proposed, Reported, Thawed, Verdict
from metasearch.core.history import PREEMPTED, History, State, Trial
from metasearch.core.protocols import MemoryLog, Scheduler, Searcher
from metasearch.core.space import Choice, Fixed, Float, Space
from metasearch.core.sweep import Budget, Resources, Sweep
from metasearch.core.task import Task
from metasearch.store.archive import Store
from metasearch.store.checkpoints import Checkpoints
from metasearch.testing.curves import BowlCurves
from metasearch.testing.runners import CurveRunner

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("ray_cluster")]

SPACE = Space.of(kind=Choice(("a", "b")), x=Float(0.0, 1.0))


class Silent:
    def tick(self, history: History, busy: int, slots: int) -> str | None:
        assert busy <= slots
        return None


class StopAfter:
    """Asks for the end once so many reports are in."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def tick(self, history: History, busy: int, slots: int) -> str | None:
        return "enough" if history.steps_spent >= self.steps else None


def question(space: Space = SPACE, trials: int = 4, **changes: Any) -> Sweep:
    sweep = Sweep("bowl", Task("bowl"), space, horizon=9, reports=9, budget=Budget(trials=trials), seed=3)
    return replace(sweep, **changes)


def run(
    store: Store,
    sweep: Sweep,
    searcher: Searcher | str = "random",
    scheduler: Scheduler | str = "fifo",
    observer: Any = None,
    **options: Any,
) -> History:
    searcher = catalog.build_searcher(searcher) if isinstance(searcher, str) else searcher
    scheduler = catalog.build_scheduler(scheduler) if isinstance(scheduler, str) else scheduler
    with store.open_log(sweep.name) as log:
        engine = Engine.open(sweep, searcher, scheduler, log, time.time())
        if engine.history.facts > 1:
            engine.resume(time.time())
        tune.run(engine, store.url, CurveRunner, observer or Silent(), **options)
    assert not audit(store.facts(sweep.name), searcher, scheduler)
    return store.history(sweep.name)


@pytest.fixture()
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def reported(store: Store, trial: int) -> list[int]:
    return [f.step for f in store.facts("bowl") if isinstance(f, Reported) and f.trial == trial]


def test_a_sweep_runs_to_its_end_with_all_slots(store: Store) -> None:
    history = run(store, question(trials=6))
    assert [trial.state for trial in history] == [State.COMPLETED] * 6
    assert history.closed == "all 6 trials ended"
    assert all(trial.steps == list(range(1, 10)) for trial in history)


@pytest.mark.parametrize("scheduler", ["asha", "asha_promotion", "hyperband", "median"])
def test_ray_decides_what_the_simulator_decides(store: Store, scheduler: str) -> None:
    sweep = question(trials=9)
    run(store, sweep, "tpe", scheduler, concurrency=1)
    log = MemoryLog()
    simulate(Engine.open(sweep, catalog.build_searcher("tpe"), catalog.build_scheduler(scheduler), log, 0.0), BowlCurves(), 1)
    decisions = [
        [_timeless(f) for f in facts if isinstance(f, Proposed | Judged | Thawed)] for facts in (log.read(), store.facts("bowl"))
    ]
    assert decisions[0] == decisions[1]
    assert any(getattr(f, "action", None) in (Action.STOP, Action.PAUSE) and f.step < 9 for f in decisions[0])


def _timeless(fact: Any) -> Any:
    return replace(fact, time=0.0)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("raise", "ValueError: the trial's own code is broken"),
        ("memory", "MemoryError"),
        ("die", "the worker process died"),
        ("hang", "no report for 2 s: killed"),
        ("end", PREEMPTED),
    ],
)
def test_a_trial_that_fails_goes_on_from_its_checkpoint(store: Store, fault: str, error: str) -> None:
    space = Space.of(fault=Fixed(fault), x=Float(0.0, 1.0))
    history = run(store, question(space, trials=2, settings={"fault_step": 4}), silence_limit=2.0 if fault == "hang" else None)
    for trial in history:
        assert trial.state is State.COMPLETED
        assert trial.leg == 1
        assert len(trial.errors) == 1
        assert error in trial.errors[0]
        assert reported(store, trial.number) == list(range(1, 10))


def test_a_trial_that_keeps_failing_is_given_up_and_the_sweep_goes_on(store: Store) -> None:
    space = Space.of(fault=Choice(("always raise", "none")), x=Float(0.0, 1.0))
    history = run(store, question(space, trials=6, max_failures=1))
    by_fault = {fault: {t.state for t in history if t.config["fault"] == fault} for fault in ("always raise", "none")}
    assert by_fault == {"always raise": {State.FAILED}, "none": {State.COMPLETED}}
    assert all(len(trial.errors) == 2 for trial in history if trial.state is State.FAILED)
    tracebacks = [f.detail for f in store.facts("bowl") if isinstance(f, Failed)]
    assert all("_raise" in detail for detail in tracebacks)


class HalveOnce:
    """Halves the learning rate of every trial after its third report."""

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        return Verdict(Action.CONTINUE, "halve", Directive(lr_scale=0.5)) if trial.step == 3 else Verdict()

    def thaw(self, history: History, rng: np.random.Generator) -> None:
        return None


def test_a_directive_is_obeyed_from_the_next_step_on(store: Store) -> None:
    run(store, question(trials=1), scheduler=HalveOnce())
    lrs = [f.metrics["lr"] for f in store.facts("bowl") if isinstance(f, Reported)]
    assert lrs == [1.0] * 3 + [0.5] * 6


def test_a_child_starts_from_its_parents_checkpoint(store: Store) -> None:
    pbt = {"name": "pbt", "population": 4, "interval": 1, "quantile": 0.5, "mutate": ("x",)}
    history = run(store, question(trials=9), catalog.build_searcher(pbt), catalog.build_scheduler(pbt))
    children = [trial for trial in history if trial.parent is not None]
    assert children
    for child in children:
        reports = [f for f in store.facts("bowl") if isinstance(f, Reported) and f.trial == child.number]
        assert reports[0].step > child.start > 0
        assert reports[0].metrics["ancestors"] >= 1
        inherited = Checkpoints(store, "bowl").inherited(child.number)
        assert inherited is not None
        assert inherited.step == child.start


def test_of_ended_trials_only_the_best_keep_their_checkpoints(store: Store) -> None:
    first = run(store, question(trials=3), "random", "fifo", keep=2)
    checkpoints = Checkpoints(store, "bowl")
    by_loss = sorted(first, key=lambda trial: trial.best_loss)
    assert [checkpoints.newest(trial.number) is not None for trial in by_loss] == [True, True, False]
    with store.open_log("bowl") as log:
        engine = Engine.open(first.sweep, catalog.build_searcher("random"), catalog.build_scheduler("fifo"), log, time.time())
        engine.resume(time.time())
        engine.amend(replace(first.sweep, budget=Budget(trials=5)), {}, time.time())
        tune.run(engine, store.url, CurveRunner, Silent(), keep=2)
    by_loss = sorted(store.history("bowl"), key=lambda trial: trial.best_loss)
    assert [checkpoints.newest(trial.number) is not None for trial in by_loss] == [True, True, False, False, False]


def test_a_new_tuner_takes_over_without_losing_a_report(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LEGS_PER_TUNER", 3)
    history = run(store, question(trials=5))
    assert [trial.state for trial in history] == [State.COMPLETED] * 5
    assert all(reported(store, number) == list(range(1, 10)) for number in range(5))


def test_a_new_tuner_takes_over_where_no_leg_is_left_running(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LEGS_PER_TUNER", 4)
    history = run(store, replace(question(trials=6), reports=1))
    assert [trial.state for trial in history] == [State.COMPLETED] * 6 and history.closed == "all 6 trials ended"


def test_a_stopped_sweep_goes_on_where_it_was(store: Store) -> None:
    slow = question(trials=4, settings={"sleep": 0.05})
    first = run(store, slow, observer=StopAfter(10))
    assert first.closed == "enough"
    assert first.running
    second = run(store, slow)
    assert [trial.state for trial in second] == [State.COMPLETED] * 4
    assert all(reported(store, number) == list(range(1, 10)) for number in range(4))


def test_a_spent_budget_pauses_trials_and_a_raised_one_thaws_them(store: Store) -> None:
    first = run(store, question(trials=4, budget=Budget(steps=12)))
    assert first.closed == "the budget of the sweep is used up"
    assert {trial.state for trial in first} == {State.PAUSED, State.COMPLETED} or {trial.state for trial in first} == {State.PAUSED}
    with store.open_log("bowl") as log:
        before = first.sweep
        engine = Engine.open(before, catalog.build_searcher("random"), catalog.build_scheduler("fifo"), log, time.time())
        engine.resume(time.time())
        engine.amend(replace(before, budget=Budget(trials=3)), {"budget": ["12 steps", "3 trials"]}, time.time())
        tune.run(engine, store.url, CurveRunner, Silent())
    history = store.history("bowl")
    assert [trial.state for trial in history] == [State.COMPLETED] * len(history)
    assert all(reported(store, trial.number) == list(range(1, 10)) for trial in history)


class Broken:
    def propose(self, history: History, rng: np.random.Generator) -> None:
        raise ZeroDivisionError("a bug in a searcher")


def test_a_bug_in_an_algorithm_ends_the_sweep_and_comes_out(store: Store) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug in a searcher"):
        run(store, question(), searcher=Broken())


def test_a_trial_too_large_for_the_cluster_is_refused_with_the_remedy(store: Store) -> None:
    with pytest.raises(UserError, match="asks for 64 CPU and 0 GPU, but the cluster offers 2 CPU"):
        run(store, question(resources=Resources(cpu=64)))


def test_divergence_is_an_outcome(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space.of(x=Float(0.0, 1.0), fault=Fixed("none"))
    history = run(store, question(space, trials=2, settings={"diverge_at": 5}))
    assert [trial.state for trial in history] == [State.DIVERGED] * 2
    assert all(trial.steps == [1, 2, 3, 4, 5] and math.isinf(trial.losses[-1]) for trial in history)
