"""Sweeps with a controller, from the sweep file to what the commands say of it. Simulated, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metasearch import catalog
from metasearch.cli.controlled import control_lines, control_of, schedule_lines, schedule_of
from metasearch.cli.describe import audit_lines, plan, plan_lines
from metasearch.core.errors import UserError
from metasearch.core.event import Adopted, Proposed
from metasearch.store import Store
from metasearch.store.thetas import KeptTheta
from metasearch.sweep import learned
from metasearch.sweep.file import SweepFile
from metasearch.sweep.resolving import resolve
from metasearch.sweep.run import launch, resume
from metasearch.testing.crash import Crash
from metasearch.testing.laws import LawCurves
from metasearch.training.planned import planned
from tests.sweep.virtual import Backend, in_place_of_ray

SEARCH = {"searcher": "random", "scheduler": "fifo", "controller": "meta"}


@pytest.fixture(autouse=True)
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    with in_place_of_ray(LawCurves(planned), tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., SweepFile]:
    (tmp_path / "text.txt").write_text("a line of text\n" * 400)

    def make(name: str, **changes: Any) -> SweepFile:
        space = {
            "model": "lstm",
            "optimizer": "adamw",
            "schedule": ["constant", "cosine"],
            "lr": {"float": [3e-5, 3e-2], "log": True},
        }
        asked = {"task": {"corpus": str(tmp_path / "text.txt")}, "space": space, "unlisted": "default", "search": SEARCH}
        return SweepFile(**{"name": name, "seed": 3, "budget": {"trials": 12}, "trial": {"reports": 20}, **asked, **changes})

    return make


@pytest.fixture
def store(tmp_path: Path, file: Callable[..., SweepFile]) -> Store:
    """One earlier sweep without a controller."""
    store = Store(tmp_path / "store")
    launch(file("earlier", search={"searcher": "random", "scheduler": "fifo"}), store)
    return store


def test_a_sweep_learns_adopts_acts_and_says_so(store: Store, file: Callable[..., SweepFile]) -> None:
    history = launch(file("new", space={"lr": 3e-5, "schedule": "constant", "batch_size": [8, 16, 32]}), store).history
    facts = list(store.facts("new"))
    adopted = next(index for index, fact in enumerate(facts) if isinstance(fact, Adopted))
    assert facts[adopted].part == "optimizer" and adopted < next(i for i, fact in enumerate(facts) if isinstance(fact, Proposed))  # type: ignore[union-attr]
    told = control_of(store, history)
    assert told is not None and told["past_curves"] == 12 and sum(told["acted"].values()) > 0
    assert "knows 12 curves of 1 tasks" in control_lines(told)[0]
    lines, clean = audit_lines(store, "new")
    assert clean, lines


def test_the_schedule_that_was_really_followed_is_shown(store: Store, file: Callable[..., SweepFile]) -> None:
    history = launch(file("new", space={"lr": 3e-5, "schedule": "constant", "batch_size": [8, 16, 32]}), store).history
    steered = next(t for t in history if any(v.directive and v.directive.changes for v in t.directed.values()))
    found = schedule_of(store, "new", steered.number)
    assert {point["planned_factor"] for point in found["points"]} == {1.0}
    assert found["points"][-1]["factor"] != 1.0
    assert all(point["lr"] == pytest.approx(3e-5 * point["factor"], rel=0.02) for point in found["points"])
    assert any(": lr_scale" in line or ": begin_decay" in line for line in schedule_lines(found))


def test_decisions_after_the_driver_died_follow_from_the_log_too(
    store: Store, file: Callable[..., SweepFile], backend: Backend
) -> None:
    backend.lives = 130
    with pytest.raises(Crash):
        launch(file("new"), store)
    backend.lives = 10**9
    resume("new", store)
    lines, clean = audit_lines(store, "new")
    assert clean, lines


def test_it_goes_with_any_searcher_and_scheduler(store: Store, file: Callable[..., SweepFile]) -> None:
    both = launch(file("both", search={"searcher": "meta", "scheduler": "meta", "controller": "meta"}), store).history
    assert set(both.adopted) == {"selector", "optimizer"}
    assert set(launch(file("tpe", search={**SEARCH, "searcher": "tpe", "scheduler": "asha"}), store).history.adopted) == {
        "optimizer"
    }


def test_the_plan_names_the_controller(file: Callable[..., SweepFile], store: Store) -> None:
    sweep = resolve(file("new"))
    assert "random + fifo + meta" in "\n".join(plan_lines(sweep, plan(sweep, store)))


def test_a_mistyped_controller_is_found_with_all_other_faults(file: Callable[..., SweepFile]) -> None:
    with pytest.raises(UserError) as caught:
        resolve(file("new", search={"searcher": "tpee", "scheduler": "asha", "controller": "mate"}))
    assert 'there is no "mate". Known: meta' in str(caught.value) and "tpee" in str(caught.value)


def test_a_theta_of_another_version_is_one_clear_message(store: Store, file: Callable[..., SweepFile]) -> None:
    history = launch(file("new"), store).history
    strange = KeptTheta("optimizer", {}, {"gains": {}})
    card = store.theta_cards("optimizer")[0]
    digest = store.put_theta(strange, card)
    with pytest.raises(UserError, match="kept by another version"):
        learned.algorithms(history.sweep.search, store, {"optimizer": digest})
    told = control_of(store, history)
    assert told is not None and "trouble" not in told


def test_a_part_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match=r'no learned part "optimiser"\. Did you mean "optimizer"'):
        learned.checked_part("optimiser")
    assert learned.checked_part("optimizer") in catalog.CONTROLLERS.values()


def test_the_same_store_teaches_the_same_and_is_not_learned_twice(store: Store) -> None:
    first = learned.prepared(store, "optimizer")
    assert learned.prepared(store, "optimizer") == first
    assert learned._learned("optimizer", store.archive()).digest == first.digest
