"""Searches over recorded curves: what they cost is counted in full trainings, and what they find is what was recorded."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metasearch.core.errors import UserError
from metasearch.core.rng import derive
from metasearch.sweep.simulation import replay

POINTS = 9


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    """60 configs of which the learning rate decides; the optimum is at 1e-2."""
    path = tmp_path_factory.mktemp("tables") / "curves.parquet"
    lr_C = 10.0 ** derive(0, "lr").uniform(-5, 0, 60)
    curves = [list(1.0 + abs(np.log10(lr) + 2) + 2.0 / np.arange(1, POINTS + 1)) for lr in lr_C]
    names = [f"c{i}" for i in range(60)]
    columns = {"task": ["digits"] * 60, "config_id": names, "hp_lr": lr_C, "curve": curves, "cost_per_step": [1.0] * 60}
    pq.write_table(pa.table(columns), path)
    return f"{path}:digits"


def lowest(target: str) -> float:
    table = pq.read_table(target.removesuffix(":digits"))
    return min(min(curve) for curve in table["curve"].to_pylist())


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize(
    ("searcher", "scheduler"), [("random", "fifo"), ("random", "asha"), ("tpe", "hyperband"), ("sobol", "median")]
)
def test_a_search_spends_its_budget_and_its_best_never_gets_worse(target: str, searcher: str, scheduler: str, workers: int) -> None:
    found = replay(target, searcher=searcher, scheduler=scheduler, workers=workers, budget=6, seed=1)
    spent, best = zip(*found.trajectory, strict=True)
    assert list(spent) == sorted(spent)
    assert 6 <= spent[-1] <= 6 + workers
    assert list(best) == sorted(best, reverse=True)
    assert 0 <= found.normalised_regret <= 1
    assert found.decisions == len(found.seconds_deciding) >= found.trials


def test_a_budget_for_everything_finds_the_best_that_was_recorded(target: str) -> None:
    found = replay(target, searcher="random", scheduler="fifo", budget=60, seed=0)
    assert found.trials == 60
    assert found.trajectory[-1][1] == lowest(target)
    assert found.normalised_regret == 0.0


def test_the_same_seed_gives_the_same_trajectory_and_another_seed_another(target: str) -> None:
    first, second, other = (replay(target, searcher="tpe", scheduler="asha", budget=10, seed=seed) for seed in (3, 3, 4))
    assert first.trajectory == second.trajectory != other.trajectory


def test_stopping_early_finds_more_than_training_everything_in_full(target: str) -> None:
    def regret(scheduler: str) -> float:
        return statistics.mean(
            replay(target, searcher="random", scheduler=scheduler, budget=4, seed=s).normalised_regret for s in range(12)
        )

    assert regret("asha") < 0.9 * regret("fifo")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("nothing", "A target is written FILE.parquet:TASK or STORE:TASK"),
        ("none/here:task", "There is no store at none/here"),
        ("none.parquet:task", "none.parquet"),
    ],
)
def test_a_target_that_is_not_there_is_one_clear_message(wrong: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        replay(wrong, searcher="random", scheduler="fifo")


def test_an_unknown_task_names_the_ones_that_are_there(target: str) -> None:
    with pytest.raises(UserError, match="digits"):
        replay(f"{Path(target.removesuffix(':digits'))}:digit", searcher="random", scheduler="fifo")


def test_numbers_that_do_not_work_are_refused_together(target: str) -> None:
    with pytest.raises(UserError) as raised:
        replay(target, searcher="random", scheduler="fifo", workers=0, budget=-1)
    assert len(raised.value.faults) == 2
