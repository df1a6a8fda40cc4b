"""Sweeps that learn from earlier ones: what they adopt, what they keep to, what they leave behind. Simulated, without Ray."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metasearch import catalog
from metasearch.cli.describe import audit_lines, plan
from metasearch.cli.learned import card_lines, evaluation_lines, reuse_lines, reuse_of
from metasearch.core.errors import UserError
from metasearch.core.event import Adopted, Opened, Proposed
from metasearch.core.task import Task
from metasearch.store import Store
from metasearch.sweep import evaluation, learned
from metasearch.sweep.file import SweepFile
from metasearch.sweep.resolving import resolve
from metasearch.sweep.run import Outcome, launch, resume
from metasearch.testing.crash import Crash
from metasearch.testing.curves import BowlCurves
from tests.store.test_past import facts_of
from tests.store.test_views import write
from tests.sweep.virtual import Backend, in_place_of_ray

META = {"searcher": "meta", "scheduler": "meta"}


def task(name: str) -> Task:
    return Task(name, source={"corpus": name}, descriptor={"size": float(len(name))})


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.troubles: list[str] = []

    def tick(self, *ignored: Any) -> str | None:
        return None

    def note(self, message: str) -> None:
        self.notes.append(message)

    def trouble(self, message: str) -> None:
        self.troubles.append(message)


@pytest.fixture(autouse=True)
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    with in_place_of_ray(BowlCurves(), tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_text("a line of text\n" * 400)
    return str(path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two sweeps over two tasks, in other spaces than the sweeps of these tests."""
    store = Store(tmp_path / "store")
    for name in ("old", "older"):
        write(store, name, facts_of(name, task=task(name), trials=8))
    return store


@pytest.fixture
def file(text: str) -> Callable[..., SweepFile]:
    def make(name: str = "new", **changes: Any) -> SweepFile:
        space = {"model": ["lstm", "gru"], "optimizer": "adamw", "lr": "search", "dropout": {"float": [0.0, 0.3]}}
        asked = {"task": {"corpus": text}, "space": space, "unlisted": "default", "search": META, "budget": {"trials": 5}}
        return SweepFile(**{"name": name, "seed": 3, **asked, **changes})

    return make


def test_a_sweep_adopts_what_all_earlier_sweeps_taught(store: Store, file: Callable[..., SweepFile]) -> None:
    heard = Heard()
    outcome = launch(file(), store, observer=heard)
    facts = list(store.facts("new"))
    assert isinstance(facts[0], Opened) and isinstance(facts[1], Adopted) and facts[1].part == "selector"
    (card,) = [card for card in store.theta_cards() if card.digest == outcome.history.adopted["selector"]]
    assert set(card.learned_from) == {"old", "older"} and (card.tasks, card.trials) == (2, 16)
    assert "learns from 16 trials of 2 tasks in 2 sweeps" in heard.notes[0] and not heard.troubles
    assert audit_lines(store, "new")[1]


def test_what_a_sweep_taught_is_there_for_the_next_one(store: Store, file: Callable[..., SweepFile]) -> None:
    launch(file("one"), store)
    newest = store.theta_cards()[0]
    assert set(newest.learned_from) == {"old", "older", "one"}
    assert newest.learned_from["one"]["trials"] == 5
    heard = Heard()
    assert launch(file("two"), store, observer=heard).history.adopted == {"selector": newest.digest}
    assert not any("learns from" in note for note in heard.notes)


def test_in_an_empty_store_a_sweep_runs_without_history(tmp_path: Path, file: Callable[..., SweepFile]) -> None:
    store = Store(tmp_path / "empty")
    outcome = launch(file(), store)
    assert len(outcome.history) == 5 and outcome.best is not None
    reuse = reuse_of(store, outcome.history)
    assert reuse is not None and reuse["past_trials"] == 0 and "history" not in reuse["by_origin"]
    assert "nothing: there were no earlier sweeps" in reuse_lines(reuse)[0]


def interrupted(backend: Backend, lives: int, start: Callable[[], Outcome]) -> None:
    backend.lives = lives
    with pytest.raises(Crash):
        start()
    backend.lives = 10**9


def test_a_resumed_sweep_keeps_to_what_it_adopted(store: Store, file: Callable[..., SweepFile], backend: Backend) -> None:
    interrupted(backend, 12, lambda: launch(file(), store))
    adopted = store.history("new").adopted["selector"]
    write(store, "later", facts_of("later", task=task("later"), trials=8))
    assert learned.prepared(store, "selector").digest == store.theta_cards()[0].digest != adopted
    outcome = resume("new", store)
    assert outcome.history.adopted["selector"] == adopted
    assert [fact.digest for fact in store.facts("new") if isinstance(fact, Adopted)] == [adopted]
    assert audit_lines(store, "new")[1]


def test_a_driver_that_died_before_it_adopted_anything_is_made_up_for(store: Store, file: Callable[..., SweepFile]) -> None:
    sweep = resolve(file())
    write(store, "new", [Opened(1.0, json.loads(json.dumps(sweep.record())))])
    with pytest.raises(UserError, match="names no theta for the meta-selector"):
        audit_lines(store, "new")
    reuse = reuse_of(store, store.history("new"))
    assert reuse is not None and "no theta was adopted yet" in reuse_lines(reuse)[0]
    assert set(resume("new", store).history.adopted) == {"selector"}


def test_a_lost_theta_is_one_clear_message_but_status_still_works(store: Store, file: Callable[..., SweepFile]) -> None:
    history = launch(file(), store).history
    digest = history.adopted["selector"]
    store.files.delete(f"thetas/{digest}.safetensors")
    with pytest.raises(UserError, match=f"no theta {digest}"):
        resume("new", store, trials="+2")
    reuse = reuse_of(store, history)
    assert reuse is not None and reuse["trouble"] and sum(row["trials"] for row in reuse["by_origin"].values()) == 5


def test_status_tells_what_was_reused_and_what_came_of_it(store: Store, file: Callable[..., SweepFile]) -> None:
    history = launch(file(), store).history
    reuse = reuse_of(store, history)
    assert reuse is not None and json.dumps(reuse)
    lines = "\n".join(reuse_lines(reuse))
    assert "16 trials of 2 tasks from 2 sweeps: " in lines and "has a say of" in lines and lines.count("trials of the guard") == 1
    assert f"{reuse['saved']['spent']:.1f} full trainings were spent; random search" in lines
    best = {origin: row["best_loss"] for origin, row in reuse["by_origin"].items()}
    assert min(best.values()) == history.best_loss
    assert set(best) == {fact.origin for fact in store.facts("new") if isinstance(fact, Proposed)}


def test_a_sweep_without_learning_adopts_nothing_and_teaches_only_where_something_was_learned(
    store: Store, file: Callable[..., SweepFile]
) -> None:
    plain = {"searcher": "random", "scheduler": "asha"}
    outcome = launch(file("one", search=plain), store)
    assert outcome.history.adopted == {} and store.theta_cards() == [] and reuse_of(store, outcome.history) is None
    learned.prepared(store, "selector")
    launch(file("two", search=plain), store)
    assert "two" in store.theta_cards()[0].learned_from
    assert audit_lines(store, "two")[1]


def test_learning_that_fails_afterwards_is_told_and_harms_nothing(
    store: Store, file: Callable[..., SweepFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*ignored: Any, **named: Any) -> Any:
        raise ValueError("no memory left")

    learned.prepared(store, "selector")
    monkeypatch.setattr(learned, "_learned", fail)
    heard = Heard()
    outcome = launch(file(search={"searcher": "random", "scheduler": "fifo"}), store, observer=heard)
    assert len(outcome.history) == 5
    assert "no memory left" in heard.troubles[0] and "metasearch meta learn --store" in heard.troubles[0]


def test_a_dry_run_shows_what_a_launch_would_start_and_writes_nothing(store: Store, file: Callable[..., SweepFile]) -> None:
    sweep = resolve(file())
    first = plan(sweep, store)["first_configs"]
    assert store.theta_cards() == [] and store.sweeps() == ["old", "older"]
    card = learned.prepared(store, "selector", ["new"])
    assert plan(sweep, store)["first_configs"] == first
    assert len(plan(sweep)["first_configs"]) == 3
    assert launch(file(), store).history.adopted["selector"] == card.digest
    assert dict(store.history("new")[0].config) == first[0]


def test_the_same_store_teaches_the_same_and_is_not_learned_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = learned.prepared(store, "selector")
    assert learned._learned("selector", store.archive()).digest == first.digest
    monkeypatch.setattr(learned, "_learned", lambda *_: pytest.fail("it was learned again"))
    assert learned.prepared(store, "selector") == first


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"searcher": "meta"}, "meta is searcher and scheduler in one: write the same in both, found meta and asha"),
        ({"searcher": "tpe", "scheduler": "meta"}, "meta is searcher and scheduler in one"),
        ({"searcher": {"name": "meta", "eta": 3}, "scheduler": {"name": "meta", "eta": 3}}, "meta has no options, found eta"),
        ({"searcher": "mta", "scheduler": "asha"}, 'Did you mean "meta"'),
    ],
)
def test_a_wrong_use_of_meta_is_one_clear_message(file: Callable[..., SweepFile], search: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve(file(search=search))


def test_where_there_is_no_store_meta_says_so() -> None:
    with pytest.raises(UserError, match=r"no store to learn from.*sweep file"):
        catalog.build_searcher("meta")


def test_an_evaluation_is_written_on_the_card_of_the_newest_theta(store: Store) -> None:
    write(store, "short", facts_of("short", task=task("short"), trials=2))
    heard: list[str] = []
    found = evaluation.evaluate(store, seeds=1, budget=4.0, note=heard.append)
    assert set(found.tasks) == {"old", "older"} and "short: left out, 2 trials" in found.skipped[0]
    assert heard[0] == found.skipped[0]
    assert set(found.regret) == {"meta", "tpe + asha", "asha"}
    assert all(set(row) == {"1", "3"} and all(0 <= regret <= 1 for regret in row.values()) for row in found.regret.values())
    card = store.theta_cards()[0]
    assert card.digest == found.digest and card.held_out == json.loads(json.dumps(found.record()))
    assert "full trainings" in "\n".join(card_lines(card)) and found.digest in evaluation_lines(found)[-1]
    assert learned.prepared(store, "selector") == card


def test_an_evaluation_needs_two_tasks(tmp_path: Path) -> None:
    store = Store(tmp_path / "one")
    write(store, "only", facts_of("only", trials=8))
    with pytest.raises(UserError, match=r"two tasks with 5 trials each are needed; the store .* has 1"):
        evaluation.evaluate(store)


def test_the_share_of_compute_is_where_the_same_mean_regret_was_first_reached() -> None:
    theirs = [[(1.0, 0.8), (4.0, 0.4), (10.0, 0.4)], [(2.0, 0.6), (10.0, 0.6)]]
    assert evaluation.share_of_compute([[(1.0, 0.7), (2.0, 0.5)]], theirs) == 2.0 / 4.0
    assert evaluation.share_of_compute([[(1.0, 0.7), (9.0, 0.6)]], theirs) is None


def test_a_theta_of_another_layout_is_one_clear_message(store: Store, file: Callable[..., SweepFile]) -> None:
    history = launch(file(), store).history
    kept = store.get_theta(history.adopted["selector"])
    newest, kept_last = store.theta_cards()[0], store.theta_cards()[0].digest
    digest = store.put_theta(replace(kept, plain={"unknown": 1}), replace(newest, time=newest.time + 1.0))
    with pytest.raises(UserError, match="kept by another version of metasearch"):
        learned.algorithms(history.sweep.search, store, {"selector": digest})
    assert learned.prepared(store, "selector").digest == kept_last, "what cannot be read is passed over"


def test_the_first_sweep_over_text_reuses_what_comes_with_the_package(
    tmp_path: Path, file: Callable[..., SweepFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METASEARCH_SHIPPED")
    store = Store(tmp_path / "empty")
    outcome = launch(file(), store)
    reuse = reuse_of(store, outcome.history)
    assert reuse is not None and reuse["past_trials"] >= 80 and reuse["by_origin"]["history"]["trials"] > 0
