"""The ``space`` section: plug-ins open their parameters, users narrow them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from metasearch import catalog
from metasearch.core.domains import Boolean, Choice, Fixed, Float, Int, Normal
from metasearch.core.errors import UserError
from metasearch.core.rng import derive
from metasearch.core.space import Space
from metasearch.sweep.compose import language_model_space


def space(section: dict, *, search_unlisted: bool = True) -> Space:
    return language_model_space(section, search_unlisted=search_unlisted)


def domains(space: Space, name: str) -> list:
    return [p.domain for p in space if p.name == name]


def read(written: str, name: str) -> list:
    """The domains of ``name`` in a space that is written as YAML, with one model and one optimizer unless it says more."""
    return domains(space({"model": "transformer", "optimizer": "sgd", **yaml.safe_load(written)}), name)


def faults(written: str) -> str:
    with pytest.raises(UserError) as raised:
        space({"model": ["lstm", "transformer"], "optimizer": ["sgd", "adamw"], **yaml.safe_load(written)})
    return "\n".join(raised.value.faults)


def holds(when: Mapping[str, list], config: Mapping[str, Any]) -> bool:
    return all(config.get(parent) in values for parent, values in when.items())


def test_an_empty_section_searches_every_plug_in() -> None:
    whole = space({})
    seen = [whole.sample(derive(0, i)) for i in range(300)]
    for part, room in catalog.STRATEGY_ROOMS.items():
        assert {config[part] for config in seen} == set(catalog.names(room))
    assert all(not whole.check(config) for config in seen)


def test_unlisted_parameters_stay_at_their_defaults_if_asked() -> None:
    pinned = space({"lr": {"float": [1e-4, 1e-2], "log": True}}, search_unlisted=False)
    first, second = (pinned.sample(derive(0, i)) for i in range(2))
    assert {name for name in first if first[name] != second[name]} == {"lr"}
    assert first.strategy == "lstm/adamw/cosine/norm/default"


def test_a_choice_opens_the_parameters_of_its_plug_in_only() -> None:
    narrow = space({"optimizer": ["sgd", "adamw"]})
    for i in range(50):
        config = narrow.sample(derive(0, i))
        assert ("momentum" in config) == (config["optimizer"] == "sgd")


def test_a_parameter_can_be_searched_in_its_plug_ins_own_range_or_left_at_its_default() -> None:
    pinned = space({"optimizer": ["sgd", "adamw"], "lr": "search"}, search_unlisted=False)
    assert len(domains(pinned, "lr")) == 2
    assert not any(isinstance(domain, Fixed) for domain in domains(pinned, "lr"))
    searched = space({"model": "lstm", "depth": "default"})
    assert [type(domain) for domain in domains(searched, "depth")] == [Fixed]


def test_values_lists_and_ranges_replace_the_plug_ins_domain() -> None:
    written = {"model": "lstm", "width": 64, "depth": [1, 2], "batch_size": {"int": [8, 32], "log": True}}
    narrowed = space(written)
    assert domains(narrowed, "width") == [Fixed(64)]
    assert domains(narrowed, "depth") == [Choice((1, 2))]
    assert domains(narrowed, "batch_size") == [Int(8, 32, log=True)]


def test_a_narrowing_may_hold_under_one_choice_only() -> None:
    narrowed = space({"optimizer": ["sgd", "adamw", "adam"], "lr": {"float": [0.3, 0.4], "when": {"optimizer": "sgd"}}})
    lrs = {config["optimizer"]: config["lr"] for config in (narrowed.sample(derive(1, i)) for i in range(60))}
    assert 0.3 <= lrs["sgd"] <= 0.4
    assert lrs["adamw"] < 0.3
    assert Float(0.3, 0.4) in domains(narrowed, "lr")


STRATEGY = {
    "model": ["lstm", "transformer", "gru"],
    "optimizer": ["sgd", "adamw", "lion"],
    "schedule": ["constant", "cosine", "linear"],
    "clipping": "norm",
}
CONDITIONS = STRATEGY | {"feed_forward": ["swiglu", "gelu"], "nesterov": [True, False], "heads": [1, 2, 4, 8], "depth": [1, 2, 3]}
del CONDITIONS["clipping"]
MARKS = {"batch_size": 5, "dropout": 0.98, "lr": 123.0, "weight_decay": 77.0, "momentum": 0.123, "warmup": 0.77, "width": 31}
"""A value for each of some parameters that no plug-in proposes."""


@st.composite
def narrowings(draw: st.DrawFn) -> dict[str, dict]:
    """Parameters narrowed to their mark, each under its own condition."""
    made = {}
    for name in draw(st.lists(st.sampled_from(sorted(MARKS)), min_size=1, max_size=3, unique=True)):
        parents = draw(st.lists(st.sampled_from(sorted(CONDITIONS)), max_size=3, unique=True))
        values = {parent: st.lists(st.sampled_from(CONDITIONS[parent]), min_size=1, max_size=2, unique=True) for parent in parents}
        made[name] = {"value": MARKS[name], "when": draw(st.fixed_dictionaries(values))}
    return made


@settings(max_examples=60, deadline=None)
@given(narrowings(), st.integers(0, 2**32))
def test_a_narrowing_changes_domains_exactly_where_its_condition_holds_and_no_names(written: dict, seed: int) -> None:
    whole = space(STRATEGY)
    try:
        narrowed = space(STRATEGY | written)
    except UserError as error:
        assume("never exists there" not in str(error))
        raise
    for i in range(60):
        config = narrowed.sample(derive(seed, i))
        assert set(config) == {p.name for p in whole.open_parameters(config)}
        marked = {name for name, entry in written.items() if name in config and holds(entry["when"], config)}
        assert {name for name in config if config[name] == MARKS.get(name)} == marked
        assert {fault.split('"')[1] for fault in whole.check(config)} == marked


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("batch_size", {"int": [4, 8], "when": {"model": "transformer"}}),
        ("dropout", {"float": [0.6, 0.7], "when": {"optimizer": "sgd"}}),
        ("lr", {"float": [20, 30], "when": {"optimizer": "adamw", "model": "lstm"}}),
        ("dropout", {"float": [0.6, 0.7], "when": {"feed_forward": "gelu"}}),
    ],
)
def test_a_narrowed_parameter_stands_in_every_config_that_had_it(name: str, entry: dict) -> None:
    narrowed = space(STRATEGY | {name: entry})
    configs = [narrowed.sample(derive(2, i)) for i in range(60)]
    assert all(name in config for config in configs)
    when = {parent: [value] for parent, value in entry["when"].items()}
    low, high = entry.get("int") or entry["float"]
    assert {holds(when, config) for config in configs} == {True, False}
    assert all(low <= config[name] <= high for config in configs if holds(when, config))


def test_a_narrowing_opens_nothing_that_the_plug_in_does_not_open() -> None:
    narrowed = space(STRATEGY | {"momentum": {"value": 0.5, "when": {"optimizer": ["sgd", "adamw"], "model": "lstm"}}})
    configs = [narrowed.sample(derive(3, i)) for i in range(60)]
    assert all(("momentum" in config) == (config["optimizer"] == "sgd") for config in configs)
    assert 'space.momentum: when: "momentum" never exists there' in faults("momentum: {value: 0.5, when: {optimizer: adamw}}")


@pytest.mark.parametrize("depth", [[1, 8], {"choice": [1, 8], "when": {"model": ["lstm", "gru", "transformer"]}}, {"int": [7, 8]}])
def test_a_condition_may_stand_on_a_parameter_that_is_narrowed_after_it(depth: Any) -> None:
    narrowed = space(STRATEGY | {"dropout": {"value": 0.4, "when": {"depth": 8}}, "depth": depth})
    configs = [narrowed.sample(derive(4, i)) for i in range(60)]
    assert all((config["dropout"] == 0.4) == (config["depth"] == 8) for config in configs)
    assert len({config["depth"] for config in configs}) == 2


def test_parameters_that_depend_on_each_other_are_a_fault() -> None:
    assert "space.heads: when: heads cannot depend on each other" in faults("heads: {choice: [1, 2], when: {heads: 1}}")
    both = "heads: {choice: [1, 2], when: {feed_forward: gelu}}\nfeed_forward: {value: gelu, when: {heads: 1}}"
    assert "heads and feed_forward cannot depend on each other" in faults(both).replace(
        "feed_forward and heads", "heads and feed_forward"
    )


@pytest.mark.parametrize(
    ("written", "name", "domain"),
    [
        ("lr: {float: [1e-4, 1e-2], log: true}", "lr", Float(1e-4, 1e-2, log=True)),
        ("lr: [1e-3, 1e-2]", "lr", Choice((1e-3, 1e-2))),
        ("lr: {choice: [1e-3, 1e-2], default: 1e-2, prior: [1, 3e0]}", "lr", Choice((1e-3, 1e-2), prior=(1.0, 3.0), initial=1e-2)),
        ("lr: 1e-3", "lr", Fixed(1e-3)),
        ("batch_size: 1e2", "batch_size", Fixed(100)),
        ("heads: [2e0, 4]", "heads", Choice((2, 4))),
        ("dropout: {float: [0, 1e-1], step: 1e-3, default: 5e-2}", "dropout", Float(0.0, 0.1, step=1e-3, initial=0.05)),
        ("lr: {float: [0, 1], prior: {center: 1e-1, spread: 1e-2}}", "lr", Float(0.0, 1.0, prior=Normal(0.1, 0.01))),
        ("feed_forward: [gelu, swiglu]", "feed_forward", Choice(("gelu", "swiglu"))),
        ("tied: {boolean: true, prior: 8e-1}", "tied", Boolean(prior=0.8)),
    ],
)
def test_values_are_read_by_the_type_of_the_plug_ins_own_domain(written: str, name: str, domain: object) -> None:
    assert [repr(found) for found in read(written, name)] == [repr(domain)]  # 100 == 100.0, but not in a config's id


def test_text_that_looks_like_a_number_stays_text_where_the_plug_in_has_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "schedules").mkdir()
    plug_in = (
        'from metasearch.core.space import Choice, Fixed, Space\nSPACE = Space.of(mode=Choice(("8", "1e3", "x")), pace=Fixed(2.5))'
    )
    (tmp_path / "schedules" / "lettered.py").write_text(plug_in)
    monkeypatch.setenv("METASEARCH_PLUGINS", str(tmp_path))
    made = space({"schedule": "lettered", "mode": ["1e3", "x"], "pace": 3})
    assert domains(made, "mode") == [Choice(("1e3", "x"))]
    assert domains(made, "pace") == [Fixed(3)]


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("lr: {float: [0.1, 0.2], when: sgd}", "space.lr: when: expected a mapping such as {optimizer: sgd}, found 'sgd'"),
        ("lr: {float: [0.1, 0.2], when: {optimizer: lion}}", 'space.lr: when: optimizer: there is no "lion". Known: adamw, sgd.'),
        ("lr: {float: [0.1, 0.2], when: {optimizer: [sdg]}}", 'when: optimizer: there is no "sdg". Did you mean "sgd"?'),
        ("width: {value: 64, when: {dropout: 0.1}}", "space.width: when: dropout: has too many values for a condition"),
        (
            "lr: serach",
            'space.lr: expected a number, a list, a range, "search" or "default"; found "serach". Did you mean "search"?',
        ),
        ("feed_forward: gleu", 'found "gleu". Did you mean "gelu"?'),
        ("lr: [0.1, fast]", "space.lr: expected a number, found 'fast'"),
        ("lr: true", "space.lr: expected a number, found True"),
        ("lr: .inf", "space.lr: expected a number, found inf"),
        ("lr: ", "space.lr: expected a number, found None"),
        ("depth: 1.5", "space.depth: expected a whole number, found 1.5"),
        ("depth: {float: [1, 2]}", "space.depth: expected a whole number, a list, or a mapping with one of int, choice, value"),
        ("depth: {int: 3}", "space.depth: expected int: [low, high], found 3"),
        ("heads: 16", "space.heads: there is no 16. Known: 1, 2, 4, 8."),
        ("heads: true", "space.heads: there is no True."),
        ("tied: 1", "space.tied: expected true or false, found 1"),
        ("tied: {int: [0, 1]}", "space.tied: expected true or false, a list, or a mapping with one of boolean"),
        ("lr: {float: [0.1, 0.2], log: sometimes}", "space.lr: log: Input should be a valid boolean"),
        ("lr: {float: [0.1, 0.2], step: fine}", "space.lr: step: Input should be a valid number"),
        ("lr: {float: [0.1, 0.2], default: often}", "space.lr: default: Input should be a valid number"),
        ("lr: {float: [0.1, 0.2], default: 0.3}", "space.lr: the default 0.3 is outside"),
        ("lr: {float: [0.1, 0.2], prior: 3}", "space.lr: prior: Input should be"),
        ("lr: {float: [0.1, 0.2], prior: {center: 1}}", "space.lr: prior.spread: Field required"),
        ("lr: {choice: [0.1, 0.2], prior: [1, many]}", "space.lr: prior.1: Input should be a valid number"),
        ("lr: {choice: [0.1, 0.2], default: 0.3}", "space.lr: there is no 0.3. Known: 0.1, 0.2."),
        ("clipping: {choice: [none, norm], when: {optimizer: sgd}}", 'space.clipping: there is no option "when".'),
        ("schedule: {float: [0, 1]}", "space.schedule: expected one of"),
    ],
)
def test_what_a_parameter_cannot_be_is_a_fault(written: str, fault: str) -> None:
    assert fault in faults(written)


def test_users_may_widen_the_range_of_a_plug_in() -> None:
    assert read("dropout: {float: [0, 0.9]}", "dropout") == [Float(0, 0.9)]
    assert read("depth: 12", "depth") == [Fixed(12)]


def test_strategies_may_have_weights_and_a_default() -> None:
    weighted = space({"model": {"choice": ["lstm", "gru"], "prior": [3, 1], "default": "gru"}})
    assert domains(weighted, "model") == [Choice(("lstm", "gru"), prior=(3, 1), initial="gru")]
    drawn = [weighted.sample(derive(5, i))["model"] for i in range(400)]
    assert 0.7 < drawn.count("lstm") / 400 < 0.8
    assert weighted.default()["model"] == "gru"


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(("1e-3", "search", "sgd", "lstm", "x", ""))
KEYS = st.sampled_from(
    ("float", "int", "choice", "boolean", "value", "when", "log", "step", "prior", "default", "center", "optimizer")
)
WRITTEN = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)
NAMED = st.sampled_from(("model", "optimizer", "lr", "depth", "tied", "feed_forward", "context"))


@settings(max_examples=200, deadline=None)
@given(NAMED, WRITTEN)
def test_whatever_is_written_is_a_space_or_a_fault_that_names_it(name: str, written: Any) -> None:
    try:
        space(STRATEGY | {name: written})
    except UserError as error:
        assert error.faults
        assert all(fault.startswith(f"space.{name}: ") for fault in error.faults)


def test_all_faults_of_a_section_are_shown_at_once() -> None:
    broken = {
        "model": ["lsmt"],
        "optimizer": [],
        "depth": {"float": [2, 1]},
        "batch_size": {"int": [8, 32], "lgo": True},
        "context": {"int": [1.5, 3]},
    }
    with pytest.raises(UserError) as raised:
        space(broken)
    shown = "\n".join(raised.value.faults)
    assert 'space.model: there is no "lsmt". Did you mean "lstm"?' in shown
    assert "space.optimizer: A choice needs at least one option" in shown
    assert 'space.batch_size: there is no option "lgo". Did you mean "log"?' in shown
    assert "space.depth: expected a whole number" in shown
    assert "space.context: expected a whole number" in shown


def test_a_mistyped_parameter_names_the_nearest_one() -> None:
    with pytest.raises(UserError, match=r'space.widht: is not a parameter of the chosen strategies. Did you mean "width"\?'):
        space({"model": "lstm", "widht": 64})


def test_a_condition_on_an_unknown_parent_is_a_fault() -> None:
    with pytest.raises(UserError, match=r'space.lr: when: optimiser: is not a parameter. Did you mean "optimizer"\?'):
        space({"lr": {"float": [0.1, 0.2], "when": {"optimiser": "sgd"}}})


def test_every_strategy_of_the_catalog_samples_valid_configs() -> None:
    for room_part, room in catalog.STRATEGY_ROOMS.items():
        for name in catalog.names(room):
            one = space({room_part: name})
            config = one.from_unit(np.full(len(one), 0.5))
            assert config[room_part] == name
            assert not one.check(config)
