"""Our algorithms in anyone's Tuner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from metasearch.core.audit import audit
from metasearch.core.errors import UserError
from metasearch.core.event import Reported
from metasearch.core.history import State
from metasearch.core.space import Float, Space
from metasearch.ray import MetaScheduler, MetaSearcher
from metasearch.store.archive import Store

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("ray_cluster")]

SPACE = Space.of(x=Float(-1.0, 1.0))
HORIZON = 6


def train(config: dict[str, Any]) -> None:
    for step in range(1, HORIZON + 1):
        tune.report({"score": -abs(config["x"]) - 1 / step})


class Counter(tune.Trainable):
    """A user's trainable that can be paused: it counts its steps."""

    def setup(self, config: dict[str, Any]) -> None:
        self.x, self.count = config["x"], 0

    def step(self) -> dict[str, Any]:
        self.count += 1
        return {"loss": abs(self.x) + 1 / self.count, "count": self.count}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "count.json").write_text(json.dumps(self.count))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        self.count = json.loads(Path(checkpoint_dir, "count.json").read_text())


def broken(config: dict[str, Any]) -> None:
    tune.report({"loss": 1.0})
    raise RuntimeError("out of luck")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    monkeypatch.setenv("RAY_AIR_NEW_OUTPUT", "0")


def fit(trainable: Any, searcher: MetaSearcher, folder: Path, samples: int = -1) -> None:
    tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(search_alg=searcher, scheduler=MetaScheduler(searcher), num_samples=samples),
        run_config=tune.RunConfig(storage_path=str(folder / "ray"), verbose=0),
    ).fit()


def test_a_function_trainable_is_searched_and_stored(tmp_path: Path) -> None:
    searcher = MetaSearcher(
        SPACE, horizon=HORIZON, metric="score", mode="max", trials=5, store=str(tmp_path / "store"), name="mine"
    )
    fit(train, searcher, tmp_path)
    store = Store(str(tmp_path / "store"))
    history = store.history("mine")
    assert len(history) == 5
    assert history.closed == "all 5 trials ended"
    assert {trial.state for trial in history} <= {State.COMPLETED, State.STOPPED}
    assert history.best_loss == min(trial.best_loss for trial in history) > 0
    assert not audit(store.facts("mine"), searcher.desk.engine.searcher, searcher.desk.engine.scheduler)


def test_trials_that_a_scheduler_pauses_are_thawed_from_their_own_checkpoint(tmp_path: Path) -> None:
    searcher = MetaSearcher(
        SPACE,
        horizon=HORIZON,
        searcher="random",
        scheduler={"name": "asha_promotion", "eta": 2, "grace": 1},
        trials=6,
        store=str(tmp_path / "store"),
        name="paused",
    )
    fit(Counter, searcher, tmp_path)
    facts = [fact for fact in Store(str(tmp_path / "store")).facts("paused") if isinstance(fact, Reported)]
    assert any(fact.leg > 0 for fact in facts)
    assert all(fact.metrics["count"] == fact.step for fact in facts)


def test_a_trainable_that_fails_for_good_is_a_failed_trial(tmp_path: Path) -> None:
    searcher = MetaSearcher(SPACE, horizon=HORIZON, trials=2, searcher="random", scheduler="fifo")
    fit(broken, searcher, tmp_path)
    history = searcher.desk.engine.history
    assert [trial.state for trial in history] == [State.FAILED] * 2
    assert [trial.errors for trial in history] == [["RuntimeError: out of luck"]] * 2


def test_a_trainable_that_ends_early_has_completed(tmp_path: Path) -> None:
    searcher = MetaSearcher(SPACE, horizon=100, metric="score", mode="max", trials=2, searcher="random", scheduler="fifo")
    fit(train, searcher, tmp_path)
    assert [trial.state for trial in searcher.desk.engine.history] == [State.COMPLETED] * 2


def test_population_based_training_is_refused_with_the_reason() -> None:
    pbt = {"name": "pbt", "population": 2, "interval": 1, "quantile": 0.5}
    with pytest.raises(UserError, match="copies weights between trials"):
        MetaSearcher(SPACE, horizon=HORIZON, searcher=pbt, scheduler=pbt)


def test_options_that_do_not_work_are_refused() -> None:
    with pytest.raises(UserError, match='must be "min" or "max", found "low"'):
        MetaSearcher(SPACE, horizon=1, mode="low")
    with pytest.raises(UserError, match=r'There is no searcher "tpee". Did you mean "tpe"\?'):
        MetaSearcher(SPACE, horizon=1, searcher="tpee")
