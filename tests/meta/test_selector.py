"""The meta-selector: contracts, what history is worth, what misleading history costs, and theta as data."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from metasearch import catalog
from metasearch.core.archive import Archive, PastTask
from metasearch.core.config import Config
from metasearch.core.event import Action, Judged, Proposed
from metasearch.core.history import History, Trial
from metasearch.core.protocols import Progress, Scheduler, Searcher
from metasearch.core.rng import derive
from metasearch.core.space import Float, Space
from metasearch.core.sweep import Budget
from metasearch.meta import _ground
from metasearch.meta._guard import GUARD, HISTORY
from metasearch.meta.features import layout_of
from metasearch.meta.saving import saving
from metasearch.meta.selector import META, Selector
from metasearch.meta.theta import Theta
from metasearch.search.asha import Asha
from metasearch.search.random import Random
from metasearch.testing.contract import SchedulerContract, SearcherContract, check_decisions, make_sweep, run_sweep
from metasearch.testing.curves import BowlCurves, Breaking, Diverging, bowl
from metasearch.testing.spaces import CONDITIONAL, PLAIN, SPACES
from tests.meta.archives import bowls

EMPTY = Archive()


def learned(archive: Archive) -> Selector:
    rng = derive(0, "learn")
    return META.build(META.learn(META.init(rng), archive, rng))


def backwards(archive: Archive) -> Archive:
    """The same configs, but whoever was best has the curve of whoever was worst."""
    return Archive(tuple(replace(task, trials=_backwards(task)) for task in archive))


def _backwards(task: PastTask) -> tuple:
    ranked = sorted(task.trials, key=lambda trial: trial.lowest)
    return tuple(
        replace(trial, steps=other.steps, losses=other.losses, costs=other.costs)
        for trial, other in zip(ranked, reversed(ranked), strict=True)
    )


KNOWN = bowls(CONDITIONAL, tasks=3)
WITH, WITHOUT = learned(KNOWN), learned(EMPTY)


@pytest.mark.parametrize("selector", [WITHOUT, WITH], ids=["nothing known", "bowls known"])
class TestAsASearcher(SearcherContract):
    @pytest.fixture
    def searcher(self, selector: Selector) -> Searcher:
        return selector


@pytest.mark.parametrize("selector", [WITHOUT, WITH], ids=["nothing known", "bowls known"])
class TestAsAScheduler(SchedulerContract):
    @pytest.fixture
    def scheduler(self, selector: Selector) -> Scheduler:
        return selector


def swept(selector: Selector, space: Space = CONDITIONAL, seed: int = 0, trials: int = 10, workers: int = 1) -> History:
    sweep = make_sweep(space, trials=trials).amended(seed=seed)
    return History.fold(run_sweep(sweep, selector, selector, BowlCurves(), workers))


def mean_regret(selector: Selector, space: Space = CONDITIONAL, trials: int = 10) -> float:
    """Of the config that would be handed over, over several seeds."""
    ends = [swept(selector, space, seed, trials) for seed in range(6)]
    return float(np.mean([bowl(space, history.best.config) for history in ends if history.best is not None]))


def test_it_is_known_by_its_name() -> None:
    assert "meta" in catalog.metas() and catalog.load_meta("meta") is META


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("selector", [WITHOUT, WITH], ids=["nothing known", "bowls known"])
def test_both_faces_together_decide_the_same_when_resumed(selector: Selector, workers: int) -> None:
    curves = Breaking(Diverging(BowlCurves(noise=0.05), 0.2), 0.05)
    check_decisions(run_sweep(make_sweep(trials=15), selector, selector, curves, workers), selector, selector)


def test_history_makes_the_first_proposals_better() -> None:
    firsts = [swept(WITH, seed=seed, trials=1).trials[0].config for seed in range(5)]
    drawn = [CONDITIONAL.sample(np.random.default_rng(seed)) for seed in range(200)]
    assert np.mean([bowl(CONDITIONAL, config) for config in firsts]) < np.quantile([bowl(CONDITIONAL, c) for c in drawn], 0.1)


def test_history_shortens_a_sweep() -> None:
    assert mean_regret(WITH, trials=5) < 0.6 * mean_regret(WITHOUT, trials=5)


def test_without_history_it_is_better_than_random_search_with_asha() -> None:
    budget = replace(make_sweep(PLAIN, trials=None), budget=replace(make_sweep().budget, trials=None, steps=1000))
    ours, theirs = [], []
    for seed in range(8):
        sweep = budget.amended(seed=seed)
        for found, searcher, scheduler in ((ours, WITHOUT, WITHOUT), (theirs, Random(), Asha())):
            history = History.fold(run_sweep(sweep, searcher, scheduler, BowlCurves(), workers=1))
            assert history.best is not None
            found.append(bowl(PLAIN, history.best.config))
    assert np.mean(ours) < np.mean(theirs)


def test_new_configs_are_no_near_copies_of_earlier_ones() -> None:
    space = Space.of(**{f"p{k}": Float(0.0, 1.0) for k in range(8)})
    layout, nearest = layout_of((), space), []
    for seed in range(2):
        sweep = make_sweep(space, trials=24).amended(seed=seed)
        history = History.fold(run_sweep(sweep, WITHOUT, WITHOUT, BowlCurves(noise=0.2), workers=1))
        points = layout.points([space.encode(trial.config) for trial in history], space.names)
        apart = [np.linalg.norm(points[:k] - points[k], axis=1).min() for k in range(8, len(points))]
        nearest.append(np.quantile(apart, 0.1))
    assert min(nearest) > 0.22


def test_misleading_history_loses_its_say() -> None:
    misled, helped = learned(backwards(KNOWN)), WITH
    said = [selector.explain(swept(selector, trials=24, workers=2))["say_of_history"] for selector in (misled, helped)]
    assert said[0] < 0.35 < 0.5 < said[1]


def test_where_a_slice_is_a_whole_training_history_is_hardly_interrupted_to_measure_it() -> None:
    guards = 0
    for seed in range(3):
        sweep = make_sweep(trials=7, reports=1).amended(seed=seed)
        guards += sum(trial.origin == GUARD for trial in History.fold(run_sweep(sweep, WITH, WITH, BowlCurves(), workers=1)))
    assert guards <= 2


def test_the_guard_takes_part_and_is_named() -> None:
    history = swept(WITH, trials=24)
    origins = [trial.origin for trial in history]
    assert HISTORY in origins and GUARD in origins
    explained = WITH.explain(history)
    assert explained["past_tasks"] == 3 and explained["trials"][GUARD] == origins.count(GUARD)


def test_what_random_search_would_need_is_told_with_care() -> None:
    """Within a factor of sixteen of what it needs where that can be counted, and sooner too little than too much."""
    drawn = np.array([bowl(CONDITIONAL, CONDITIONAL.sample(np.random.default_rng(seed))) for seed in range(10_000)])
    told = {}
    for trials in (3, 12):
        history = swept(WITHOUT, trials=trials)
        found = saving(WITHOUT, history)
        assert history.best is not None and found is not None and found.at_random is not None
        needed = 1 / np.mean(drawn <= bowl(CONDITIONAL, history.best.config))
        assert found.spent == history.steps_spent / history.sweep.horizon
        assert needed / 16 < found.at_random < 4 * needed
        told[trials] = found.at_random
    assert told[12] > 2 * told[3]
    assert saving(WITHOUT, swept(WITHOUT, trials=0)) is None


def test_every_pause_is_for_something_that_starts_next() -> None:
    """With one worker, what a judgement paused for is what runs next, not the same trial again."""
    facts = run_sweep(make_sweep(trials=12), WITH, WITH, BowlCurves(), workers=1)
    for fact, following in itertools.pairwise(facts):
        if isinstance(fact, Judged) and fact.action is Action.PAUSE and not isinstance(following, Proposed):
            assert getattr(following, "trial", None) != fact.trial


class OddAreWorse:
    """Every second trial ends worse than its config would tell."""

    def advance(self, history: History, trial: Trial) -> Progress:
        progress = BowlCurves().advance(history, trial)
        return replace(progress, loss=progress.loss + 0.3 * (trial.number % 2))


def test_of_young_trials_that_history_likes_those_that_are_ahead_go_on() -> None:
    def share_of_even(seed: int) -> float:
        sweep = replace(make_sweep(CONDITIONAL, trials=None).amended(seed=seed), budget=Budget(steps=200))
        history = History.fold(run_sweep(sweep, WITH, WITH, OddAreWorse(), 1))
        steps = [[t.step for t in history if t.origin == HISTORY and t.number % 2 == odd] for odd in (0, 1)]
        return sum(steps[0]) / (sum(steps[0]) + sum(steps[1]))

    assert np.mean([share_of_even(seed) for seed in range(6)]) > 0.74


def test_trials_without_hope_are_not_trained_to_the_end() -> None:
    history = swept(WITHOUT, trials=30)
    assert history.steps_spent < 0.85 * 30 * 100
    assert history.best is not None and history.best.step == 100


def test_decisions_do_not_depend_on_which_places_were_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = [trial.config for trial in swept(WITH, trials=24)]
    monkeypatch.setattr(_ground, "MOST_PLACES", 1)
    monkeypatch.setattr(_ground, "KEPT_PLACES", 1)
    assert [trial.config for trial in swept(WITH, trials=24)] == usual


def test_theta_is_data() -> None:
    arrays, plain = WITH.theta.pack()
    again = Theta.unpack(arrays, plain)
    assert again.pack()[1] == plain
    same = [run_sweep(make_sweep(trials=8), s, s, BowlCurves(), 1) for s in (WITH, Selector(again))]
    assert same[0] == same[1]


def test_spaces_that_share_little_with_the_past_still_work() -> None:
    for name, space in SPACES.items():
        assert len(swept(WITH, space, trials=4)) > 0, name


def test_tasks_with_hardly_a_result_teach_nothing() -> None:
    task = KNOWN.tasks[0]
    assert META.learn(Theta(), Archive((replace(task, trials=task.trials[:2]),)), derive(0, "x")).results == ()


def test_present_absent_and_unknown_are_three_things() -> None:
    layout = layout_of([{"lr": -3.0, "beta": 1.0}, {"lr": -1.0}])
    present, absent, unknown = (
        layout.point({"lr": -2.0, "beta": 1.0}),
        layout.point({"lr": -2.0}),
        layout.point({"lr": -2.0}, known=["lr"]),
    )
    apart = [float(np.linalg.norm(a - b)) for a, b in ((present, absent), (absent, unknown), (present, unknown))]
    assert apart[0] > 0 and apart[1] > 0 and apart[2] < apart[1]


@dataclass(frozen=True)
class SlowLstm:
    """Bowls, in which a step of an LSTM takes ten times as long."""

    def advance(self, history: History, trial: Trial) -> Progress:
        progress = BowlCurves(cost_spread=0.0).advance(history, trial)
        return replace(progress, seconds=trial.seconds + _pace(trial.config) * (progress.step - trial.step))


def _pace(config: Config) -> float:
    return 10.0 if config["model"] == "lstm" else 1.0


def slow_lstm(task: PastTask) -> PastTask:
    return replace(task, trials=tuple(replace(t, costs=tuple(_pace(t.config) * step for step in t.steps)) for t in task.trials))


def share_of_lstms(selector: Selector, budget: Budget) -> float:
    """Of what history proposed, over several seeds."""
    sweeps = [replace(make_sweep(CONDITIONAL), budget=budget, seed=seed) for seed in range(4)]
    ran = [History.fold(run_sweep(sweep, selector, selector, SlowLstm(), 1)) for sweep in sweeps]
    return float(np.mean([trial.config["model"] == "lstm" for history in ran for trial in history if trial.origin == HISTORY]))


def test_what_is_slow_is_tried_less_if_time_is_what_limits_the_sweep() -> None:
    selector = learned(Archive(tuple(map(slow_lstm, KNOWN))))
    assert share_of_lstms(selector, Budget(wall_seconds=1200.0)) < 0.7 * share_of_lstms(selector, Budget(steps=600))
