"""The greedy portfolio: what it chooses, and what it does when there is nothing to choose from."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest

from metasearch import catalog
from metasearch.core.archive import Archive
from metasearch.core.config import Config
from metasearch.core.history import History
from metasearch.core.protocols import Searcher
from metasearch.core.rng import derive
from metasearch.core.space import Choice, Float, Space
from metasearch.meta.portfolio import META, Portfolio, PortfolioSearcher, greedy, regrets
from metasearch.search.fifo import Fifo
from metasearch.search.random import Random
from metasearch.testing.contract import SearcherContract, make_sweep, run_sweep
from metasearch.testing.curves import BowlCurves
from metasearch.testing.spaces import CONDITIONAL, PLAIN, SPACES
from tests.meta.archives import bowls, drawn_task, past_task

RNG = np.random.default_rng(0)


def learned(archive: Archive) -> PortfolioSearcher:
    return META.build(META.learn(META.init(RNG), archive, RNG))


@pytest.mark.parametrize("known", [Archive(), bowls(CONDITIONAL)], ids=["nothing known", "bowls known"])
class TestPortfolioIsASearcher(SearcherContract):
    @pytest.fixture
    def searcher(self, known: Archive) -> Searcher:
        return learned(known)


def swept(searcher: Searcher, space: Space = PLAIN, trials: int = 8, seed: int = 0) -> History:
    sweep = make_sweep(space, trials=trials).amended(seed=seed)
    return History.fold(run_sweep(sweep, searcher, Fifo(), BowlCurves(), workers=1))


def test_it_is_known_by_its_name() -> None:
    assert "portfolio" in catalog.metas() and catalog.load_meta("portfolio") is META


def test_of_configs_that_cover_different_tasks_both_are_taken() -> None:
    regret_TC = np.array([[0.0, 0.9, 0.4], [0.9, 0.0, 0.4], [0.8, 0.1, 0.4]])
    assert greedy(regret_TC, 5) == [1, 0]
    assert greedy(regret_TC, 1) == [1]


def test_a_config_that_never_beats_the_median_is_still_better_than_nothing() -> None:
    assert greedy(np.ones((2, 3)), 5) == [0]


def test_regret_is_one_at_the_median_and_above() -> None:
    losses = {0.1: 1.0, 0.2: 2.0, 0.3: 3.0, 0.4: 9.0, 0.5: math.nan}
    task = past_task("it", PLAIN, [Config({"dropout": x}) for x in losses], lambda config: losses[float(config["dropout"])])
    assert regrets(task).tolist() == [0.0, 0.5, 1.0, 1.0, 1.0]


def test_tasks_with_other_configs_vote_by_their_neighbours() -> None:
    """No config was tried on both tasks; only those near 0.5 do well on both."""
    space = Space.of(x=Float(0.0, 1.0))
    left = drawn_task("left", space, lambda config: abs(float(config["x"]) - 0.4))
    right = drawn_task("right", space, lambda config: abs(float(config["x"]) - 0.6), seed=1)
    first = META.learn(Portfolio(), Archive((left, right)), RNG).configs[0]
    assert 0.4 < float(first["x"]) < 0.6


def test_what_only_diverged_teaches_nothing() -> None:
    task = drawn_task("lost", PLAIN, lambda config: math.nan)
    assert META.learn(Portfolio(), Archive((task,)), RNG) == Portfolio()


def test_the_portfolio_comes_first_and_then_the_priors() -> None:
    portfolio = Portfolio((Config({"lr": 1e-2, "dropout": 0.1, "width": 64}), Config({"lr": 1e-3, "dropout": 0.2, "width": 32})))
    history = swept(PortfolioSearcher(portfolio), trials=4)
    assert [trial.config for trial in history.trials[:2]] == list(portfolio.configs)
    assert [trial.origin for trial in history] == ["portfolio", "portfolio", "random", "random"]


def test_a_config_of_another_space_is_completed() -> None:
    """Its learning rate is out of range, one of its parameters does not exist here, and two are missing."""
    searcher = PortfolioSearcher(Portfolio((Config({"lr": 7.0, "dropout": 0.25, "depth": 3}),)))
    config = swept(searcher, trials=1)[0].config
    assert PLAIN.check(config) == [] and config == PLAIN.default().replace(dropout=0.25)


def test_in_a_finite_space_the_nearest_candidate_left_is_tried() -> None:
    space = SPACES["finite"]
    wanted = Config({"lr": 0.9e-2, "optimizer": "sgd"})
    history = swept(PortfolioSearcher(Portfolio((wanted, wanted))), space, trials=2)
    assert [trial.config["optimizer"] for trial in history] == ["sgd", "sgd"]
    assert history[0].config["lr"] == pytest.approx(1e-2) and history[0].config != history[1].config


def test_without_sources_the_default_comes_first() -> None:
    history = swept(learned(Archive()), trials=3)
    assert history[0].config == PLAIN.default()
    assert [trial.origin for trial in history] == ["portfolio", "random", "random"]


def test_what_did_well_elsewhere_beats_random_search() -> None:
    searcher = learned(bowls(PLAIN))
    found = fmean(swept(searcher, seed=seed).best_loss for seed in range(5))
    drawn = fmean(swept(Random(), seed=seed).best_loss for seed in range(5))
    assert found - 1.0 < 0.9 * (drawn - 1.0)


def test_a_choice_that_always_lost_is_not_proposed() -> None:
    space = Space.of(optimizer=Choice(("good", "bad")), lr=Float(1e-4, 1e-1, log=True))
    losses = {"good": 1.0, "bad": 2.0}
    tasks = [drawn_task(f"{k}", space, lambda config: losses[str(config["optimizer"])], seed=k) for k in range(2)]
    portfolio = META.learn(Portfolio(), Archive(tuple(tasks)), derive(0))
    assert {config["optimizer"] for config in portfolio.configs} == {"good"}
