"""Trials that somebody else runs: asked for, told, failed, forgotten, and asked for by many at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from metasearch.core.audit import audit
from metasearch.core.errors import UserError
from metasearch.core.event import Directive
from metasearch.core.history import State
from metasearch.store.archive import Store
from metasearch.sweep import asking
from metasearch.sweep.asking import AskTell
from metasearch.sweep.file import OwnSweep
from metasearch.sweep.learned import algorithms

FIFO = {"searcher": "random", "scheduler": "fifo"}


def sweep(**changes: Any) -> OwnSweep:
    mine: dict[str, Any] = {
        "name": "mine",
        "task": {"name": "toy"},
        "space": {"x": {"float": [0, 1]}},
        "search": FIFO,
        "budget": {"trials": 3},
        "trial": {"steps": 9},
    }
    return OwnSweep(**{**mine, **changes})


@pytest.fixture()
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.mark.parametrize("search", [FIFO, {"searcher": "tpe", "scheduler": "asha"}, {"searcher": "meta", "scheduler": "meta"}])
def test_a_sweep_is_asked_and_told_to_its_end_and_passes_its_audit(store: Store, search: dict[str, Any]) -> None:
    with AskTell(sweep(search=search, budget={"trials": 4}), store) as asked:
        while (trial := asked.ask()) is not None:
            for step in range(trial.step + 1, trial.steps + 1):
                if asked.tell(trial.number, step=step, loss=trial.config["x"] + 1 / step, metrics={"also": step}).stop:
                    break
        assert asked.finished in ("all 4 trials ended", "nothing left to try")
    history = store.history("mine")
    chosen = algorithms(history.sweep.search, store, history.adopted)
    assert not audit(store.facts("mine"), chosen.searcher, chosen.scheduler)
    assert len(history) == 4 and history.best is not None
    assert history.best_loss == history.best.config["x"] + 1 / history.best.step


def test_every_question_may_be_asked_by_another_process(store: Store) -> None:
    with AskTell(sweep(), store) as first:
        one = first.ask()
    with AskTell("mine", store) as second:
        two = second.ask()
        assert one is not None and two is not None
        assert (one.number, two.number) == (0, 1)
        assert second.tell(one.number, step=3, loss=1.0).action == "continue"
    with AskTell(sweep(), store) as third:
        told = third.tell(one.number, loss=0.5)
        assert (told.action, told.reason, told.stop) == ("stop", "reached the horizon", True)


def test_many_may_ask_at_once_and_each_gets_trials_of_its_own(store: Store) -> None:
    def work(worker: int) -> list[int]:
        done = []
        while True:
            with AskTell(sweep(budget={"trials": 12}), store) as search:
                trial = search.ask()
                if trial is None:
                    return done
                search.tell(trial.number, loss=trial.config["x"])
                done.append(trial.number)

    with ThreadPoolExecutor(4) as pool:
        numbers = [number for done in pool.map(work, range(4)) for number in done]
    assert sorted(numbers) == list(range(12))


def test_while_a_sweep_is_open_another_process_waits_and_then_says_who_has_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.1)
    with AskTell(sweep(), store), pytest.raises(UserError, match="is being run by pid"):
        AskTell("mine", store)


def test_a_failed_trial_is_asked_for_again_until_it_failed_too_often(store: Store) -> None:
    with AskTell(sweep(budget={"trials": 1}, trial={"steps": 9, "max_failures": 1}), store) as search:
        trial = search.ask()
        assert trial is not None
        search.tell(trial.number, step=4, loss=1.0)
        search.fail(trial.number, "Traceback …\nValueError: broken")
        again = search.ask()
        assert again is not None and (again.number, again.leg, again.step) == (0, 1, 4)
        assert search.tell(0, step=5, loss=0.1, leg=0).reason == "this leg is over"
        search.fail(again.number, "broken again")
        assert search.ask() is None
        assert search.history[0].errors == ["ValueError: broken", "broken again"]
        assert search.history[0].state is State.FAILED


def test_a_trial_that_was_silent_for_too_long_is_asked_for_again(store: Store) -> None:
    with AskTell(sweep(budget={"trials": 1}, trial={"steps": 9, "silence": 0.001}), store) as search:
        trial, again = search.ask(), search.ask()
        assert trial is not None and again is not None
        assert (again.number, again.leg) == (trial.number, 1)
        assert search.history[0].errors == ["no report for 0.001 s"]


def test_a_higher_metric_wins_where_higher_is_better(store: Store) -> None:
    with AskTell(sweep(task={"name": "toy", "metric": "accuracy", "mode": "max"}), store) as search:
        for accuracy in (0.2, 0.9, float("nan")):
            trial = search.ask()
            assert trial is not None
            search.tell(trial.number, loss=accuracy)
        assert search.history.best is not None and search.history.best.number == 1
        assert search.history[2].state is State.DIVERGED


def test_a_spent_budget_can_be_raised(store: Store) -> None:
    with AskTell(sweep(budget={"trials": 1}), store) as search:
        search.ask()
        search.tell(0, loss=0.0)
        assert search.ask() is None and search.finished == "all 1 trials ended"
    with AskTell("mine", store, trials="+1") as search:
        trial = search.ask()
        assert trial is not None and trial.number == 1


def test_what_cannot_be_told_is_one_clear_message(store: Store) -> None:
    with AskTell(sweep(), store) as search:
        with pytest.raises(UserError, match=r"has no trials; there is no trial 0\. Ask for one first"):
            search.tell(0, loss=1.0)
        search.ask()
        with pytest.raises(UserError, match="has trials 0 to 0; there is no trial 7"):
            search.fail(7, "x")
        with pytest.raises(UserError, match="must be above 0, found 0"):
            search.tell(0, loss=1.0, step=0)


def test_a_sweep_that_cannot_be_asked_writes_nothing(store: Store) -> None:
    for wrong in ("mine", sweep(space={"x": {"flaot": [0, 1]}})):
        with pytest.raises(UserError):
            AskTell(wrong, store)
    assert not Path(store.url).exists()


def test_another_question_of_the_same_name_is_refused(store: Store) -> None:
    AskTell(sweep(), store).close()
    with pytest.raises(UserError, match=r"space.x.float: launched with \[0, 1\], now \[0, 2\]"):
        AskTell(sweep(space={"x": {"float": [0, 2]}}), store)


@pytest.mark.parametrize(("directive", "scale"), [(None, 1.0), (Directive(), 1.0), (Directive(lr_scale=0.5), 0.5)])
def test_an_answer_says_by_what_to_multiply_the_learning_rate(directive: Directive | None, scale: float) -> None:
    assert asking.Told("continue", directive=directive).lr_scale == scale
