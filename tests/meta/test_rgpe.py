"""The ranking-weighted ensemble: its Gaussian processes, its weights, and the sweeps it makes."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest

from metasearch import catalog
from metasearch.core.archive import Archive
from metasearch.core.history import History
from metasearch.core.protocols import Searcher
from metasearch.core.rng import derive
from metasearch.core.space import Choice, Float, Space
from metasearch.meta._coordinates import Coordinates
from metasearch.meta._gaussian_process import GaussianProcess
from metasearch.meta.rgpe import META, MOST_OF_SOURCE, Rgpe, ensemble_weights, standardised
from metasearch.search.asha import Asha
from metasearch.search.fifo import Fifo
from metasearch.search.random import Random
from metasearch.testing.contract import SearcherContract, make_sweep, run_sweep
from metasearch.testing.curves import BowlCurves
from metasearch.testing.spaces import CONDITIONAL, PLAIN, SPACES
from tests.meta.archives import bowls, drawn_task

LINE = np.linspace(-2.0, 2.0, 12)[:, None]
ONE = np.zeros(1, dtype=int)


def learned(archive: Archive) -> Rgpe:
    rng = derive(0, "learn")
    return META.build(META.learn(META.init(rng), archive, rng))


@pytest.mark.parametrize("known", [Archive(), bowls(CONDITIONAL, tasks=2)], ids=["nothing known", "bowls known"])
class TestRgpeIsASearcher(SearcherContract):
    @pytest.fixture
    def searcher(self, known: Archive) -> Searcher:
        return learned(known)


def swept(searcher: Searcher, space: Space = PLAIN, trials: int = 8, seed: int = 0) -> History:
    sweep = make_sweep(space, trials=trials).amended(seed=seed)
    return History.fold(run_sweep(sweep, searcher, Fifo(), BowlCurves(), workers=1))


def test_it_is_known_by_its_name() -> None:
    assert "rgpe" in catalog.metas() and catalog.load_meta("rgpe") is META


def test_the_coordinates_tell_numbers_options_and_absence_apart() -> None:
    codes = [{"lr": -3.0, "model": "gru", "beta": 1.0}, {"lr": -1.0, "model": "lstm"}, {"lr": -301.0, "model": "gru"}]
    coordinates = Coordinates.of(codes)
    points = coordinates.points(codes)
    assert coordinates.names == ("beta", "lr", "model")
    assert coordinates.owners.tolist() == [0, 1, 2, 2]
    assert points[:, 0].tolist() == [0.0, 1.0, 1.0], "beta has one value, so only its absence tells"
    assert points[:, 1].tolist() == [-1.0, 1.0, -4.0], "the logarithm of 0 is far away and shifts nothing"
    assert points[:, 2:].tolist() == [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]


def test_parameters_that_never_vary_have_no_coordinate() -> None:
    assert Coordinates.of([{"a": 1.0, "b": "x", "c": 0.5}, {"a": 1.0, "b": "x", "c": 0.6}]).names == ("c",)
    assert Coordinates.of([{"a": 1.0}]).points([{"a": 1.0}, {}]).shape == (2, 0)


def test_a_process_goes_through_what_it_saw_and_is_unsure_elsewhere() -> None:
    process = GaussianProcess.fit(LINE, standardised(list(np.sin(LINE[:, 0]))), ONE)
    mean, variance = process.predict(LINE)
    assert np.abs(mean - process.values).max() < 0.05
    far_mean, far_variance = process.predict(np.array([[40.0]]))
    assert abs(far_mean[0]) < 0.05 and far_variance[0] > 20 * variance.max()


def test_leaving_one_out_is_what_fitting_without_it_says() -> None:
    values = standardised(list(np.sin(2 * LINE[:, 0])))
    process = GaussianProcess.fit(LINE, values, ONE)
    mean, variance = process.leave_one_out()
    kernel = process.factor @ process.factor.T
    for left_out in range(len(LINE)):
        others = np.arange(len(LINE)) != left_out
        weights = np.linalg.solve(kernel[np.ix_(others, others)], kernel[others, left_out])
        assert mean[left_out] == pytest.approx(weights @ values[others], abs=1e-6)
        expected = kernel[left_out, left_out] - weights @ kernel[others, left_out]
        assert variance[left_out] == pytest.approx(process.signal * expected, rel=1e-6)


def test_samples_have_the_mean_and_the_variance_that_are_predicted() -> None:
    process = GaussianProcess.fit(LINE[::3], standardised(list(np.sin(LINE[::3, 0]))), ONE)
    mean, variance = process.predict(LINE)
    samples = process.sample(LINE, 4000, derive(0, "samples"))
    assert np.abs(samples.mean(axis=0) - mean).max() < 0.1
    assert np.abs(samples.var(axis=0) - variance).max() < 0.1 * process.signal


def test_a_parameter_without_influence_gets_a_longer_scale() -> None:
    rng = derive(0, "points")
    points = rng.uniform(-1, 1, (60, 2))
    process = GaussianProcess.fit(points, standardised(list(np.sin(3 * points[:, 1]))), np.array([0, 1]))
    assert process.lengths[0] > 2 * process.lengths[1]


def test_losses_that_are_lost_count_as_equally_bad() -> None:
    values = standardised([1.0, 2.0, 3.0, 1e9, math.inf, math.nan])
    assert values[0] < values[1] < values[2] < values[3] == values[4] == values[5]
    assert standardised([math.inf, math.nan]).tolist() == [0.0, 0.0]
    equal = standardised([2.0, 2.0, math.inf])
    assert equal[0] == equal[1] < equal[2]


def test_a_source_that_ranks_alike_gets_the_weight_and_a_misleading_one_none() -> None:
    rng = derive(0, "weights")
    points = rng.uniform(-2, 2, (8, 1))
    values = points[:, 0] ** 2
    like = GaussianProcess.fit(LINE, standardised(list(LINE[:, 0] ** 2)), ONE)
    unlike = GaussianProcess.fit(LINE, standardised(list(-(LINE[:, 0] ** 2))), ONE)
    own = GaussianProcess.fit(points, standardised(list(values)), ONE)
    weights = ensemble_weights([unlike, like], own, rng)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] == 0.0 and weights[1] > 0.4


def test_without_sources_all_weight_is_its_own() -> None:
    own = GaussianProcess.fit(LINE, standardised(list(LINE[:, 0])), ONE)
    assert ensemble_weights([], own, derive(0)).tolist() == [1.0]


def test_a_large_source_is_thinned_and_keeps_its_best() -> None:
    task = drawn_task("large", PLAIN, lambda config: float(config["dropout"]), count=3 * MOST_OF_SOURCE)
    (kept,) = META.learn(Archive(), Archive((task,)), derive(0)).tasks
    assert len(kept.trials) == len({trial.config for trial in kept.trials}) == MOST_OF_SOURCE
    assert min(task.trials, key=lambda trial: trial.lowest) in kept.trials


def test_sources_with_too_little_are_left_out() -> None:
    task = drawn_task("small", PLAIN, lambda config: 1.0, count=2)
    assert META.learn(Archive(), Archive((task,)), derive(0)).tasks == ()


def test_history_like_the_sweep_helps_from_the_first_trial_on() -> None:
    searcher = learned(bowls(PLAIN))
    found = fmean(swept(searcher, trials=4, seed=seed).best_loss for seed in range(5))
    drawn = fmean(swept(Random(), trials=4, seed=seed).best_loss for seed in range(5))
    assert found - 1.0 < 0.5 * (drawn - 1.0)


def test_history_that_misleads_costs_little() -> None:
    misled, alone = learned(bowls(PLAIN, sign=-1.0)), learned(Archive())
    losses = [fmean(swept(searcher, trials=25, seed=seed).best_loss for seed in range(3)) for searcher in (misled, alone)]
    drawn = fmean(swept(Random(), trials=25, seed=seed).best_loss for seed in range(3))
    assert losses[0] - 1.0 < 0.75 * (drawn - 1.0)
    assert losses[0] < losses[1] + 0.1


def test_other_options_than_the_sources_had_are_survived() -> None:
    space = Space.of(optimizer=Choice(("lion", "adam")), lr=Float(1e-4, 1e-1, log=True))
    searcher = learned(Archive((drawn_task("other", SPACES["conditional"], lambda config: float(config["lr"])),)))
    history = History.fold(run_sweep(make_sweep(space, trials=10), searcher, Asha(), BowlCurves()))
    assert all(space.check(trial.config) == [] for trial in history)
