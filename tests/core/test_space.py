"""Properties of spaces, domains and configs, for any tree of conditions."""

from __future__ import annotations

import json
import math
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metasearch.core.config import Config, Value
from metasearch.core.domains import Boolean, Choice, Domain, Float, Int, Normal
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.rng import derive
from metasearch.core.space import Fixed, Parameter, Space
from metasearch.core.sweep import space_from_record, space_record
from metasearch.testing.spaces import CONDITIONAL, SPACES
from metasearch.testing.strategies import domains, floats, ints, spaces, spaces_with_configs


@given(spaces(), st.integers(0, 2**32))
def test_samples_and_defaults_are_points_of_their_space(space: Space, seed: int) -> None:
    assert space.check(space.sample(derive(seed))) == []
    assert space.check(space.default()) == []


@given(spaces_with_configs())
def test_every_point_of_the_unit_cube_is_a_config(given_pair: tuple[Space, Config]) -> None:
    space, config = given_pair
    assert space.check(config) == []
    assert {p.name for p in space.open_parameters(config)} == set(config)


@given(spaces_with_configs())
def test_completing_a_config_changes_nothing(given_pair: tuple[Space, Config]) -> None:
    space, config = given_pair
    assert space.complete(config) == config


@given(spaces(), st.dictionaries(st.sampled_from([f"p{k}" for k in range(8)]), st.sampled_from(["a", "b", 1, 2.5, True])))
def test_whatever_is_completed_is_a_point(space: Space, values: dict[str, str | float | bool]) -> None:
    assert space.check(space.complete(values)) == []


@given(spaces(most=5), st.integers(1, 3))
def test_a_grid_holds_every_config_once(space: Space, resolution: int) -> None:
    configs = list(islice(space.grid(resolution), 300))
    assert configs and len({config.id for config in configs}) == len(configs)
    assert all(space.check(config) == [] for config in configs)


@given(spaces_with_configs())
def test_what_is_missing_or_unknown_is_found(given_pair: tuple[Space, Config]) -> None:
    space, config = given_pair
    assert space.check({**config, "p_unknown": 1}) == [f'"p_unknown" is not a parameter.{did_you_mean("p_unknown", space.names)}']
    for name in config:
        rest = {key: value for key, value in config.items() if key != name}
        assert f'"{name}" is missing' in space.check(rest)


@given(spaces_with_configs())
def test_codes_are_finite_numbers_or_text(given_pair: tuple[Space, Config]) -> None:
    space, config = given_pair
    codes = space.encode(config)
    assert codes.keys() == config.keys()
    assert all(isinstance(code, str) or math.isfinite(code) for code in codes.values())


@given(spaces())
def test_a_space_survives_its_record(space: Space) -> None:
    assert space_from_record(json.loads(json.dumps(space_record(space)))) == space


@pytest.mark.parametrize("value", [False, True, 0, 0.0, "", "text"])
def test_a_fixed_value_survives_its_record_whatever_it_is(value: Value) -> None:
    space = Space.of(tied=Fixed(value))
    assert space_from_record(json.loads(json.dumps(space_record(space)))) == space


@pytest.mark.parametrize("name", SPACES)
def test_the_spaces_for_contracts_survive_their_records(name: str) -> None:
    assert space_from_record(json.loads(json.dumps(space_record(SPACES[name])))) == SPACES[name]


@given(domains(), st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=1, max_size=20))
def test_domains_map_the_unit_interval_onto_their_values(domain: Domain, units: list[float]) -> None:
    values = [domain.from_unit(u) for u in units]
    assert [domain.fault(value) for value in values] == [None] * len(units)
    assert domain.fault(domain.default) is None


@given(st.one_of(floats(), ints()), st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=2, max_size=20))
def test_numbers_rise_with_their_unit_coordinate(domain: Float | Int, units: list[float]) -> None:
    assert all(low <= high for low, high in pairwise(domain.from_unit(u) for u in sorted(units)))


@given(st.one_of(floats(), ints()), st.floats(-1e6, 1e6))
def test_the_nearest_value_is_a_value_and_its_own_nearest(domain: Float | Int, number: float) -> None:
    nearest = domain.nearest(number)
    assert domain.fault(nearest) is None
    assert domain.nearest(nearest) == pytest.approx(nearest)


def test_stepped_numbers_stay_on_their_steps() -> None:
    assert list(Float(1.0, 2.0, step=0.3).grid(5)) == [1.0, 1.3, 1.6, 1.9]
    assert Float(1.0, 2.0, step=3.0).nearest(9.0) == 1.0
    assert Float(0.0, 0.3, step=0.1).nearest(0.3) == 0.3
    assert list(Int(1, 8, step=3).grid(9)) == [1, 4, 7]


@given(st.integers(0, 7), st.sets(st.integers(0, 7), max_size=7))
def test_projection_finds_the_nearest_candidate_that_is_left(wanted: int, out: set[int]) -> None:
    space = SPACES["finite"]
    assert space.project(space.candidates[wanted]) == space.candidates[wanted]
    without = {space.candidates[k].id for k in out}
    assert space.project(space.candidates[wanted], without).id not in without


def test_a_finite_space_yields_only_its_candidates() -> None:
    space = SPACES["finite"]
    drawn = {space.sample(derive(k)) for k in range(50)} | {space.default(), *space.grid(2)}
    assert drawn == set(space.candidates)


def test_priors_shape_what_is_drawn() -> None:
    domain = Float(1e-6, 1.0, log=True, prior=Normal(-3.0, 0.2))
    logs = np.log10([domain.from_unit(u) for u in np.linspace(0.001, 0.999, 999)])
    assert abs(np.median(logs) + 3.0) < 0.01 and np.std(logs) == pytest.approx(0.2, rel=0.05)
    choice = Choice(("a", "b"), prior=(3.0, 1.0))
    assert [choice.from_unit(u) for u in (0.0, 0.74, 0.76, 0.99)] == ["a", "a", "b", "b"]
    assert [Boolean(prior=0.2).from_unit(u) for u in (0.1, 0.3)] == [True, False]


def test_the_ends_of_a_whole_range_are_as_likely_as_the_rest() -> None:
    drawn = [Int(1, 4).from_unit(u) for u in np.linspace(0.0, 0.9999, 4000)]
    assert [drawn.count(k) for k in (1, 2, 3, 4)] == pytest.approx([1000] * 4, abs=2)


def test_a_parameter_is_open_only_under_its_choices() -> None:
    sgd = {"model": "gru", "optimizer": "sgd", "clipping": "none", "lr": 0.1, "nesterov": True, "momentum": 0.9}
    assert CONDITIONAL.check(sgd) == []
    assert CONDITIONAL.check({**sgd, "nesterov": False}) == ['"momentum" is given but closed under these choices']
    assert CONDITIONAL.check({**sgd, "lr": 1e-4}) == ['"lr": 0.0001 is outside [0.01, 10.0]']
    assert CONDITIONAL.check({**sgd, "optimiser": "sgd"}) == ['"optimiser" is not a parameter. Did you mean "optimizer"?']


def test_joining_spaces_merges_conditions_on_one_parent() -> None:
    lr = Float(1e-4, 1e-1, log=True)
    joined = (
        Space.of(optimizer=Choice(("adam", "adamw", "sgd")))
        | Space.of(lr=lr).when(optimizer="adam")
        | Space.of(lr=lr).when(optimizer="adamw")
        | Space.of(lr=Float(0.1, 1.0)).when(optimizer="sgd")
    )
    assert [(p.name, dict(p.when)) for p in joined] == [
        ("optimizer", {}),
        ("lr", {"optimizer": ("adam", "adamw")}),
        ("lr", {"optimizer": ("sgd",)}),
    ]


def test_parents_come_first_however_a_space_is_joined() -> None:
    late = Space.of(momentum=Float(0.0, 0.9)).when(nesterov=True) | Space.of(nesterov=Boolean()).when(optimizer="sgd")
    assert (late | Space.of(optimizer=Choice(("sgd",)))).names == ("optimizer", "nesterov", "momentum")


def test_every_fault_of_a_space_is_reported_at_once() -> None:
    with pytest.raises(UserError) as error:
        Space(
            (
                Parameter("momentum", Float(0.0, 0.9), {"optimizr": ("sgd",)}),
                Parameter("lr", Float(0.1, 1.0), {"optimizer": ("sgd",)}),
                Parameter("optimizer", Choice(("sgd", "adam"))),
                Parameter("lr", Float(0.1, 0.5)),
            )
        )
    assert error.value.faults == (
        '"momentum" is opened by "optimizr", which is not a parameter. Did you mean "optimizer"?',
        '"lr" stands before "optimizer", which opens it',
        '"lr" stands twice and both can be open at once',
    )


@pytest.mark.parametrize(
    "domain, fault",
    [
        (lambda: Float(2.0, 1.0), "the range must be [low, high] with low ≤ high, found [2.0, 1.0]"),
        (lambda: Float(0.0, 1.0, log=True), "a log range must lie above 0, found [0.0, 1.0]"),
        (lambda: Float(0.5, 1.0, complement=True), "a complement range must lie below 1, found [0.5, 1.0]"),
        (lambda: Float(0.0, math.inf), "the range must be finite, found [0.0, inf]"),
        (lambda: Int(1, 4, step=0), "the step must be above 0, found 0"),
        (lambda: Int(1, 4, initial=9), "the default 9 is outside [1, 4]"),
        (lambda: Float(0.0, 1.0, prior=Normal(0.0, 0.0)), "the spread of a prior must be above 0, found 0.0"),
        (lambda: Choice(()), "A choice needs at least one option"),
        (lambda: Choice(("a", "a")), "each option once; found ['a', 'a']"),
        (lambda: Choice(("a", "b"), prior=(1.0,)), "A choice of 2 options needs as many weights"),
        (lambda: Choice(("a", "b"), initial="c"), "The default 'c' is not among the options ['a', 'b']"),
    ],
)
def test_domains_refuse_what_makes_no_sense(domain: type[Domain], fault: str) -> None:
    with pytest.raises(UserError) as error:
        domain()
    assert fault in str(error.value)


@pytest.mark.parametrize(
    "domain, value, fault",
    [
        (Float(0.0, 1.0), "a", "expected a number in [0.0, 1.0], found 'a'"),
        (Float(0.0, 1.0), True, "expected a number in [0.0, 1.0], found True"),
        (Float(0.0, 1.0), 1.5, "1.5 is outside [0.0, 1.0]"),
        (Int(1, 4), 2.0, "expected a whole number in [1, 4], found 2.0"),
        (Int(1, 4), 5, "5 is outside [1, 4]"),
        (Choice(("a", "b")), "c", "'c' is not one of a, b"),
        (Boolean(), 1, "expected true or false, found 1"),
        (Fixed(3), 4, "is fixed at 3, found 4"),
    ],
)
def test_values_outside_a_domain_are_named(domain: Domain, value: float | str | bool, fault: str) -> None:
    assert domain.fault(value) == fault


@given(
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(), st.booleans())
    )
)
def test_a_config_is_its_values_in_any_order(values: dict[str, float | str | bool]) -> None:
    config, reversed_config = Config(values), Config(dict(reversed(values.items())))
    assert config == reversed_config and hash(config) == hash(reversed_config) and config.id == reversed_config.id
    assert Config(json.loads(config.text)) == config


def test_the_strategy_is_the_categorical_part() -> None:
    config = Config({"optimizer": "adamw", "lr": 0.1, "model": "lstm", "clipping": "norm"})
    assert config.strategy == "lstm/adamw/norm"
    assert config.replace(model="gru").strategy == "gru/adamw/norm"
    assert Config({"activation": "relu", "lr": 0.1}).strategy == "relu"


def test_codes_mean_the_same_in_every_sweep() -> None:
    config = Config({"lr": 0.01, "beta2": 0.99})
    narrow = Space.of(lr=Float(0.01, 0.02), beta2=Float(0.9, 0.999))
    wide = Space.of(lr=Float(1e-6, 1.0, log=True), beta2=Fixed(0.99))
    assert narrow.encode(config) == wide.encode(config) == {"lr": -2.0, "beta2": pytest.approx(2.0)}
