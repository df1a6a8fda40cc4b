from __future__ import annotations

import math
from pathlib import Path

import pytest

from metasearch.core.archive import Archive, together
from metasearch.core.errors import UserError
from metasearch.core.rng import derive
from metasearch.meta import shipped
from metasearch.meta.theta import Theta, learn
from metasearch.testing.spaces import CONDITIONAL
from tests.meta.archives import bowls


@pytest.fixture(autouse=True)
def _as_users_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(shipped.VARIABLE, raising=False)


def test_every_shipped_task_can_be_learned_from_and_says_nothing_of_initial_weights() -> None:
    archive = shipped.trials_of("language_model")
    assert len({task.id for task in archive}) >= 4 and len({task.horizon for task in archive}) >= 3
    for task in archive:
        assert task.descriptor and "init" not in task.names
        assert sum(math.isfinite(trial.lowest) for trial in task.trials) >= 8
        assert all("init" not in trial.config and "init" not in trial.code for trial in task.trials)


def test_structures_are_ranked_by_the_best_shipped_trials_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every text those of the others, and several structures of one strategy; unless something else is to be known."""
    known = {(task.id, task.horizon): task for task in shipped.trials_of("language_model")}
    again = shipped.crossed()
    both = together([*known.values(), *again])
    assert len(both) == len(known) and both.trials == sum(len(task.trials) for task in known.values()) + again.trials
    for task in again:
        strategies = [{**trial.config, "depth": 0, "width": 0} for trial in task.trials]
        assert max(map(strategies.count, strategies)) >= 5
        elsewhere = {trial.config["lr"] for other in known.values() if other.id != task.id for trial in other.trials}
        assert len({trial.config["lr"] for trial in task.trials} & elsewhere) >= 20
    monkeypatch.setenv(shipped.VARIABLE, "none")
    assert len(shipped.crossed()) == 0


def test_only_language_models_are_told_of_them() -> None:
    assert len(shipped.trials_of("own")) == 0


def test_they_can_be_left_out_or_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shipped.VARIABLE, "none")
    assert len(shipped.trials_of("language_model")) == 0
    known = bowls(CONDITIONAL, tasks=2)
    shipped.write(known, tmp_path / "own.json.gz")
    monkeypatch.setenv(shipped.VARIABLE, str(tmp_path / "own.json.gz"))
    read = shipped.trials_of("language_model")
    assert [task.name for task in read] == [task.name for task in known]
    for one, other in zip(read, known, strict=True):
        assert [dict(trial.code) for trial in one.trials] == [dict(trial.code) for trial in other.trials]
        assert [trial.lowest for trial in one.trials] == pytest.approx([trial.lowest for trial in other.trials], abs=1e-5)
    assert isinstance(learn(Archive(tuple(read)), derive(0, "shipped")), Theta)


def test_a_file_that_holds_none_is_one_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("hello")
    monkeypatch.setenv(shipped.VARIABLE, str(tmp_path / "x"))
    with pytest.raises(UserError, match="cannot be read as shipped trials"):
        shipped.trials_of("language_model")
