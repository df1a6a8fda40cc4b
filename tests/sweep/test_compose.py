"""The ``space`` section: plug-ins open their parameters, users narrow them."""

import numpy as np
import pytest

from metasearch import catalog
from metasearch.core.domains import Choice, Fixed, Float, Int
from metasearch.core.errors import UserError
from metasearch.core.rng import derive
from metasearch.core.space import Space
from metasearch.sweep.compose import language_model_space


def space(section: dict, *, search_unlisted: bool = True) -> Space:
    return language_model_space(section, search_unlisted=search_unlisted)


def domains(space: Space, name: str) -> list:
    return [p.domain for p in space if p.name == name]


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


def test_numbers_that_yaml_reads_as_text_are_numbers() -> None:
    assert domains(space({"optimizer": "adamw", "lr": {"float": ["1e-4", "1e-2"], "log": True}}), "lr") == [
        Float(1e-4, 1e-2, log=True)
    ]


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
    faults = "\n".join(raised.value.faults)
    assert 'space.model: there is no "lsmt". Did you mean "lstm"?' in faults
    assert "space.optimizer: needs at least one of" in faults
    assert 'space.batch_size: there is no option "lgo". Did you mean "log"?' in faults
    assert "space.context: expected a whole number" in faults


def test_a_mistyped_parameter_names_the_nearest_one() -> None:
    with pytest.raises(UserError, match=r'space.widht: is not a parameter of the chosen strategies. Did you mean "width"\?'):
        space({"model": "lstm", "widht": 64})


def test_a_condition_on_an_unknown_parent_is_a_fault() -> None:
    with pytest.raises(UserError, match=r'when: "optimiser" is not a parameter. Did you mean "optimizer"\?'):
        space({"lr": {"float": [0.1, 0.2], "when": {"optimiser": "sgd"}}})


def test_every_strategy_of_the_catalog_samples_valid_configs() -> None:
    for room_part, room in catalog.STRATEGY_ROOMS.items():
        for name in catalog.names(room):
            one = space({room_part: name})
            config = one.from_unit(np.full(len(one), 0.5))
            assert config[room_part] == name
            assert not one.check(config)
