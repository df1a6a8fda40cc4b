"""Whole simulated sweeps over synthetic curves with a known optimum: each algorithm beats what it must beat, by a stated margin."""

from __future__ import annotations

from functools import cache
from statistics import fmean

import pytest

from metasearch import catalog
from metasearch.core.history import History, State
from metasearch.core.space import Space
from metasearch.core.sweep import Budget
from metasearch.testing.contract import make_sweep, run_sweep
from metasearch.testing.curves import BowlCurves, bowl
from metasearch.testing.spaces import CONDITIONAL, PLAIN

SEEDS = range(8)
NOISE = 0.02


@cache
def histories(searcher: str, scheduler: str, sweep: str) -> list[History]:
    """One history per seed."""
    sweeps = {
        "plain": make_sweep(PLAIN, trials=40, reports=1),
        "conditional": make_sweep(CONDITIONAL, trials=40, reports=1),
        "long": make_sweep(PLAIN, trials=60, horizon=270, reports=27),
        "fixed steps": make_sweep(PLAIN, horizon=270, reports=27).amended(budget=Budget(steps=12 * 270)),
    }
    algorithms = catalog.build_searcher(searcher), catalog.build_scheduler(scheduler)
    curves = BowlCurves(NOISE)
    return [History.fold(run_sweep(sweeps[sweep].amended(seed=seed), *algorithms, curves, workers=4)) for seed in SEEDS]


def nearest_to_optimum(searcher: str, space_name: str, space: Space) -> float:
    return fmean(min(bowl(space, trial.config) for trial in history) for history in histories(searcher, "fifo", space_name))


def trainings(scheduler: str) -> float:
    """Full trainings that the steps would have paid for."""
    return fmean(history.steps_spent / history.sweep.horizon for history in histories("random", scheduler, "long"))


def best_loss(searcher: str, scheduler: str, sweep: str) -> float:
    return fmean(history.best_loss for history in histories(searcher, scheduler, sweep))


@pytest.mark.parametrize("name, space", [("plain", PLAIN), ("conditional", CONDITIONAL)])
def test_tpe_comes_nearer_to_the_optimum_than_random_search(name: str, space: Space) -> None:
    assert nearest_to_optimum("tpe", name, space) < 0.6 * nearest_to_optimum("random", name, space)


@pytest.mark.parametrize("scheduler, share", [("asha", 0.15), ("asha_promotion", 0.15), ("hyperband", 0.3), ("median", 0.65)])
def test_stopping_early_costs_little_and_saves_much(scheduler: str, share: float) -> None:
    assert trainings(scheduler) < share * trainings("fifo")
    assert best_loss("random", scheduler, "long") < best_loss("random", "fifo", "long") + 2 * NOISE


@pytest.mark.parametrize("name", catalog.POPULATIONS)
def test_a_population_improves_on_training_its_members_unchanged(name: str) -> None:
    assert best_loss(name, name, "fixed steps") < best_loss("random", "fifo", "fixed steps")
    bred = [trial for history in histories(name, name, "fixed steps") for trial in history if trial.parent is not None]
    assert any(trial.state is State.COMPLETED for trial in bred)


def test_what_hyperband_pauses_is_thawed_on_its_merits() -> None:
    for history in histories("random", "hyperband", "long"):
        thawed = [trial for trial in history if trial.leg]
        assert thawed and not any(trial.state is State.PAUSED for trial in history if trial.step > history.sweep.horizon / 2)
