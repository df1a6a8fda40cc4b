"""Contracts of a schedule, and the values that the formulas give."""

import math

import pytest

from tests.training.trials import plugin, plugins

SCHEDULES = plugins("schedule")


def build(name, **changes):
    module = plugin("schedule", name)
    return module.build({**module.SPACE.default(), **changes})


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_config_gives_a_factor_between_0_and_1_all_the_way(name):
    module = plugin("schedule", name)
    for config in module.SPACE.grid(3):
        schedule = module.build(config)
        factors = [schedule(k / 50, [3.0, 2.0, 2.0]) for k in range(51)]
        assert all(0.0 <= factor <= 1.0 for factor in factors), config


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_factor_is_1_when_the_warm_up_ends(name):
    assert build(name, warmup=0.25)(0.25, ()) == pytest.approx(1.0)


@pytest.mark.parametrize("name", sorted(set(SCHEDULES) - {"one_cycle"}))
def test_the_warm_up_is_linear(name):
    assert build(name, warmup=0.25)(0.125, ()) == 0.5


@pytest.mark.parametrize(
    ("name", "config", "progress", "factor"),
    [
        ("constant", {"warmup": 0.0}, 0.0, 1.0),
        ("constant", {"warmup": 0.1}, 1.0, 1.0),
        ("linear", {"warmup": 0.2, "final_factor": 0.1}, 0.6, 0.55),
        ("linear", {"warmup": 0.2, "final_factor": 0.1}, 1.0, 0.1),
        ("cosine", {"warmup": 0.0, "final_factor": 0.2}, 0.5, 0.6),
        ("cosine", {"warmup": 0.5, "final_factor": 0.0}, 0.625, 0.5 * (1 + math.cos(math.pi / 4))),
        ("cosine", {"warmup": 0.1, "final_factor": 0.2}, 1.0, 0.2),
        ("warmup_stable_decay", {"warmup": 0.1, "decay": 0.4, "final_factor": 0.0}, 0.59, 1.0),
        ("warmup_stable_decay", {"warmup": 0.1, "decay": 0.4, "final_factor": 0.0}, 0.8, 0.5),
        ("warmup_stable_decay", {"warmup": 0.1, "decay": 0.4, "final_factor": 0.3}, 1.0, 0.3),
        ("inverse_square_root", {"warmup": 0.25}, 1.0, 0.5),
        ("one_cycle", {"warmup": 0.3}, 0.0, 1 / 25),
        ("one_cycle", {"warmup": 0.3}, 0.15, (1 + 1 / 25) / 2),
        ("one_cycle", {"warmup": 0.3}, 1.0, 1e-5),
    ],
)
def test_the_factor_follows_the_formula(name, config, progress, factor):
    assert build(name, **config)(progress, ()) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("val_losses", "factor"),
    [
        ((), 1.0),
        ((4.0, 3.0, 2.0), 1.0),
        ((4.0, 3.0, 3.0), 1.0),
        ((4.0, 3.0, 3.0, 3.0), 0.5),
        ((4.0, 3.0, 3.0, 3.0, 2.0, 2.5), 0.5),
        ((4.0, 3.0, 3.0, 3.0, 3.0, 3.0), 0.25),
        ((4.0, 3.9999, 3.9998), 0.5),
    ],
)
def test_a_plateau_of_two_reports_halves_the_factor(val_losses, factor):
    assert build("reduce_on_plateau", reduction=0.5, patience=2)(0.9, val_losses) == factor
