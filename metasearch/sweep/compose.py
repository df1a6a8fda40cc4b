"""From the ``space`` section of a sweep file to a ``Space``: what the chosen plug-ins open, narrowed by what the user wrote.

A narrowing changes domains, never which parameters a config has. It is read by the type of the plug-in's own domain, because YAML
takes 1e-3 for text and an option may look like a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from functools import partial, reduce
from graphlib import CycleError, TopologicalSorter
from operator import or_
from typing import Any

from pydantic import TypeAdapter, ValidationError

from metasearch import catalog
from metasearch.core.config import Value
from metasearch.core.domains import Boolean, Choice, Domain, Fixed, Float, Int
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.space import Parameter, Space, When
from metasearch.training.loop import SPACE as TRAINING

STANDARD = {"model": "lstm", "optimizer": "adamw", "schedule": "cosine", "clipping": "norm", "init": "default"}
"""The strategy of a sweep that names none and does not search unlisted ones."""

Reader = Callable[[Any], Any]

MOST_VALUES = 1000
"""A wider range cannot be a parent in ``when``: all of its values would stand in the conditions of others."""


def language_model_space(section: Mapping[str, Any], *, search_unlisted: bool) -> Space:
    """The space of a language-model sweep. Raises UserError with every fault of the section."""
    faults: list[str] = []
    chosen: dict[str, Domain] = {}
    for part, room in catalog.STRATEGY_ROOMS.items():
        chosen[part] = every = Choice(tuple(catalog.names(room)))  # stays if the part is faulty, so that the rest can be checked
        written = section.get(part, list(every.options) if search_unlisted else STANDARD[part])
        with _naming(faults, f"space.{part}: "):
            chosen[part] = _domain({"value": written} if isinstance(written, str) else written, every)
    space = _opened(chosen)
    narrowings = {name: written for name, written in section.items() if name not in chosen}
    if not search_unlisted:
        space = _pinned(space, {p.name for p in space} - section.keys() - chosen.keys())
    for name in _parents_first(narrowings, space, faults):
        with _naming(faults, f"space.{name}: "):
            space = _narrowed(space, name, narrowings[name])
    if faults:
        raise UserError("The search space does not hold together:", faults)
    # Narrowed parameters may stand before their new parents; joining puts them in order.
    return Space(reduce(or_, (Space.of(**{p.name: p.domain}).when(**p.when) for p in space)).parameters)


@contextmanager
def _naming(faults: list[str], place: str = "") -> Iterator[None]:
    """UserErrors raised inside become faults of ``place``."""
    try:
        yield
    except UserError as error:
        faults += [f"{place}{fault}" for fault in error.faults or (error.message,)]


def _opened(chosen: Mapping[str, Domain]) -> Sequence[Parameter]:
    """Every strategy choice with the parameters its options open, and those of the training loop."""
    space = TRAINING
    for part, choice in chosen.items():
        space = Space.of(**{part: choice}) | space
        for name in _values(choice):
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
        with _naming(faults, f"when: {parent}: "):
            options = _known(parent, space)
            condition[parent] = _each(partial(_option, options), values if isinstance(values, list) else [values])
    if faults:
        raise UserError("This condition does not work:", faults)
    return condition


def _ways(when: When, space: Sequence[Parameter]) -> list[When]:
    """Every way in which ``when`` can hold, no two of them at once. Each names what opens its parents too, outermost first."""
    ways: list[When] = [{}]
    for parent, allowed in when.items():
        entries = [(p.when, tuple(v for v in allowed if v in _values(p.domain))) for p in space if p.name == parent]
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
    yield Parameter(parameter.name, _domain(written, parameter.domain), inside)
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
    return tuple(dict.fromkeys(value for domain in domains for value in _values(domain)))


def _values(domain: Domain) -> tuple[Value, ...]:
    if isinstance(domain, Choice):
        return domain.options
    if isinstance(domain, Fixed | Boolean):
        return tuple(domain.grid(2))
    if isinstance(domain, Int) and domain.high - domain.low < MOST_VALUES:
        return tuple(range(domain.low, domain.high + 1, domain.step or 1))
    raise UserError("has too many values for a condition; narrow it to a list such as [1, 2]")


def _domain(written: Any, own: Domain) -> Domain:
    """A value (fixed), a list (choice) or a mapping such as ``{float: [1e-4, 1e-2], log: true}``, of values such as ``own`` has."""
    noun, ranges, read = _type(own)
    if isinstance(written, str):
        return Fixed(_word(written, own))
    if isinstance(written, list):
        written = {"choice": written} if len(written) != 1 else {"value": written[0]}
    options = dict(written) if isinstance(written, dict) else {"value": written}
    known, kinds = (*ranges, "choice", "value"), [kind for kind in _KINDS if kind in options]
    if len(kinds) != 1 or kinds[0] not in known:
        raise UserError(f"expected {noun}, a list, or a mapping with one of {', '.join(known)}; found {written!r}")
    subject = _subject(kinds[0], options.pop(kinds[0]), read)
    if "options" in subject and "default" in options:
        options["default"] = _option(subject["options"], options["default"])
    return _built(_KINDS[kinds[0]], subject, options)


def _subject(kind: str, written: Any, read: Reader) -> dict[str, Any]:
    """What must be known of a domain of this kind, by its fields."""
    if kind == "choice":
        return {"options": _each(read, written)}
    if kind in ("value", "boolean"):
        return {"value": read(written)} if kind == "value" else {}
    if not isinstance(written, list) or len(written) != 2:
        raise UserError(f"expected {kind}: [low, high], found {written!r}")
    return dict(zip(("low", "high"), _each(partial(_read, kind), written), strict=True))


def _word(text: str, own: Domain) -> Value:
    """A value that is text, or that YAML took for text."""
    noun, _, read = _type(own)
    try:
        value: Value = read(text)
    except UserError:
        words = ("search", "default", *(map(str, own.options) if isinstance(own, Choice) else ()))
        expected = f'expected {noun}, a list, a range, "search" or "default"'
        raise UserError(f'{expected}; found "{text}".{did_you_mean(text, words)}') from None
    return value


def _built(kind: Any, subject: Mapping[str, Any], options: Mapping[str, Any]) -> Domain:
    """A domain of its subject and the options written beside it. Raises UserError with every fault of these."""
    field_of = {"default" if field.name == "initial" else field.name: field.name for field in fields(kind)}
    allowed = field_of.keys() - subject.keys()
    faults = [f'there is no option "{key}".{did_you_mean(str(key), allowed)}' for key in options if key not in allowed]
    given = {field_of[key]: value for key, value in options.items() if key in allowed}
    try:
        built: Domain = TypeAdapter(kind).validate_python({**subject, **given})
    except ValidationError as error:
        found = [(".".join(map(str, e["loc"])).replace("initial", "default"), e["msg"], e["input"]) for e in error.errors()]
        faults += [f"{option}: {message}, found {value!r}" for option, message, value in found]
    if faults:
        raise UserError("These options do not work:", faults)
    return built


def _each(read: Reader, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list):
        raise UserError(f"expected a list, found {values!r}")
    made = []
    faults: list[str] = []
    for value in values:
        with _naming(faults):
            made.append(read(value))
    if faults:
        raise UserError("These values do not work:", faults)
    return tuple(made)


def _type(own: Domain) -> tuple[str, tuple[str, ...], Reader]:
    """What a value of ``own`` is, the ranges that may stand for it, and what reads one from YAML."""
    kind = type(own.value if isinstance(own, Fixed) else own)
    if kind in (Float, float):
        return _NOUNS["float"], ("float", "int"), partial(_read, "float")
    if kind in (Int, int):
        return _NOUNS["int"], ("int",), partial(_read, "int")
    if kind in (Boolean, bool):
        return _NOUNS["boolean"], ("boolean",), partial(_read, "boolean")
    return f"one of {', '.join(map(str, _values(own)))}", (), partial(_option, _values(own))


def _option(options: Sequence[Value], value: Any) -> Value:
    """The one of ``options`` that was meant. Text may mean a number, but true is not 1."""
    meant = [value]
    with suppress(UserError):
        meant.append(_read("float", value))
    for option in options:
        if any(option == each and isinstance(option, bool) == isinstance(each, bool) for each in meant):
            return option
    if isinstance(value, str):
        raise UserError(f'there is no "{value}".{did_you_mean(value, map(str, options))}')
    raise UserError(f"there is no {value!r}. Known: {', '.join(map(str, options))}.")


_KINDS = {"float": Float, "int": Int, "boolean": Boolean, "choice": Choice, "value": Fixed}
_NOUNS = {"float": "a number", "int": "a whole number", "boolean": "true or false"}


def _read(kind: str, value: Any) -> Any:
    """A float, int or boolean."""
    if kind == "boolean" and isinstance(value, bool):
        return value
    with suppress(TypeError, ValueError, OverflowError):
        number = math.nan if kind == "boolean" or isinstance(value, bool) else float(value)
        if math.isfinite(number) and (kind == "float" or number.is_integer()):
            return number if kind == "float" else int(number)
    raise UserError(f"expected {_NOUNS[kind]}, found {value!r}")
