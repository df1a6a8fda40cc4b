"""A kernel that one sweep's own results speak for: which parameters matter, and how much is noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad

from metasearch.core.rng import derive
from metasearch.core.space import Choice, Float, Space
from metasearch.meta._tuning import FEWEST_RESULTS, Results, _Problem
from metasearch.meta.features import layout_of
from metasearch.meta.theta import plain_kernel

SPACE = Space.of(kind=Choice(("a", "b")), x=Float(0.0, 1.0), y=Float(0.0, 1.0), idle=Float(0.0, 1.0))
LAYOUT = layout_of((), SPACE)
KERNEL = plain_kernel(LAYOUT)


def results(count: int, seed: int, noise: float = 0.02) -> Results:
    """Steep in x, gentle in y, nothing in the rest."""
    rng = derive(seed, "tuning")
    configs = [SPACE.sample(rng) for _ in range(count)]
    value = [np.sin(7.0 * c["x"]) + 0.3 * c["y"] for c in configs]  # type: ignore[operator]
    points = LAYOUT.points([SPACE.encode(config) for config in configs], SPACE.names)
    z = 0.3 * np.array(value) + noise * rng.standard_normal(count)
    return Results(points, rng.uniform(0.0, 0.5, count), z, np.full(count, 1e-4), 0.2)


@pytest.mark.parametrize("count", [12, 90])
def test_the_gradient_is_that_of_the_posterior(count: int) -> None:
    problem = _Problem(KERNEL, LAYOUT, results(count, 0))
    for k in range(3):
        at = 0.5 * derive(k, "at").standard_normal(len(problem.spread_H))
        off = check_grad(lambda x: problem.loss(x)[0], lambda x: problem.loss(x)[1], at, epsilon=1e-6)
        assert off < 1e-3 * max(1.0, float(np.linalg.norm(problem.loss(at)[1])))


def test_what_matters_gets_a_shorter_length_scale_and_others_are_foretold_better() -> None:
    better = []
    for seed in range(5):
        seen, other = results(30, seed), results(60, seed + 100)
        kernel = seen.tuned(KERNEL, LAYOUT)
        assert kernel.weights["x"] > 1.5 * kernel.weights["idle"]
        wrong = [np.var(seen.ahead_by(k, LAYOUT, other.points_ND, other.doubt_N).mean - other.z_N) for k in (KERNEL, kernel)]
        better.append(wrong[1] / wrong[0])
    assert np.median(better) < 0.7


def test_few_results_change_nothing() -> None:
    assert results(FEWEST_RESULTS - 1, 0).tuned(KERNEL, LAYOUT) == KERNEL
