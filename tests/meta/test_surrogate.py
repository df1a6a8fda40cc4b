"""The surrogate: what main effects say, and that they are learned."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metasearch.core.archive import Archive
from metasearch.core.config import Config
from metasearch.core.rng import derive
from metasearch.core.space import Float, Int, Space
from metasearch.meta.features import layout_of
from metasearch.meta.surrogate import Belief, Kernel, Places, Rows
from metasearch.meta.theta import learn
from tests.meta.archives import drawn_task

SPACE = Space.of(dropout=Float(0.0, 0.5), depth=Int(1, 8))
LAYOUT = layout_of((), SPACE)
ONLY_MAINS = Kernel({}, {}, mean=0.0, shared=0.0, own=0.0, response=0.0, own_response=0.0, level=0.0, mains={"dropout": 0.2})


def points(*configs: tuple[float, int]) -> np.ndarray:
    return LAYOUT.points([SPACE.encode(Config({"dropout": dropout, "depth": depth})) for dropout, depth in configs], SPACE.names)


def foreseen(kernel: Kernel, *configs: tuple[float, int]) -> np.ndarray:
    """After one result, of another task, at a dropout of 0.1 and a depth of 1."""
    rows = Rows(points((0.1, 1)), np.ones(1), np.zeros(1), np.zeros(1, dtype=int), np.zeros((1, 0)), np.zeros(1))
    places = Places(kernel, LAYOUT, rows, np.zeros(0))
    places.add(points(*configs), np.zeros(len(configs)))
    return places.mean


def test_a_main_effect_holds_whatever_the_other_parameters_are() -> None:
    same, elsewhere, far = foreseen(ONLY_MAINS, (0.1, 1), (0.1, 8), (0.5, 1))
    assert same > 0.9
    assert elsewhere == pytest.approx(same)
    assert far < 0.5 * same


def test_what_a_task_has_for_itself_is_not_carried_over() -> None:
    whole = foreseen(ONLY_MAINS, (0.1, 8))
    half = foreseen(Kernel(**{**ONLY_MAINS.record(), "own_main": 1.0}), (0.1, 8))
    assert half == pytest.approx(whole / 2, rel=0.02)


def test_parameters_that_matter_get_larger_main_effects() -> None:
    tasks = (drawn_task(f"task {k}", SPACE, lambda config: 3.0 + abs(float(config["dropout"]) - 0.2)) for k in range(3))
    kernel = learn(Archive(tuple(tasks)), derive(0, "learn")).kernel
    assert kernel is not None
    assert kernel.mains["dropout"] > 3 * kernel.mains["depth"]


def test_added_places_and_foreseen_ones_are_believed_alike() -> None:
    tasks = (drawn_task(f"task {k}", SPACE, lambda config: 3.0 + abs(float(config["dropout"]) - 0.2)) for k in range(3))
    theta = learn(Archive(tuple(tasks)), derive(0, "learn"))
    rows = theta.rows(LAYOUT)
    assert rows is not None
    assert theta.kernel is not None
    places, doubt = Places(theta.kernel, LAYOUT, rows, theta.place({})), np.zeros(2)
    asked = points((0.2, 1), (0.45, 7))
    foreseen_ones = places.foreseen(asked, doubt)
    places.add(asked, doubt)
    assert places.mean == pytest.approx(foreseen_ones.mean)
    assert np.sqrt(places.variance) == pytest.approx(foreseen_ones.deviation)


def test_places_that_are_kept_are_believed_as_before() -> None:
    rows = Rows(points((0.1, 1)), np.ones(1), np.zeros(1), np.zeros(1, dtype=int), np.zeros((1, 0)), np.zeros(1))
    kernel = Kernel({}, {}, mains={"dropout": 0.2})
    places = Places(kernel, LAYOUT, rows, np.zeros(0))
    places.add(points((0.2, 1), (0.3, 2), (0.4, 4), (0.5, 8)), np.linspace(0.0, 1.0, 4))
    seen, z, variance, wanted = np.array([3, 1]), np.array([0.5, -0.5]), np.array([0.1, 0.2]), np.array([2, 3])
    before = places.believe(seen, z, variance, wanted)
    places.keep(np.array([3, 2, 1]))
    places.add(points((0.0, 3)), np.zeros(1))
    after = places.believe(np.array([0, 2]), z, variance, np.array([1, 0]))
    assert after.mean == pytest.approx(before.mean)
    assert after.deviation == pytest.approx(before.deviation)


def test_with_smaller_deviations_what_is_known_to_be_good_promises_more_than_what_is_not_known() -> None:
    belief, cost = Belief(np.array([0.5, 0.3]), np.array([0.1, 0.6])), np.ones(2)
    assert np.argmax(belief.expected_improvement(0.45, cost)) == 1
    assert np.argmax(belief.expected_improvement(0.45, cost, deviations=0.4)) == 0


@pytest.mark.parametrize("slope", [-0.25, 0.25])
def test_how_far_the_best_learning_rate_moves_is_learned_beside_main_effects(slope: float) -> None:
    def loss(config: Config) -> float:
        return 3.0 + (math.log10(float(config["lr"])) + 3 - slope * (config["depth"] - 4)) ** 2

    space = Space.of(lr=Float(1e-5, 1e-1, log=True), depth=Int(1, 8))
    kernel = learn(Archive(tuple(drawn_task(f"task {k}", space, loss) for k in range(3))), derive(0, "learn")).kernel
    assert kernel is not None
    assert set(kernel.mains) == {"lr", "depth"}
    assert kernel.offsets["depth"] * math.copysign(1, slope) > 0.2


def test_how_far_ahead_of_the_best_is_what_their_joint_distribution_says() -> None:
    kernel = Kernel({"dropout": 2.0, "depth": 1.0}, {}, mean=0.0, level=0.3, noise=0.01)
    places = Places(kernel, LAYOUT, None, np.zeros(0))
    places.add(points((0.1, 1), (0.2, 3), (0.4, 6), (0.2, 3), (0.25, 3), (0.5, 8)), np.zeros(6))
    seen, z, variance, wanted = np.arange(3), np.array([0.3, 0.9, 0.5]), np.full(3, 0.05), np.arange(3, 6)
    ahead, believed = places.ahead(seen, z, variance, wanted), places.believe(seen, z, variance, np.arange(6))
    prior = places._covariances(np.arange(6), np.arange(6))
    joint = prior - prior[:, :3] @ np.linalg.inv(prior[:3, :3] + np.diag(variance + kernel.noise)) @ prior[:3]
    assert ahead.mean == pytest.approx(believed.mean[3:] - believed.mean[1])
    assert ahead.deviation**2 == pytest.approx(np.diag(joint)[3:] + joint[1, 1] - 2 * joint[3:, 1], abs=1e-7)
    assert ahead.deviation[0] < 1e-3 < 0.1 < believed.deviation[3], "a copy of the best is not ahead of it"
    assert ahead.deviation[0] < ahead.deviation[1] < believed.deviation[4] < ahead.deviation[2]
