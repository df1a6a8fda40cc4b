"""Learning from earlier sweeps as a user does it: on a store with two of them, and one real sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from metasearch.core.task import Task
from metasearch.store import Store
from tests.cli.place import Place, make_place
from tests.store.test_past import facts_of
from tests.store.test_views import write

pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.timeout(300)]

META = {"searcher": "meta", "scheduler": "meta"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, running_cluster: str) -> Place:
    """With two earlier sweeps and nothing learned."""
    place = make_place(tmp_path_factory.mktemp("meta"), running_cluster)
    for name in ("first", "second"):
        write(Store(place.folder / "store"), name, facts_of(name, task=Task(name, source={"corpus": name}), trials=8))
    return place


def test_what_was_learned_is_shown_and_measured(place: Place) -> None:
    assert "metasearch meta learn --store" in place.run("meta", "card", status=2)
    learned = place.json("meta", "learn")
    assert (learned["tasks"], learned["trials"], set(learned["learned_from"])) == (2, 16, {"first", "second"})
    assert f"theta {learned['digest']}: 16 trials of 2 tasks from 2 sweeps" in place.run("meta", "learn")
    assert 'There is no theta "zz"' in place.run("meta", "card", "zz", status=2)
    assert place.json("meta", "eval", "--seeds", "1", "--budget", "3", "--tasks", "1")["digest"] == learned["digest"]
    shown = place.run("meta", "card", learned["digest"][:6])
    assert learned["digest"] in shown and "tpe + asha" in shown and "Mean normalised regret over 1 tasks" in shown


def test_the_controller_learns_on_its_own_and_its_card_is_told_apart(place: Place) -> None:
    learned = place.json("meta", "learn", "optimizer")
    assert (learned["part"], learned["tasks"], learned["trials"]) == ("optimizer", 2, 16)
    shown = place.run("meta", "card", learned["digest"][:8])
    assert "for      optimizer" in shown and "meta eval" not in shown
    assert 'Did you mean "optimizer"?' in place.run("meta", "learn", "optimiser", status=2)


def test_a_trial_without_a_schedule_has_none_to_show(place: Place) -> None:
    assert "has no schedule in its config" in place.run("show", "first/0", "--schedule", status=2)
    assert "has 8 trials" in place.run("show", "first/99", "--schedule", status=2)


def test_an_evaluation_of_one_task_is_refused_with_the_remedy(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    write(Store(place.folder / "store"), "first", facts_of("first", trials=8))
    assert "two tasks with 5 trials each are needed" in place.run("meta", "eval", status=2)


def test_a_sweep_that_learns_can_be_launched_looked_at_and_audited(place: Place) -> None:
    file = place.write("new", search=META)
    first = place.json("launch", file, "--dry-run")["first_configs"][0]
    place.run("launch", file)
    assert place.json("show", "new/0")["config"] == first
    reuse = place.json("status", "new")["reuse"]
    assert reuse["past_sweeps"] == ["first", "second"] and sum(row["trials"] for row in reuse["by_origin"].values()) == 4
    assert "0 decisions that would not be made again" in place.run("audit", "new")
    assert "new" in place.json("meta", "card")["learned_from"]


def test_what_a_sweep_would_reuse_is_shown_before_it_runs(place: Place, tmp_path: Path) -> None:
    file = place.write("planned", search="meta")
    sweeps = [row["sweep"] for row in place.json("list")]
    for words in (("validate", file), ("launch", file, "--dry-run")):
        reuse = place.json(*words)["reuse"]
        assert reuse["past_sweeps"] == sweeps and reuse["past_tasks"] >= 2
        shown = place.run(*words)
        assert f"{reuse['past_trials']} trials of {reuse['past_tasks']} tasks from {len(sweeps)} sweeps: first, second" in shown
        assert "reuse      nothing: there are no earlier sweeps" in place.run(*words, "--store", str(tmp_path / "none"))
    assert place.json("validate", place.write("plain"))["reuse"] is None
