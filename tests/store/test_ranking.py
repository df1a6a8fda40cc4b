"""What the best of a store stands on: seeds, noise between them, ties, and equal budgets."""

from __future__ import annotations

import math
from typing import Any

import pytest

from metasearch.core.config import Config
from metasearch.core.errors import UserError
from metasearch.core.event import Action, Closed, Fact, Judged, Opened, Proposed, Reported, TrialId
from metasearch.core.history import DIVERGED
from metasearch.core.space import Space
from metasearch.core.sweep import Sweep
from metasearch.core.task import Task
from metasearch.store import Store
from metasearch.sweep.similar import similar_tasks
from metasearch.testing.faults import MemoryFiles
from tests.store.test_views import write

TEXT = Task("text", descriptor={"entropy": 4.5})
CODE = Task("code", source={"corpus": "stdlib"}, descriptor={"entropy": 4.7})
GENES = Task("genes", source={"corpus": "dna"}, descriptor={"entropy": 2.0})


def sweep_of(name: str, task: Task, *trials: tuple[str, int, list[float]], parameters: float = 1e3) -> list[Fact]:
    """Trials by model, seed and losses at steps 10, 20 …, each after as many seconds."""
    facts: list[Fact] = [Opened(100.0, Sweep(name, task, Space(), 1000, max_failures=0).record())]
    for index, (model, seed, losses) in enumerate(trials):
        number = TrialId(index)
        facts.append(Proposed(200.0, number, Config({"model": model}), seed, "random"))
        for point, loss in enumerate(losses, start=1):
            facts.append(Reported(200.0 + point, number, 0, 10 * point, loss, 10.0 * point, {"parameters": parameters}))
            action, reason = Action.STOP if point == len(losses) else Action.CONTINUE, "" if math.isfinite(loss) else DIVERGED
            facts.append(Judged(200.0 + point, number, 10 * point, action, reason))
    return [*facts, Closed(400.0, "done")]


def store_of(**sweeps: list[Fact]) -> Store:
    store = Store(MemoryFiles())
    for name, facts in sweeps.items():
        write(store, name, facts)
    return store


def best(store: Store, **how: Any) -> list[dict[str, Any]]:
    return store.best(**how).to_pylist()


THREE = [("lstm", 0, [2.0]), ("lstm", 1, [2.1]), ("lstm", 2, [1.9]), ("gru", 0, [2.05]), ("rnn", 0, [9.0])]


def test_a_figure_shows_its_seeds_their_mean_and_their_noise() -> None:
    first, *_, worst = best(store_of(one=sweep_of("one", TEXT, *THREE)))
    assert (first["loss"], first["seeds"], first["mean"], first["noise"]) == (1.9, 3, pytest.approx(2.0), pytest.approx(0.1))
    assert (worst["seeds"], worst["mean"], worst["noise"]) == (1, 9.0, pytest.approx(0.1)), "the noise of the task's other configs"


def test_what_differs_by_no_more_than_the_noise_is_tied_with_the_first() -> None:
    rows = best(store_of(one=sweep_of("one", TEXT, *THREE)), by="model")
    assert [(row["model"], row["tied_with"]) for row in rows] == [("lstm", None), ("gru", "one/2"), ("rnn", None)]


def test_seeds_of_other_sweeps_count_and_the_same_seed_counts_once() -> None:
    store = store_of(
        one=sweep_of("one", TEXT, ("lstm", 0, [2.0])), two=sweep_of("two", TEXT, ("lstm", 1, [2.2]), ("lstm", 0, [2.0]))
    )
    assert {row["seeds"] for row in best(store)} == {2}
    assert best(store)[0]["noise"] == pytest.approx(math.sqrt(0.02))


def test_trials_that_were_trained_longer_are_no_seeds_of_shorter_ones() -> None:
    store = store_of(one=sweep_of("one", TEXT, ("lstm", 0, [5.0]), ("lstm", 1, [5.1, 2.0])))
    assert [(row["seeds"], row["noise"]) for row in best(store)] == [(1, None)] * 2
    assert [row["seeds"] for row in best(store, at=10)] == [2, 2], "at an equal budget they are"


def test_a_task_without_two_seeds_borrows_the_noise_of_the_store_in_proportion_to_its_loss() -> None:
    store = store_of(one=sweep_of("one", TEXT, *THREE), two=sweep_of("two", CODE, ("lstm", 0, [20.0]), ("gru", 0, [60.0])))
    first, second = best(store, task="code")
    assert (first["noise"], second["noise"]) == (pytest.approx(1.0), pytest.approx(3.0)), "5 %, as on the other task"
    assert second["tied_with"] is None


def test_without_any_two_seeds_nothing_is_said_about_ties() -> None:
    rows = best(store_of(one=sweep_of("one", TEXT, ("lstm", 0, [2.0]), ("gru", 0, [2.0]))))
    assert [(row["noise"], row["tied_with"]) for row in rows] == [(None, None)] * 2


def test_the_best_at_equal_seconds_and_among_small_models() -> None:
    store = store_of(
        small=sweep_of("small", TEXT, ("lstm", 0, [3.0, 2.0])),
        large=sweep_of("large", TEXT, ("gru", 0, [4.0, 1.0]), parameters=1e6),
    )
    assert [(row["model"], row["loss"]) for row in best(store, by="model", at_seconds=15.0)] == [("lstm", 3.0), ("gru", 4.0)]
    assert [row["sweep"] for row in best(store, max_parameters=1000)] == ["small"]
    assert best(store, max_parameters=999) == []


def test_similar_tasks_come_in_order_of_their_distance() -> None:
    store = store_of(
        one=sweep_of("one", TEXT, *THREE),
        two=sweep_of("two", GENES, ("gru", 0, [1.0])),
        three=sweep_of("three", CODE, ("gru", 0, [1.0])),
    )
    found = similar_tasks(store, "text")
    assert [one.task for one in found] == ["text", "code", "genes"]
    assert found[0].distance == 0.0 < found[1].distance < found[2].distance
    ids = [one.task_id for one in found]
    assert [row["task"] for row in best(store, task=ids, top=1)] == ["text", "code", "genes"]
    with pytest.raises(UserError, match=r'"txet" is neither a task of the store nor a corpus\. Did you mean "text"'):
        similar_tasks(store, "txet")


def test_a_corpus_that_no_sweep_has_seen_may_be_the_measure(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METASEARCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "new.txt").write_text("A text that nobody has trained on, again and again. " * 200)
    described = Task("text", descriptor={"unigram_entropy": 4.0})
    store = store_of(one=sweep_of("one", described, *THREE), two=sweep_of("two", GENES, ("gru", 0, [1.0])))
    assert [one.task for one in similar_tasks(store, str(tmp_path / "new.txt"))] == ["text"], "genes share no number with it"
