"""From the ``space`` section of a sweep file to a ``Space``: what the chosen plug-ins open, narrowed by what the user wrote.

A narrowing changes domains, never which parameters a config has. It is read by the type of the plug-in's own domain, because YAML
takes 1e-3 for text and an option may look like a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from graphlib import CycleError, TopologicalSorter
from operator import or_
from typing import Any

from metasearch import catalog
from metasearch.core.config import Value
from metasearch.core.domains import Choice, Domain, Fixed
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.space import Parameter, Space, When
from metasearch.sweep.domains import domain_of, each, naming, option_of, values_of
from metasearch.training.objectives import space_of

STANDARD = {"model": "lstm", "optimizer": "adamw", "schedule": "cosine", "clipping": "norm", "init": "default"}
"""The strategy of a sweep that names none and does not search unlisted ones."""


def language_model_space(section: Mapping[str, Any], *, search_unlisted: bool, kind: str = "") -> Space:
    """The space of a sweep over a corpus. ``kind``: of its task, if it is not text that runs on.

    Raises UserError with every fault of the section.
    """
    faults: list[str] = []
    chosen: dict[str, Domain] = {}
    for part, room in catalog.STRATEGY_ROOMS.items():
        chosen[part] = every = Choice(tuple(catalog.names(room)))  # stays if the part is faulty, so that the rest can be checked
        written = section.get(part, list(every.options) if search_unlisted else STANDARD[part])
        with naming(faults, f"space.{part}: "):
            chosen[part] = domain_of({"value": written} if isinstance(written, str) else written, every)
    space = _opened(chosen, space_of(kind))
    narrowings = {name: written for name, written in section.items() if name not in chosen}
    if not search_unlisted:
        space = _pinned(space, {p.name for p in space} - section.keys() - chosen.keys())
    for name in _parents_first(narrowings, space, faults):
        with naming(faults, f"space.{name}: "):
            space = _narrowed(space, name, narrowings[name])
    if faults:
        raise UserError("The search space does not hold together:", faults)
    # Narrowed parameters may stand before their new parents; joining puts them in order.
    return Space(reduce(or_, (Space.of(**{p.name: p.domain}).when(**p.when) for p in space)).parameters)


def _opened(chosen: Mapping[str, Domain], space: Space) -> Sequence[Parameter]:
    """Every strategy choice with the parameters its options open, and those of the training loop: ``space``."""
    for part, choice in chosen.items():
        space = Space.of(**{part: choice}) | space
        for name in values_of(choice):
            space = space | catalog.load(catalog.STRATEGY_ROOMS[part], str(name)).SPACE.when(**{part: name})
    return space.parameters


def _pinned(space: Sequence[Parameter], names: set[str]) -> Sequence[Parameter]:
    """``names`` fixed at their defaults."""
    return [replace(p, domain=Fixed(p.domain.default)) if p.name in names else p for p in space]


def _parents_first(narrowings: Mapping[str, Any], space: Sequence[Parameter], faults: list[str]) -> list[str]:
    """An order in which all is narrowed before what depends on it, because that is split along its values."""
    parents: dict[str, set[str]] = {name: set() for name in narrowings}
    for name, written in narrowings.items():
        when = written.get("when") if isinstance(written, dict) else None
        parents[name] |= when.keys() if isinstance(when, dict) else set()
    for p in space:
        parents.setdefault(p.name, set()).update(p.when)
    try:
        return [name for name in TopologicalSorter(parents).static_order() if name in narrowings]
    except CycleError as error:
        circle = [name for name in error.args[1] if name in narrowings]
        faults.append(f"space.{circle[0]}: when: {' and '.join(dict.fromkeys(error.args[1]))} cannot depend on each other")
        return []


def _narrowed(space: Sequence[Parameter], name: str, written: Any) -> Sequence[Parameter]:
    """``space`` with the user's domain in place of the plug-in's, wherever ``name`` stands and ``when`` holds.

    ``search`` leaves the plug-in's own domain, ``default`` its default.
    """
    mine = [p for p in space if p.name == name]
    if not mine:
        raise UserError(f"is not a parameter of the chosen strategies.{did_you_mean(name, {p.name for p in space})}")
    if isinstance(written, str) and written in ("search", "default"):
        return space if written == "search" else _pinned(space, {name})
    ways: list[When] = [{}]
    if isinstance(written, dict) and "when" in written:
        written = dict(written)
        ways = _ways(_condition(written.pop("when"), space), space)
    if all(_both(p.when, way) is None for p in mine for way in ways):
        raise UserError(f'when: "{name}" never exists there; it is opened by {" or ".join(str(dict(p.when)) for p in mine)}')
    for way in ways:
        space = [piece for p in space for piece in (_split(p, way, written, space) if p.name == name else [p])]
    return space


def _condition(when: Any, space: Sequence[Parameter]) -> When:
    """What is written as ``when``, if ``space`` knows every parent and value."""
    if not isinstance(when, dict):
        raise UserError(f"when: expected a mapping such as {{optimizer: sgd}}, found {when!r}")
    faults: list[str] = []
    condition = {}
    for parent, values in when.items():
        with naming(faults, f"when: {parent}: "):
            options = _known(parent, space)
            condition[parent] = each(partial(option_of, options), values if isinstance(values, list) else [values])
    if faults:
        raise UserError("This condition does not work:", faults)
    return condition


def _ways(when: When, space: Sequence[Parameter]) -> list[When]:
    """Every way in which ``when`` can hold, no two of them at once. Each names what opens its parents too, outermost first."""
    ways: list[When] = [{}]
    for parent, allowed in when.items():
        entries = [(p.when, tuple(v for v in allowed if v in values_of(p.domain))) for p in space if p.name == parent]
        openings = [_both(above, {parent: values}) for opener, values in entries for above in _ways(opener, space)]
        joined = [_both(way, opening) for way in ways for opening in openings if opening is not None]
        ways = [way for way in joined if way is not None]
    return ways


def _both(one: When, other: When) -> When | None:
    """The condition that both hold; None if they never do together."""
    both = {**one, **other, **{parent: tuple(v for v in one[parent] if v in other[parent]) for parent in one.keys() & other.keys()}}
    return both if all(both.values()) else None


def _split(parameter: Parameter, way: When, written: Any, space: Sequence[Parameter]) -> Iterator[Parameter]:
    """``parameter`` with the user's domain where ``way`` holds, and as it was everywhere else."""
    inside = _both(parameter.when, way)
    if inside is None:
        yield parameter
        return
    yield Parameter(parameter.name, domain_of(written, parameter.domain), inside)
    held = dict(parameter.when)
    for parent, taken in way.items():
        known = held.get(parent) or _known(parent, space)
        others = tuple(v for v in known if v not in taken)
        if others:
            yield replace(parameter, when={**held, parent: others})
        held[parent] = inside[parent]


def _known(parent: str, space: Sequence[Parameter]) -> tuple[Value, ...]:
    """Every value that ``parent`` can have."""
    domains = [p.domain for p in space if p.name == parent]
    if not domains:
        raise UserError(f"is not a parameter.{did_you_mean(str(parent), {p.name for p in space})}")
    return tuple(dict.fromkeys(value for domain in domains for value in values_of(domain)))
