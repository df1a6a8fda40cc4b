"""Hypothesis strategies: any domain, any conditional space, any config of a space."""

from __future__ import annotations

from hypothesis import strategies as st

from metasearch.core.config import Config, Value
from metasearch.core.domains import Boolean, Choice, Domain, Fixed, Float, Int, Normal
from metasearch.core.space import Parameter, Space

_UNITS = st.floats(0.0, 1.0, exclude_max=True)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    kind = draw(st.sampled_from(("linear", "log", "complement", "stepped", "prior")))
    if kind == "complement":
        low = draw(st.floats(0.0, 0.9))
        return Float(low, draw(st.floats(low, 0.9999)), complement=True)
    low = draw(st.floats(1e-6, 1e3))
    high = draw(st.floats(low, 1e4))
    if kind == "prior":
        return Float(low, high, log=True, prior=Normal(draw(st.floats(-6.0, 4.0)), draw(st.floats(0.1, 3.0))))
    step = draw(st.floats(0.01, 10.0)) if kind == "stepped" else None
    return Float(low, high, log=kind == "log", step=step)


@st.composite
def ints(draw: st.DrawFn) -> Int:
    low = draw(st.integers(1, 100))
    log = draw(st.booleans())
    return Int(low, draw(st.integers(low, 1000)), log=log, step=None if log else draw(st.sampled_from((None, 1, 3, 7))))


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    options = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4, unique=True))
    weights = st.lists(st.floats(0.1, 5.0), min_size=len(options), max_size=len(options)).map(tuple)
    return Choice(tuple(options), prior=draw(st.none() | weights))


def domains() -> st.SearchStrategy[Domain]:
    fixed = st.sampled_from((Fixed("text"), Fixed(3), Fixed(2.5), Fixed(True)))
    return st.one_of(floats(), ints(), choices(), st.booleans().map(lambda initial: Boolean(initial=initial)), fixed)


@st.composite
def spaces(draw: st.DrawFn, most: int = 8) -> Space:
    """Parameters that open each other to any depth; one name may stand twice where both can never be open at once."""
    parameters: list[Parameter] = []
    for number in range(draw(st.integers(0, most))):
        when = draw(_conditions(parameters))
        parameters.append(Parameter(f"p{number}", draw(domains()), when))
        parent = next((p for p in parameters if p.name in when and isinstance(p.domain, Choice)), None)
        others = set(parent.domain.options) - set(when[parent.name]) if parent and isinstance(parent.domain, Choice) else set()
        if parent is not None and others and draw(st.booleans()):
            parameters.append(Parameter(f"p{number}", draw(domains()), {**when, parent.name: tuple(sorted(others))}))
    return Space(tuple(parameters))


@st.composite
def _conditions(draw: st.DrawFn, parameters: list[Parameter]) -> dict[str, tuple[Value, ...]]:
    """Some parents among the choices so far, each with some of its options."""
    names = sorted({p.name for p in parameters if isinstance(p.domain, Choice)})
    when: dict[str, tuple[Value, ...]] = {}
    for name in draw(st.lists(st.sampled_from(names), max_size=2, unique=True)) if names else ():
        options = sorted(
            {o for p in parameters if p.name == name and isinstance(p.domain, Choice) for o in p.domain.options}, key=str
        )
        when[name] = tuple(draw(st.lists(st.sampled_from(options), min_size=1, unique=True)))
    return when


@st.composite
def spaces_with_configs(draw: st.DrawFn) -> tuple[Space, Config]:
    space = draw(spaces())
    return space, space.from_unit(draw(st.lists(_UNITS, min_size=len(space), max_size=len(space))))
