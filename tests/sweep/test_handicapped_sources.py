"""Sources that know less than the target: some parameters are unknown to them, or their trials lie elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metasearch.core.errors import UserError
from metasearch.core.rng import derive
from metasearch.sweep.simulation import replay
from metasearch.sweep.sources import LEARNING_RATES, Sources, distant, read_sources, read_target

TARGET, OTHERS = "0m", 4
BEST = -2.0
"""Decimal logarithm of the learning rate at which the target is best."""


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Five tasks of 80 configs each with three numbers and a choice, of which the learning rate matters most; the path."""
    columns: dict[str, list[Any]] = {name: [] for name in ("task", "config_id", "hp_lr", "hp_wd", "hp_dropout", "hp_kind", "curve")}
    for task in range(OTHERS + 1):
        rng = derive(task, "family")
        for index in range(80):
            lr, wd, dropout, kind = rng.uniform(-5, 0), 10.0 ** rng.uniform(-6, -2), rng.uniform(0, 0.5), int(rng.integers(3))
            loss = 1.0 + abs(lr - BEST) + dropout + 0.1 * kind
            row = (f"{task}m", index, 10.0**lr, wd, dropout, "abc"[kind], [loss + 2.0 / step for step in range(1, 6)])
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
    path = tmp_path_factory.mktemp("tables") / "family.parquet"
    pq.write_table(pa.table({**columns, "cost_per_step": [1.0] * len(columns["task"])}), path)
    return str(path)


def sources(family: str, **handicaps: Any) -> Sources:
    usual = {"trials": 30, "corrupt": "none", "descriptors": True, "seed": 0}
    return read_sources([f"{family}:*"], f"{family}:{TARGET}", **{**usual, **handicaps})


@pytest.mark.parametrize(("share", "hidden"), [(0.01, 1), (0.33, 1), (0.5, 2), (0.99, 3)])
def test_every_source_lacks_a_share_of_the_parameters_but_never_all(family: str, share: float, hidden: int) -> None:
    whole, partial = sources(family), sources(family, lacking=share)
    assert partial.names == whole.names
    for task, known in zip(partial.archive, whole.archive, strict=True):
        missing = known.names - task.names
        assert len(missing) == hidden
        for trial, before in zip(task.trials, known.trials, strict=True):
            assert trial.losses == before.losses
            assert set(trial.config) == set(before.config) - missing
            assert trial.code == {name: code for name, code in before.code.items() if name not in missing}


def test_what_a_source_lacks_differs_by_task_and_seed_alone(family: str) -> None:
    def known(seed: int) -> list[frozenset[str]]:
        return [task.names for task in sources(family, lacking=0.5, seed=seed).archive]

    assert known(0) == known(0) != known(1)
    assert len(set(known(0))) > 1


def test_shifted_sources_all_end_a_decade_short_of_the_target_s_best(family: str) -> None:
    found = sources(family, shifted=True)
    codes = [float(trial.code["lr"]) for task in found.archive for trial in task.trials]
    assert len(found.archive) == OTHERS
    assert max(codes) < BEST - 0.7, "the lower side has more trials"
    assert len(codes) > 60


def test_shifted_sources_keep_as_many_trials_as_they_are_allowed(family: str) -> None:
    assert [len(task.trials) for task in sources(family, shifted=True, trials=5).archive] == [5] * OTHERS


def test_a_target_without_decades_of_learning_rates_has_no_shifted_sources(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    columns = {"task": ["a", "a", "b", "b"], "config_id": [0, 1, 0, 1], "hp_dropout": [0.1, 0.2, 0.1, 0.2], "curve": [[1.0]] * 4}
    pq.write_table(pa.table({**columns, "cost_per_step": [1.0] * 4}), path)
    with pytest.raises(UserError, match=f"none of {', '.join(LEARNING_RATES)} varies by decades"):
        read_sources([f"{path}:b"], f"{path}:a", trials=3, corrupt="none", descriptors=True, seed=0, shifted=True)


def test_sources_that_are_all_too_near_cannot_be_shifted(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    columns = {"task": ["a", "a", "b", "b"], "config_id": [0, 1, 0, 1], "hp_lr": [0.01, 0.02, 0.01, 0.02], "curve": [[1.0]] * 4}
    pq.write_table(pa.table({**columns, "cost_per_step": [1.0] * 4}), path)
    with pytest.raises(UserError, match="no trial of theirs lies a decade from lr"):
        read_sources([f"{path}:b"], f"{path}:a", trials=3, corrupt="none", descriptors=True, seed=0, shifted=True)


def test_a_task_with_nothing_far_away_is_left_out(family: str) -> None:
    whole, table = list(sources(family).archive), read_target(f"{family}:{TARGET}")
    near = [trial for trial in whole[0].trials if abs(float(trial.code["lr"]) - BEST) < 0.5]
    kept = distant([type(whole[0])(**{**vars(whole[0]), "trials": tuple(near)}), *whole[1:]], table)
    assert not kept[0].trials
    assert all(task.trials for task in kept[1:])


@pytest.mark.parametrize("searcher", ["portfolio", "rgpe", "meta"])
@pytest.mark.parametrize("handicap", [{"lacking": 0.5}, {"shifted": True}, {"lacking": 0.34, "shifted": True, "corrupt": "mixed"}])
def test_learned_searchers_cope_with_handicapped_sources(family: str, searcher: str, handicap: dict[str, Any]) -> None:
    found = replay(f"{family}:{TARGET}", searcher=searcher, sources=[f"{family}:*"], source_trials=10, budget=2, **handicap)
    assert found.learned and found.trials > 1
    assert len(found.sources) == OTHERS


def test_a_share_of_all_parameters_is_refused(family: str) -> None:
    with pytest.raises(UserError, match=r"lacking share must be from 0 up to, but not, 1, found 1\.0"):
        replay(f"{family}:{TARGET}", searcher="portfolio", lacking=1.0)
