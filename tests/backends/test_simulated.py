"""The simulator: virtual time, recorded curves, and crashes at any moment."""

from __future__ import annotations

from typing import Any

import pytest

from metasearch import catalog
from metasearch.backends.simulated import Breakdown, Curves, RecordedCurves, simulate
from metasearch.core.audit import audit
from metasearch.core.config import Config
from metasearch.core.engine import Engine
from metasearch.core.event import Closed, Failed, Judged, Opened, Proposed, Reported, Resumed, Thawed
from metasearch.core.history import History, State, Trial
from metasearch.core.protocols import MemoryLog, Progress, Scheduler, Searcher
from metasearch.core.recording import RecordedTable, Recording
from metasearch.core.space import Choice, Space
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.search.fifo import Fifo
from metasearch.search.random import Random
from metasearch.testing.contract import make_sweep, run_sweep
from metasearch.testing.crash import Crash, CrashLog
from metasearch.testing.curves import BowlCurves, Breaking, Diverging
from metasearch.testing.spaces import SPACES


def recorded(name: str, steps: list[int], losses: list[float], costs: list[float]) -> Recording:
    return Recording(Config({"optimizer": name}), steps, losses, costs)


TABLE_ROWS = [
    recorded("adam", [10, 20, 40], [3.0, 2.0, 1.5], [1.0, 2.0, 4.0]),
    recorded("sgd", [10, 20], [4.0, 3.5], [0.5, 1.0]),
    recorded("lion", [10, 20], [5.0, float("nan")], [1.0, 2.0]),
]
TABLE = RecordedTable(
    "table",
    Space(Space.of(optimizer=Choice(("adam", "sgd", "lion"))).parameters, tuple(row.config for row in TABLE_ROWS)),
    {row.config.id: row for row in TABLE_ROWS},
)


def table_sweep(**changes: Any) -> Sweep:
    return Sweep("recorded", Task("table"), TABLE.space, TABLE.horizon).amended(**changes)


def test_a_trial_reports_every_recorded_point_at_its_recorded_cost() -> None:
    facts = run_sweep(table_sweep(), Random(), Fifo(), RecordedCurves(TABLE), workers=1)
    history = History.fold(facts)
    adam = next(trial for trial in history if trial.config["optimizer"] == "adam")
    assert (adam.steps, adam.losses, adam.seconds) == ([10, 20, 40], [3.0, 2.0, 1.5], 4.0)
    assert history.time == 4.0 + 1.0 + 2.0


def test_a_trial_ends_where_its_record_ends_and_diverges_where_it_diverged() -> None:
    history = History.fold(run_sweep(table_sweep(), Random(), Fifo(), RecordedCurves(TABLE)))
    states = {trial.config["optimizer"]: trial.state for trial in history}
    assert states == {"adam": State.COMPLETED, "sgd": State.COMPLETED, "lion": State.DIVERGED}
    assert history.closed == "nothing left to try"


def test_a_child_pays_only_for_what_comes_after_its_parent() -> None:
    history = History.fold([Opened(0.0, table_sweep().record()), Proposed(0.0, 0, TABLE_ROWS[0].config, 0)])  # type: ignore[arg-type]
    history.apply(Proposed(0.0, 1, TABLE_ROWS[0].config, 0, parent=0, start=20))  # type: ignore[arg-type]
    assert RecordedCurves(TABLE).advance(history, history[1]) == Progress(40, 1.5, 2.0, {}, True)


def test_a_trial_beyond_its_record_fails_with_a_reason() -> None:
    history = History.fold([Opened(0.0, table_sweep().record()), Proposed(0.0, 0, TABLE_ROWS[1].config, 0)])  # type: ignore[arg-type]
    history.apply(Proposed(0.0, 1, TABLE_ROWS[1].config, 0, parent=0, start=20))  # type: ignore[arg-type]
    assert RecordedCurves(TABLE).advance(history, history[1]) == Breakdown(0.0, "nothing was recorded after step 20")


def test_virtual_workers_work_at_the_same_time() -> None:
    sweep = make_sweep(SPACES["fixed"], trials=8)
    one, four = (History.fold(run_sweep(sweep, Random(), Fifo(), BowlCurves(), workers)) for workers in (1, 4))
    assert one.time == pytest.approx(4 * four.time)
    assert one.steps_spent == four.steps_spent == 800


def test_news_of_the_same_moment_arrive_in_the_order_of_trials() -> None:
    facts = run_sweep(make_sweep(SPACES["fixed"], trials=4), Random(), Fifo(), BowlCurves(cost_spread=0.0), workers=4)
    numbers = [fact.trial for fact in facts if isinstance(fact, Reported)]
    assert numbers == [0, 1, 2, 3] * 10


def test_a_broken_worker_costs_a_leg_and_too_many_cost_the_trial() -> None:
    facts = run_sweep(make_sweep(trials=12), Random(), Fifo(), Breaking(BowlCurves(), 0.15))
    history = History.fold(facts)
    failures = [fact for fact in facts if isinstance(fact, Failed)]
    assert {State.COMPLETED, State.FAILED} == {trial.state for trial in history}
    assert sum(isinstance(fact, Thawed) for fact in facts) == len(failures) - history.count(State.FAILED)
    assert all(len(trial.errors) == 3 for trial in history if trial.state is State.FAILED)


def test_every_report_is_passed_on_once_it_is_judged() -> None:
    log, seen = MemoryLog(), []
    engine = Engine.open(make_sweep(), Random(), Fifo(), log, now=0.0)

    def listen(news: Reported | Failed) -> None:
        assert isinstance(log.facts[-1], Judged)
        seen.append(news)

    simulate(engine, BowlCurves(), workers=3, on_fact=listen)
    assert seen == [fact for fact in log.facts if isinstance(fact, Reported)]


def test_simulating_a_closed_sweep_adds_nothing() -> None:
    facts = run_sweep(make_sweep(), Random(), Fifo(), BowlCurves())
    log = MemoryLog(facts)
    simulate(Engine.open(make_sweep(), Random(), Fifo(), log, now=0.0), BowlCurves(), workers=3)
    assert log.facts == facts
    assert isinstance(facts[-1], Closed)


def test_an_amended_sweep_goes_on_in_virtual_time() -> None:
    sweep = make_sweep(trials=5)
    log = MemoryLog(run_sweep(sweep, Random(), Fifo(), BowlCurves()))
    engine = Engine.open(sweep, Random(), Fifo(), log, now=0.0)
    engine.amend(sweep.amended(budget=Budget(trials=9)), {"budget.trials": [5, 9]}, engine.history.time)
    simulate(engine, BowlCurves(), workers=3)
    assert [trial.state for trial in engine.history] == [State.COMPLETED] * 9


def test_trials_held_up_by_the_budget_go_on_when_it_is_raised() -> None:
    sweep = make_sweep(trials=None).amended(budget=Budget(steps=250))
    log = MemoryLog(run_sweep(sweep, Random(), Fifo(), BowlCurves(cost_spread=0.0)))
    engine = Engine.open(sweep, Random(), Fifo(), log, now=0.0)
    assert len(engine.history.paused) == 3
    engine.amend(sweep.amended(budget=Budget(steps=300, trials=3)), {}, engine.history.time)
    simulate(engine, BowlCurves(cost_spread=0.0), workers=3)
    assert [trial.state for trial in engine.history] == [State.COMPLETED] * 3


Spec = dict[str, Any]
PAIRS: list[tuple[Spec, Spec]] = [
    ({"name": "random"}, {"name": "asha"}),
    ({"name": "random"}, {"name": "asha_promotion"}),
    ({"name": "sobol"}, {"name": "median", "least": 1}),
    ({"name": "tpe", "startup": 4}, {"name": "hyperband"}),
    ({"name": "pbt", "population": 4}, {"name": "pbt", "population": 4}),
    ({"name": "grid"}, {"name": "fifo"}),
]
CRASHING_SWEEP = make_sweep(trials=10, reports=7)
CRASHING_CURVES: Curves = Breaking(Diverging(BowlCurves(noise=0.1), 0.2), 0.05)


def _finish(log: MemoryLog, searcher: Searcher, scheduler: Scheduler) -> None:
    simulate(Engine.open(CRASHING_SWEEP, searcher, scheduler, log, now=0.0), CRASHING_CURVES, workers=3)


def _run_until(at: int, durable: bool, log: MemoryLog, searcher: Searcher, scheduler: Scheduler) -> bool:
    """Runs on over ``log`` until its append number ``at`` from here; True if it died, False if it was finished before."""
    dying = CrashLog(log, at, durable)
    try:
        simulate(Engine.open(CRASHING_SWEEP, searcher, scheduler, dying, now=0.0), CRASHING_CURVES, workers=3)
    except Crash:
        return True
    return False


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("searching, scheduling", PAIRS, ids=lambda spec: spec["name"])
def test_a_crash_at_any_append_leaves_no_trace(searching: Spec, scheduling: Spec, durable: bool) -> None:
    """More than 300 crash schedules: the finished log equals the uninterrupted one, fact by fact."""
    searcher, scheduler = catalog.build_searcher(searching), catalog.build_scheduler(scheduling)
    expected = run_sweep(CRASHING_SWEEP, searcher, scheduler, CRASHING_CURVES)
    appends = sum(not isinstance(fact, Judged) for fact in expected)
    assert appends > 30
    for at in range(appends):
        log = MemoryLog()
        assert _run_until(at, durable, log, searcher, scheduler)
        _finish(log, searcher, scheduler)
        assert repr(log.facts) == repr(expected), f"died at append {at}"


@pytest.mark.parametrize("survived", [1, 4])
@pytest.mark.parametrize("searching, scheduling", PAIRS, ids=lambda spec: spec["name"])
def test_crash_after_crash_leaves_no_trace(searching: Spec, scheduling: Spec, survived: int) -> None:
    searcher, scheduler = catalog.build_searcher(searching), catalog.build_scheduler(scheduling)
    log, crashes = MemoryLog(), 0
    while _run_until(survived, crashes % 2 == 0, log, searcher, scheduler):
        crashes += 1
    assert crashes > 5
    assert repr(log.facts) == repr(run_sweep(CRASHING_SWEEP, searcher, scheduler, CRASHING_CURVES))
    assert audit(log.facts, searcher, scheduler) == []


def test_a_resumed_driver_gives_interrupted_trials_another_leg() -> None:
    """``Resumed`` is for real workers, which die with their driver; the simulator understands it all the same."""
    log = MemoryLog()
    _run_until(20, True, log, Random(), Fifo())
    engine = Engine.open(CRASHING_SWEEP, Random(), Fifo(), log, now=0.0)
    running = list(engine.history.running)
    engine.resume(engine.history.time)
    simulate(engine, CRASHING_CURVES, workers=3)
    after = log.facts[next(k for k, fact in enumerate(log.facts) if isinstance(fact, Resumed)) + 1 :]
    assert [fact.trial for fact in after if isinstance(fact, Thawed)][: len(running)] == running


class _Counting:
    """Curves that remember who asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def advance(self, history: History, trial: Trial) -> Progress:
        self.asked.append(trial.number)
        return BowlCurves().advance(history, trial)


def test_curves_are_asked_once_per_report() -> None:
    curves = _Counting()
    facts = run_sweep(make_sweep(), Random(), Fifo(), curves)
    assert len(curves.asked) == sum(isinstance(fact, Reported) for fact in facts)
