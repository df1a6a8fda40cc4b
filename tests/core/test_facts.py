"""Small certainties: random streams, sweeps as data, scales, error messages."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metasearch.core.config import Config
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.rng import derive, derive_seed
from metasearch.core.scales import Scale
from metasearch.core.sweep import Budget, Resources, Sweep
from metasearch.core.task import Task
from metasearch.testing.spaces import SPACES


def test_random_streams_never_change() -> None:
    """Golden numbers: a log of last year must audit clean. Made by ``derive_seed(0, "propose", 0)`` and so on."""
    assert derive_seed(0, "propose", 0) == 8951087981472386110
    assert derive_seed(7, "judge", 3, 1000) == 5674876739094433889
    assert derive_seed(0, "trial", 12) == 2890785250294244397
    assert derive(0, "propose", 0).random(3).tolist() == [0.7486539925569161, 0.8538702195464659, 0.58604252955222]
    assert derive(7, "judge", 3, 1000).integers(1000, size=4).tolist() == [714, 846, 411, 929]


def test_config_ids_never_change() -> None:
    assert Config({"lr": 0.001, "model": "lstm", "depth": 2, "tied": True}).id == "5bc239f083d4"
    assert Config({}).id == "b4b8bf78e9ad"


@given(st.lists(st.lists(st.one_of(st.integers(0, 20), st.text("ab\x1f1", max_size=3)), max_size=4).map(tuple), unique_by=repr))
def test_addresses_do_not_collide(addresses: list[tuple[int | str, ...]]) -> None:
    seeds = {derive_seed(0, *address) for address in addresses}
    assert len(seeds) == len(addresses)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("name", SPACES)
def test_a_sweep_survives_its_record(name: str) -> None:
    sweep = Sweep(
        "night",
        Task("stdlib", source={"corpus": "cpython"}, descriptor={"entropy": 4.5}),
        SPACES[name],
        horizon=1000,
        budget=Budget(trials=5, gpu_hours=2.5),
        resources=Resources(cpu=2.0, gpu=0.5, memory=10**9),
        search={"searcher": {"name": "tpe", "startup": 5}},
        settings={"batch_size": 16},
    )
    assert Sweep.from_record(json.loads(json.dumps(sweep.record()))) == sweep


def test_a_task_is_known_by_what_it_depends_on() -> None:
    task = Task("stdlib", source={"corpus": "cpython", "split": "abc"})
    assert Task("renamed", source={"split": "abc", "corpus": "cpython"}, descriptor={"x": 1.0}).id == task.id
    assert Task("stdlib", source={"corpus": "cpython", "split": "abd"}).id != task.id
    assert Task("stdlib", metric="val_loss", source=task.source).id != task.id


@given(st.sampled_from(Scale), st.floats(1e-6, 0.999))
def test_scales_go_both_ways(scale: Scale, number: float) -> None:
    assert scale.decode(scale.encode(number)) == pytest.approx(number)


@given(st.sampled_from(Scale), st.floats(allow_nan=False, allow_infinity=False))
def test_codes_of_any_number_are_finite(scale: Scale, number: float) -> None:
    assert math.isfinite(scale.encode(number))


def test_mistyped_names_get_a_suggestion_and_foreign_ones_the_choice() -> None:
    assert did_you_mean("adamv", ["adamw", "sgd"]) == ' Did you mean "adamw"?'
    assert did_you_mean("xyz", ["sgd", "adamw"]) == " Known: adamw, sgd."
    assert did_you_mean("xyz", []) == ""


def test_a_user_error_lists_every_fault() -> None:
    error = UserError("Two things are wrong:", ["the first", "the second"])
    assert str(error) == "Two things are wrong:\n  - the first\n  - the second"
    assert (error.message, error.faults) == ("Two things are wrong:", ("the first", "the second"))
