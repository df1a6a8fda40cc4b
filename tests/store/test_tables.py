"""Recorded curves from published tables and from our own store."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metasearch.core.errors import UserError
from metasearch.core.space import Choice, Fixed, Float, Int
from metasearch.core.task import Task
from metasearch.store import Store
from metasearch.store.tables import read_curve_table, table_tasks
from tests.store.strategies import whole_sweep
from tests.store.test_views import sweep_of, write

PUBLISHED = sorted(Path(os.environ["METASEARCH_CURVES"]).glob("*.parquet")) if os.environ.get("METASEARCH_CURVES") else []


def table(tmp_path: Path, **columns: list[Any]) -> Path:
    path = tmp_path / "table.parquet"
    count = len(columns["curve"])
    common = {"task": ["it"] * count, "config_id": list(range(count)), "hp_lr": [0.1 * (k + 1) for k in range(count)]}
    pq.write_table(pa.table({**common, **columns}), path)
    return path


def only(path: Path) -> tuple[list[int], list[float], list[float]]:
    (recording,) = read_curve_table(path, "it").recordings.values()
    return recording.steps, recording.losses, recording.costs


def test_a_curve_without_steps_counts_its_points(tmp_path: Path) -> None:
    assert only(table(tmp_path, curve=[[3.0, 2.0]], cost_per_step=[5.0])) == ([1, 2], [3.0, 2.0], [5.0, 10.0])
    assert only(table(tmp_path, curve=[[3.0]])) == ([1], [3.0], [1.0])
    assert only(table(tmp_path, curve=[[3.0, 2.0]], cost_per_step=pa.array([None], pa.float64()))) == (
        [1, 2],
        [3.0, 2.0],
        [1.0, 2.0],
    )


def test_costs_are_totals_unless_they_fall_anywhere_in_the_table(tmp_path: Path) -> None:
    curves = [[3.0, 2.0], [3.0, 2.0]]
    totals = read_curve_table(table(tmp_path, curve=curves, cost=[[5.0, 7.0], [1.0, 1.5]]), "it")
    assert [r.costs for r in totals.recordings.values()] == [[5.0, 7.0], [1.0, 1.5]]
    singles = read_curve_table(table(tmp_path, curve=curves, cost=[[5.0, 7.0], [2.0, 1.5]]), "it")
    assert [r.costs for r in singles.recordings.values()] == [[5.0, 12.0], [2.0, 3.5]]


def test_a_curve_ends_where_it_diverged(tmp_path: Path) -> None:
    steps, losses, costs = only(table(tmp_path, curve=[[3.0, None, 2.0]]))
    assert steps == [1, 2] and costs == [1.0, 2.0] and losses[0] == 3.0 and math.isnan(losses[1])
    assert math.isnan(only(table(tmp_path, curve=[[3.0, 9.0]], diverged=[True]))[1][-1])
    assert only(table(tmp_path, curve=[[3.0, 9.0]], diverged=[False]))[1] == [3.0, 9.0]


def test_steps_must_rise_from_above_zero(tmp_path: Path) -> None:
    assert only(table(tmp_path, curve=[[4.0, 3.0, 2.5, 2.0]], step=[[0.0, 5.0, 5.0, 9.0]]))[:2] == ([5, 9], [3.0, 2.0])


def test_rows_without_a_curve_are_left_out(tmp_path: Path) -> None:
    path = table(tmp_path, curve=pa.array([[1.0], [], None], pa.list_(pa.float64())))
    assert len(read_curve_table(path, "it").recordings) == 1


def test_the_space_is_as_narrow_as_the_table(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        curve=[[1.0]] * 3,
        hp_lr=[0.01, 0.02, 0.04],
        hp_ratio=[1.0, 20.0, 100.0],
        hp_rate=[0.0, 0.5, 1.0],
        hp_width=[32, 64, 128],
        hp_depth=[1, 2, 3],
        hp_momentum=[0.9, None, 0.99],
        hp_name=["a", "b", None],
        hp_flag=[True, False, True],
        hp_same=[7, 7, 7],
        hp_absent=pa.nulls(3, pa.float64()),
    )
    recorded = read_curve_table(path, "it")
    assert {p.name: p.domain for p in recorded.space} == {
        "lr": Float(0.01, 0.04, log=True),
        "ratio": Float(1.0, 100.0, log=True),
        "rate": Float(0.0, 1.0),
        "width": Int(32, 128, log=True),
        "depth": Int(1, 3),
        "momentum": Float(0.9, 0.99, complement=True),
        "name": Choice(("a", "b")),
        "flag": Choice((True, False)),
        "same": Fixed(7),
    }
    assert set(recorded.space.candidates) == {recording.config for recording in recorded.recordings.values()}
    assert all(recorded.space.project(candidate) == candidate for candidate in recorded.space.candidates)


def test_of_equal_configs_the_first_counts(tmp_path: Path) -> None:
    assert only(table(tmp_path, curve=[[3.0], [2.0]], hp_lr=[0.1, 0.1]))[1] == [3.0]


def test_a_table_with_missing_columns_names_all_of_them(tmp_path: Path) -> None:
    pq.write_table(pa.table({"task": ["it"], "loss": [1.0]}), tmp_path / "table.parquet")
    with pytest.raises(UserError, match="Columns found: task, loss") as error:
        read_curve_table(tmp_path / "table.parquet", "it")
    assert error.value.faults == ("config_id", "curve", "hp_<name> (at least one parameter)")


def test_faulty_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no curve table"):
        table_tasks(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(UserError, match=r"not a readable Parquet file"):
        table_tasks(tmp_path / "text.parquet")
    with pytest.raises(UserError, match=r'no task "its".*Did you mean "it"'):
        read_curve_table(table(tmp_path, curve=[[1.0]]), "its")
    with pytest.raises(UserError, match=r"config 0: .*equally long, found 2, 1 and 2"):
        read_curve_table(table(tmp_path, curve=[[1.0, 2.0]], step=[[1.0]]), "it")
    with pytest.raises(UserError, match="nothing to simulate over"):
        read_curve_table(table(tmp_path, curve=pa.array([[]], pa.list_(pa.float64()))), "it")


@pytest.mark.skipif(not PUBLISHED, reason="the published tables are not on this machine")
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_tables_can_be_read(path: Path) -> None:
    task = table_tasks(path)[-1]
    recorded = read_curve_table(path, task)
    assert len(recorded.recordings) > 3 and recorded.task_name == task and recorded.horizon >= 1
    for recording in recorded.recordings.values():
        assert all(a < b for a, b in zip([0, *recording.steps], recording.steps, strict=False))
        assert all(a <= b for a, b in zip(recording.costs, recording.costs[1:], strict=False))
        assert all(math.isfinite(loss) for loss in recording.losses[:-1])


def test_own_trials_can_be_simulated_over(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, again = ({"lr": 0.1}, [3.0, 2.0]), ({"lr": 0.1}, [4.0, 3.0, 2.5])
    write(store, "one", sweep_of("one", Task("text"), first, ({"lr": 0.2}, [2.0, math.nan])))
    write(store, "two", sweep_of("two", Task("text"), again))
    recorded = store.recorded("text")
    assert [r.losses[0] for r in recorded.recordings.values()] == [4.0, 2.0], "the longest of equal configs counts"
    longest = next(iter(recorded.recordings.values()))
    assert (longest.steps, longest.losses, longest.costs) == ([10, 20, 30], [4.0, 3.0, 2.5], [1.0, 2.0, 3.0])
    with pytest.raises(UserError, match=r'no trials of a task "txt"'):
        store.recorded("txt")


def test_a_simulated_sweep_can_be_simulated_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, "contract", whole_sweep())
    recorded = store.recorded("bowl")
    assert {candidate.id for candidate in recorded.space.candidates} == recorded.recordings.keys()
