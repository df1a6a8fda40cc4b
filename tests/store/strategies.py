"""Facts of every kind, and whole sweeps, as the tests of the store need them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from hypothesis import strategies as st

from metasearch.core.config import Config
from metasearch.core.event import (
    Action,
    Adopted,
    Amended,
    Closed,
    Directive,
    Fact,
    Failed,
    Judged,
    Opened,
    Proposed,
    Reported,
    Resumed,
    Thawed,
)
from metasearch.search.asha import Asha
from metasearch.search.random import Random
from metasearch.store.schema import STANDARD_METRICS
from metasearch.testing.contract import make_sweep, run_sweep
from metasearch.testing.curves import BowlCurves, Breaking, Diverging

text = st.text(st.characters(codec="utf-8"), max_size=20)
number = st.floats()
finite = st.floats(allow_nan=False, allow_infinity=False)
trial = st.integers(0, 2**31 - 1)
step = st.integers(0, 2**62)
value = st.one_of(finite, st.integers(-(2**63), 2**63 - 1), text, st.booleans())
config = st.dictionaries(text, value, max_size=5).map(Config)
plain = st.recursive(
    st.one_of(st.none(), finite, st.integers(), text, st.booleans()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
record = st.dictionaries(text, plain, max_size=4)
metrics = st.dictionaries(st.sampled_from(STANDARD_METRICS) | text, number, max_size=6)
scale = st.none() | finite
directive = st.none() | st.builds(Directive, scale, scale, scale, st.booleans())

facts = st.one_of(
    st.builds(Opened, number, record, record),
    st.builds(Resumed, number, record),
    st.builds(Amended, number, record, record),
    st.builds(Adopted, number, text, text),
    st.builds(Proposed, number, trial, config, step, text, text, st.none() | trial, step),
    st.builds(Thawed, number, trial, trial, text),
    st.builds(Reported, number, trial, trial, step, number, number, metrics, st.booleans()),
    st.builds(Judged, number, trial, step, st.sampled_from(Action), text, directive),
    st.builds(Failed, number, trial, trial, text, text),
    st.builds(Closed, number, text),
)


def same(one: Iterable[Fact], other: Iterable[Fact]) -> bool:
    """Equality in which a NaN equals a NaN."""
    return [_comparable(fact) for fact in one] == [_comparable(fact) for fact in other]


def _comparable(fact: Fact) -> tuple[Any, ...]:
    return (type(fact), *(_without_nan(getattr(fact, field.name)) for field in fields(fact)))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def whole_sweep(trials: int = 30, name: str = "contract", seed: int = 0) -> list[Fact]:
    """A simulated sweep in which everything happens: stops, divergences, breakdowns, and legs after them."""
    sweep = make_sweep(trials=trials).amended(name=name, seed=seed)
    made = run_sweep(sweep, Random(), Asha(), Breaking(Diverging(BowlCurves(noise=0.1), 0.2), 0.1))
    opened = made[0]
    assert isinstance(opened, Opened)
    return [Opened(opened.time, json.loads(json.dumps(opened.sweep)), {"host": "here"}), *made[1:]]
