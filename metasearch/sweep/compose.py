"""From the ``space`` section of a sweep file to a ``Space``: what the chosen plug-ins open, narrowed by what the user wrote.

A narrowing changes domains, never which parameters a config has. What is written is read by the type of the plug-in's own domain,
because YAML takes 1e-3 for text and a plug-in may have options that look like numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial, reduce
from operator import or_
from typing import Any

from metasearch import catalog
from metasearch.core.config import Value
from metasearch.core.domains import Boolean, Choice, Domain, Fixed, Float, Int, Normal
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.space import Parameter, Space, When
from metasearch.training.loop import SPACE as TRAINING

STANDARD = {"model": "lstm", "optimizer": "adamw", "schedule": "cosine", "clipping": "norm", "init": "default"}
"""The strategy of a sweep that names none and does not search unlisted ones."""

Reader = Callable[[Any], Any]

MOST_VALUES = 1000
"""A wider range of whole numbers is no parent for ``when``: each of its values would stand in the conditions of other parameters."""


def language_model_space(section: Mapping[str, Any], *, search_unlisted: bool) -> Space:
    """The space of a language-model sweep. Raises UserError with every fault of the section."""
    faults: list[str] = []
    chosen = {}
    for part, room in catalog.STRATEGY_ROOMS.items():
        every = Choice(tuple(catalog.names(room)))
        chosen[part] = every  # stands in for a faulty part, so that the rest can be checked
        with _naming(faults, f"space.{part}: "):
            chosen[part] = _strategies(section.get(part, list(every.options) if search_unlisted else STANDARD[part]), every)
    space = _opened(chosen)
    listed = {name: written for name, written in section.items() if name not in chosen}
    if not search_unlisted:
        space = _pinned(space, {p.name for p in space} - chosen.keys() - listed.keys())
    # A condition is split along the values of its parents, so these are narrowed first.
    for name, written in sorted(listed.items(), key=lambda item: isinstance(item[1], dict) and "when" in item[1]):
        with _naming(faults, f"space.{name}: "):
            space = _narrowed(space, str(name), written)
    if faults:
        raise UserError("The search space does not hold together:", faults)
    fragments = (Space.of(**{p.name: p.domain}).when(**p.when) for p in space)  # joined, they stand in order again
    return Space(reduce(or_, fragments).parameters)


@contextmanager
def _naming(faults: list[str], place: str = "") -> Iterator[None]:
    """What is raised inside becomes faults of ``place``."""
    try:
        yield
    except UserError as error:
        faults += [f"{place}{fault}" for fault in error.faults or (error.message,)]


def _strategies(written: Any, every: Choice) -> Choice | Fixed:
    if isinstance(written, dict) and "when" in written:
        raise UserError("when: a strategy stands under no condition; leave it out")
    chosen = _domain([written] if isinstance(written, str) else written, every)
    assert isinstance(chosen, Choice | Fixed)
    return chosen


def _opened(chosen: Mapping[str, Choice | Fixed]) -> Sequence[Parameter]:
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


def _narrowed(space: Sequence[Parameter], name: str, written: Any) -> Sequence[Parameter]:
    """``space`` with the user's domain in place of the plug-in's, wherever ``name`` stands and ``when`` holds.

    ``search`` leaves the plug-in's own domain, ``default`` its default. The result need not be in order.
    """
    mine = [p for p in space if p.name == name]
    if not mine:
        raise UserError(f"is not a parameter of the chosen strategies.{did_you_mean(name, {p.name for p in space})}")
    if isinstance(written, str) and written in ("search", "default"):
        return space if written == "search" else _pinned(space, {name})
    ways = _ways(_condition(written.get("when", {}), space), space) if isinstance(written, dict) else [{}]
    if any(name in way for way in ways):
        raise UserError(f'when: "{name}" cannot depend on itself, nor on what it opens')
    if not any(_both(p.when, way) is not None for p in mine for way in ways):
        raise UserError(f'when: "{name}" never exists there, only under {" or ".join(_spelled(p.when) for p in mine)}')
    return [piece for p in space for piece in (_split(p, written, ways, space) if p.name == name else [p])]


def _condition(when: Any, space: Sequence[Parameter]) -> When:
    """What is written as ``when``, with every parent and value known to ``space``."""
    if not isinstance(when, dict):
        raise UserError(f"when: expected a mapping such as {{optimizer: sgd}}, found {when!r}")
    faults: list[str] = []
    condition = {}
    for parent, values in when.items():
        with _naming(faults, f"when: {parent}: "):
            option = partial(_option, options=_known(str(parent), space))
            condition[str(parent)] = _each(option, values if isinstance(values, list) else [values])
    if faults:
        raise UserError("This condition does not work:", faults)
    return condition


def _ways(when: When, space: Sequence[Parameter]) -> list[When]:
    """Every way in which ``when`` can hold, no two of them at once. Each names what opens its parents too, outermost first."""
    ways: list[When] = [{}]
    for parent, allowed in when.items():
        entries = [(p.when, tuple(v for v in allowed if v in _values(p.domain))) for p in space if p.name == parent]
        openings = [_both(opening, {parent: values}) for above, values in entries for opening in _ways(above, space)]
        joined = [_both(way, opening) for way in ways for opening in openings if opening is not None]
        ways = [way for way in joined if way is not None]
    return ways


def _both(one: When, other: When) -> When | None:
    """The condition that both hold; None if they never do together."""
    both = {**one, **other, **{parent: tuple(v for v in one[parent] if v in other[parent]) for parent in one.keys() & other.keys()}}
    return both if all(both.values()) else None


def _split(parameter: Parameter, written: Any, ways: Sequence[When], space: Sequence[Parameter]) -> Iterator[Parameter]:
    """``parameter`` with the user's domain where one of ``ways`` holds, and as it was everywhere else."""
    outside = [parameter]
    for way in ways:
        when = _both(parameter.when, way)
        if when is not None:
            yield Parameter(parameter.name, _domain(written, parameter.domain), when)
        outside = [piece for p in outside for piece in _outside(p, way, space)]
    yield from outside


def _outside(parameter: Parameter, way: When, space: Sequence[Parameter]) -> Iterator[Parameter]:
    """``parameter`` where ``way`` does not hold: for each parent in turn its other values, with those of the parents before held."""
    if _both(parameter.when, way) is None:
        yield parameter
        return
    held = dict(parameter.when)
    for parent, taken in way.items():
        known = held.get(parent) or _known(parent, space)
        others = tuple(v for v in known if v not in taken)
        if others:
            yield replace(parameter, when={**held, parent: others})
        held[parent] = tuple(v for v in known if v in taken)


def _known(parent: str, space: Sequence[Parameter]) -> tuple[Value, ...]:
    """Every value that ``parent`` can have."""
    domains = [p.domain for p in space if p.name == parent]
    if not domains:
        raise UserError(f"is not a parameter.{did_you_mean(parent, {p.name for p in space})}")
    return tuple(dict.fromkeys(value for domain in domains for value in _values(domain)))


def _values(domain: Domain) -> tuple[Value, ...]:
    if isinstance(domain, Choice):
        return domain.options
    if isinstance(domain, Fixed):
        return (domain.value,)
    if isinstance(domain, Boolean):
        return (False, True)
    if isinstance(domain, Int) and domain.high - domain.low < MOST_VALUES:
        return tuple(range(domain.low, domain.high + 1, domain.step or 1))
    raise UserError("has too many values for a condition; give it a list of values first, such as [1, 2]")


def _spelled(when: When) -> str:
    return ", ".join(f"{parent}: {' or '.join(map(str, values))}" for parent, values in when.items())


def _domain(written: Any, own: Domain) -> Domain:
    """A value (fixed), a list (choice) or a mapping such as ``{float: [1e-4, 1e-2], log: true}``, of the type of the plug-in's ``own``."""
    if isinstance(written, str):
        return Fixed(_word(written, own))
    if not isinstance(written, dict):
        written = {"choice" if isinstance(written, list) else "value": written}
    options = {key: value for key, value in written.items() if key != "when"}
    kind = _kind(options, own)
    subject = options.pop(kind)
    read = _options(options, {**_OPTIONS[kind], **({"default": _reader(own)} if kind == "choice" else {})})
    if kind == "value":
        return Fixed(_reader(own)(subject))
    if kind == "boolean":
        return Boolean(**read)
    if kind == "choice":
        values = _each(_reader(own), subject)
        return Choice(values, **read) if len(values) != 1 or read else Fixed(values[0])
    if not isinstance(subject, list) or len(subject) != 2:
        raise UserError(f"expected {kind}: [low, high], found {subject!r}")
    low, high = _each(_READERS[kind], subject)
    return Float(low, high, **read) if kind == "float" else Int(low, high, **read)


def _kind(entry: Mapping[str, Any], own: Domain) -> str:
    """Which of float, int, … ``entry`` is: the one that it names, if a domain of the type of ``own`` can be written so."""
    fitting = (*_RANGES[_type(own)], "choice", "value")
    kinds = [kind for kind in _OPTIONS if kind in entry]
    if len(kinds) != 1 or kinds[0] not in fitting:
        raise UserError(
            f"expected {_noun(own)}: a value, a list, or a mapping with one of {', '.join(fitting)}; found {dict(entry)!r}"
        )
    return kinds[0]


def _options(entry: Mapping[str, Any], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The options that stand beside a range, by the names that the domain has for them."""
    faults = [f'there is no option "{key}".{did_you_mean(str(key), readers)}' for key in entry if key not in readers]
    read = {}
    for key in (key for key in entry if key in readers):
        with _naming(faults, f"{key}: "):
            read["initial" if key == "default" else key] = readers[key](entry[key])
    if faults:
        raise UserError("These options do not work:", faults)
    return read


def _each(read: Reader, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list):
        raise UserError(f"expected a list, found {values!r}")
    made, faults = [], list[str]()
    for value in values:
        with _naming(faults):
            made.append(read(value))
    if faults:
        raise UserError("These values do not work:", faults)
    return tuple(made)


def _word(text: str, own: Domain) -> Value:
    """A value that YAML took for text, or is text. Anything else was meant as one of the words for a range."""
    try:
        value: Value = _reader(own)(text)
    except UserError:
        words = ["search", "default", *(map(str, _values(own)) if _type(own) == "choice" else ())]
        expected = f'expected {_noun(own)}, a list, a range, "search" or "default"'
        raise UserError(f'{expected}; found "{text}".{did_you_mean(text, words)}') from None
    return value


def _type(domain: Domain) -> str:
    """What its values are: float, int, boolean, or choice, if they can be told only by their list."""
    if isinstance(domain, Fixed):
        return {float: "float", int: "int", bool: "boolean"}.get(type(domain.value), "choice")
    return {Float: "float", Int: "int", Boolean: "boolean"}.get(type(domain), "choice")


def _noun(own: Domain) -> str:
    nouns = {"float": "a number", "int": "a whole number", "boolean": "true or false"}
    return nouns.get(_type(own)) or f"one of {', '.join(map(str, _values(own)))}"


def _reader(own: Domain) -> Reader:
    return partial(_option, options=_values(own)) if _type(own) == "choice" else _READERS[_type(own)]


def _option(value: Any, options: Sequence[Value]) -> Value:
    """The one of ``options`` that was meant; text may mean a number, but true is not 1."""
    candidates = [value]
    with suppress(UserError):
        candidates.append(_number(value))
    for option in options:
        if any(option == candidate and isinstance(option, bool) == isinstance(candidate, bool) for candidate in candidates):
            return option
    raise UserError(f'there is no "{value}".{did_you_mean(str(value), map(str, options))}')


def _number(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"expected a number, found {value!r}")
    return number


def _whole(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise UserError(f"expected a whole number, found {value!r}")
    return int(number)


def _share(value: Any) -> float:
    share = _number(value)
    if not 0 <= share <= 1:
        raise UserError(f"expected a probability in [0, 1], found {value!r}")
    return share


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"expected true or false, found {value!r}")
    return value


def _normal(value: Any) -> Normal:
    if not isinstance(value, dict) or value.keys() != {"center", "spread"}:
        raise UserError(f"expected {{center: …, spread: …}}, found {value!r}")
    return Normal(_number(value["center"]), _number(value["spread"]))


_READERS: dict[str, Reader] = {"float": _number, "int": _whole, "boolean": _truth}
"""By type: from what YAML made of it to a value."""

_OPTIONS: dict[str, dict[str, Reader]] = {
    "float": {"log": _truth, "complement": _truth, "step": _number, "prior": _normal, "default": _number},
    "int": {"log": _truth, "step": _whole, "prior": _normal, "default": _whole},
    "choice": {"prior": partial(_each, _number)},
    "boolean": {"prior": _share, "default": _truth},
    "value": {},
}
"""What may stand beside each kind of range. The default of a choice is read as its values are."""

_RANGES: dict[str, tuple[str, ...]] = {"float": ("float", "int"), "int": ("int",), "boolean": ("boolean",), "choice": ()}
"""The kinds of range that a parameter of each type may be given."""
