"""What steps cost: learned across sweeps, corrected within one, and harmless where there is nothing to learn."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest

from metasearch.backends.simulated import simulate
from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.engine import Engine
from metasearch.core.history import History
from metasearch.core.protocols import MemoryLog
from metasearch.core.rng import derive
from metasearch.core.space import Choice, Float, Int, Space
from metasearch.core.sweep import Budget
from metasearch.meta.costs import FEWEST_ROWS, MOST_ROWS, Costs, limited_by_time, paces, pack, unpack
from metasearch.meta.features import Layout, layout_of
from metasearch.search.fifo import Fifo
from metasearch.search.random import Random
from metasearch.testing.contract import make_sweep
from metasearch.testing.curves import BowlCurves

SPACE = Space.of(
    model=Choice(("lstm", "transformer")), width=Int(32, 512, log=True), dropout=Float(0.0, 0.5), lr=Float(1e-4, 1e-1, log=True)
)

Pace = Callable[[Config], float]


def true_pace(config: Config) -> float:
    """Half of what a Transformer takes, and more with the width."""
    return 1e-5 * (float(config["width"]) / 128) ** 1.3 * (2.0 if config["model"] == "transformer" else 1.0)


def past_task(name: str, pace: Pace, count: int = 20, space: Space = SPACE) -> PastTask:
    rng = derive(0, name)
    steps, trials = np.array((50, 100, 150, 200)), []
    for config in (space.sample(rng) for _ in range(count)):
        seconds = tuple((steps * pace(config)).tolist())
        trials.append(PastTrial(config, space.encode(config), tuple(steps.tolist()), (1.0,) * 4, seconds, sweep=name))
    return PastTask(name, name, 200, tuple(trials), frozenset(space.names))


def machines(tasks: int = 3, count: int = 20) -> Archive:
    """Each task ran on a machine of another speed, with a tenth of noise."""

    def on(machine: int) -> Pace:
        rng = derive(1, machine)
        return lambda config: 10.0**machine * true_pace(config) * math.exp(0.1 * rng.standard_normal())

    return Archive(tuple(past_task(f"machine {k}", on(k), count) for k in range(tasks)))


def learned(archive: Archive) -> Costs:
    return Costs.learn(archive, layout_of((trial.code for task in archive for trial in task.trials), SPACE))


def drawn(layout: Layout, count: int, seed: int = 5, space: Space = SPACE) -> tuple[list[Config], np.ndarray]:
    rng = derive(seed, "drawn")
    configs = [space.sample(rng) for _ in range(count)]
    return configs, layout.points([space.encode(config) for config in configs], space.names)


def off(costs: Costs, points_ND: np.ndarray, pace_N: np.ndarray, pace: Pace = true_pace) -> float:
    """The root mean square of how far the logs of relative costs are from the truth, after these trials of an own sweep."""
    configs, points_MD = drawn(costs.layout, 100, seed=9)
    truth = np.log([pace(config) for config in configs])
    return float(np.sqrt(np.mean((np.log(costs.conditioned(points_ND, pace_N).relative(points_MD)) - truth + truth.mean()) ** 2)))


def nothing(costs: Costs) -> tuple[np.ndarray, np.ndarray]:
    return drawn(costs.layout, 0)[1], np.zeros(0)


def test_relative_costs_are_learned_across_machines() -> None:
    costs = learned(machines())
    assert costs.rows == 60
    assert off(costs, *nothing(costs)) < 0.1, "the truth spreads by more than 1"
    _, points_MD = drawn(costs.layout, 50)
    relative_M = costs.conditioned(*nothing(costs)).relative(points_MD)
    assert np.log(relative_M).mean() == pytest.approx(0.0, abs=1e-12)


def test_own_trials_correct_what_is_different_on_this_machine() -> None:
    def here(config: Config) -> float:
        return 300.0 * true_pace(config) / (4.0 if config["model"] == "transformer" else 1.0)

    costs = learned(machines())
    configs, points_ND = drawn(costs.layout, 60)
    pace_N = np.array([here(config) for config in configs])
    before, few, many = (off(costs, points_ND[:count], pace_N[:count], here) for count in (0, 10, 60))
    assert before > few > many and many < 0.15


def test_without_history_own_trials_alone_teach_it() -> None:
    costs = Costs().on(layout_of((), SPACE))
    configs, points_ND = drawn(costs.layout, 60)
    pace_N = np.array([true_pace(config) for config in configs])
    _, points_MD = drawn(costs.layout, 30, seed=9)
    for few in (0, FEWEST_ROWS - 1):
        assert np.array_equal(costs.conditioned(points_ND[:few], pace_N[:few]).relative(points_MD), np.ones(30))
    assert off(costs, points_ND, pace_N) < 0.2


def test_few_past_trials_teach_nothing() -> None:
    costs = learned(machines(tasks=1, count=FEWEST_ROWS - 1))
    assert costs.rows == 0 and not costs.mean_F.any()
    assert learned(Archive()).rows == 0


def test_a_config_that_the_past_never_had_costs_as_the_others_until_it_is_seen() -> None:
    wider = Space.of(model=Choice(("gru", "lstm", "transformer")), width=Int(32, 512, log=True), extra=Float(0.0, 1.0))
    old = learned(machines())
    costs = old.on(layout_of((), wider, old.layout))
    codes = [{"model": model, "width": 7.0} for model in ("gru", "lstm", "transformer")]
    points_MD = costs.layout.points(codes, wider.names)
    gru, lstm, transformer = costs.conditioned(points_MD[:0], np.zeros(0)).relative(points_MD)
    assert lstm < gru < transformer
    again = old.on(costs.layout).on(old.layout)
    assert np.array_equal(again.mean_F, old.mean_F) and np.array_equal(again.covariance_FF, old.covariance_FF)
    assert old.on(old.layout) is old


def test_trials_that_waited_hardly_matter() -> None:
    def waiting(config: Config) -> float:
        return true_pace(config) * (50.0 if next(waits) % 7 == 0 else 1.0)

    waits = iter(range(10_000))
    costs = learned(Archive((past_task("a", waiting, 40), past_task("b", waiting, 40))))
    assert off(costs, *nothing(costs)) < 0.25, "with Gaussian noise it is 0.5"
    configs, points_ND = drawn(costs.layout, 40)
    pace_N = np.array([waiting(config) for config in configs])
    assert off(costs, points_ND, pace_N) < 0.25


def test_one_report_that_waited_does_not_change_what_a_trial_cost() -> None:
    (task,) = machines(tasks=1)
    late = [PastTrial(t.config, t.code, t.steps, t.losses, (*t.costs[:3], t.costs[3] + 1e3), sweep=t.sweep) for t in task.trials]
    again = PastTask(task.id, task.name, task.horizon, tuple(late), task.names)
    assert np.allclose(learned(Archive((task,))).mean_F, learned(Archive((again,))).mean_F)


@pytest.mark.parametrize("pace", [lambda config: 1.0, lambda config: 0.0, lambda config: math.nan], ids=["steps", "zero", "nan"])
def test_costs_that_say_nothing_leave_every_config_equal(pace: Pace) -> None:
    costs = learned(Archive((past_task("a", pace), past_task("b", pace))))
    configs, points_ND = drawn(costs.layout, 30)
    found = costs.conditioned(points_ND, np.array([pace(config) for config in configs])).relative(points_ND)
    assert np.allclose(found, 1.0, atol=1e-6)


def test_a_large_archive_is_learned_from_in_part() -> None:
    costs = learned(machines(tasks=3, count=400))
    assert costs.rows == MOST_ROWS


def test_costs_are_packed_as_arrays() -> None:
    for costs in (learned(machines()), Costs(), learned(Archive())):
        again = unpack(pack(costs), costs.layout)
        assert (again.usual, again.rows, again.variances) == (costs.usual, costs.rows, costs.variances)
        assert np.array_equal(again.mean_F, costs.mean_F) and np.array_equal(again.covariance_FF, costs.covariance_FF)


def test_a_decision_can_afford_it() -> None:
    costs = learned(machines())
    configs, points_ND = drawn(costs.layout, 300)
    _, points_MD = drawn(costs.layout, 500)
    pace_N = np.array([true_pace(config) for config in configs])
    took = []
    for _ in range(20):
        began = time.perf_counter()
        costs.conditioned(points_ND, pace_N).relative(points_MD)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.02, "it takes 1 ms; the rest is for a busy machine"


def simulated(**limits: float) -> History:
    sweep = make_sweep(SPACE, trials=4).amended(budget=Budget(**limits))  # type: ignore[arg-type]
    engine = Engine.open(sweep, Random(), Fifo(), MemoryLog(), 0.0)
    simulate(engine, BowlCurves(), 2)
    return engine.history


def test_the_paces_of_a_sweep_are_those_of_its_trials() -> None:
    history = simulated(trials=3)
    assert np.array_equal(paces(history), [trial.seconds / trial.step for trial in history])
    history.trials[0].steps.clear()
    assert np.isnan(paces(history)[0])


@pytest.mark.parametrize(
    ("limits", "by_time"),
    [
        ({"trials": 3}, False),
        ({"steps": 500}, False),
        ({"wall_seconds": 400.0}, True),
        ({"cpu_hours": 0.1}, True),
        ({"steps": 500, "wall_seconds": 1e9}, False),
        ({"steps": 10**9, "wall_seconds": 400.0}, True),
        ({"trials": 100, "wall_seconds": 400.0}, True),
    ],
    ids=str,
)
def test_time_matters_where_the_tightest_limit_is_in_seconds(limits: dict[str, float], by_time: bool) -> None:
    assert limited_by_time(simulated(**limits)) is by_time
