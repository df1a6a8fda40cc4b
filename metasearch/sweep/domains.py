"""How a domain is written in a sweep file: a value, a list, or a mapping such as ``{float: [1e-4, 1e-2], log: true}``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from metasearch.core.config import Value
from metasearch.core.domains import Boolean, Choice, Domain, Fixed, Float, Int
from metasearch.core.errors import UserError, did_you_mean

Reader = Callable[[Any], Any]

MOST_VALUES = 1000
"""A wider range cannot be a parent in ``when``: all of its values would stand in the conditions of others."""


@contextmanager
def naming(faults: list[str], place: str = "") -> Iterator[None]:
    """UserErrors raised inside become faults of ``place``."""
    try:
        yield
    except UserError as error:
        faults += [f"{place}{fault}" for fault in error.faults or (error.message,)]


def values_of(domain: Domain) -> tuple[Value, ...]:
    if isinstance(domain, Choice):
        return domain.options
    if isinstance(domain, Fixed | Boolean):
        return tuple(domain.grid(2))
    if isinstance(domain, Int) and domain.high - domain.low < MOST_VALUES:
        return tuple(range(domain.low, domain.high + 1, domain.step or 1))
    raise UserError("has too many values for a condition; narrow it to a list such as [1, 2]")


def domain_of(written: Any, own: Domain) -> Domain:
    """A value (fixed), a list (choice) or a mapping such as ``{float: [1e-4, 1e-2], log: true}``, of values such as ``own`` has."""
    if isinstance(written, str):
        return Fixed(_word(written, own))
    return _built_of(written, *_type(own))


def free_domain(written: Any) -> Domain:
    """The same where nobody says what the values must be. Text such as 1e-3 is a number, which YAML takes for text."""
    return _built_of(written, "a value", ("float", "int", "boolean"), _plain)


def _built_of(written: Any, noun: str, ranges: tuple[str, ...], read: Reader) -> Domain:
    if isinstance(written, list):
        written = {"choice": written} if len(written) != 1 else {"value": written[0]}
    options = dict(written) if isinstance(written, dict) else {"value": written}
    known, kinds = (*ranges, "choice", "value"), [kind for kind in _KINDS if kind in options]
    if len(kinds) != 1 or kinds[0] not in known:
        raise UserError(f"expected {noun}, a list, or a mapping with one of {', '.join(known)}; found {written!r}")
    subject = _subject(kinds[0], options.pop(kinds[0]), read)
    if "options" in subject and "default" in options:
        options["default"] = option_of(subject["options"], options["default"])
    return _built(_KINDS[kinds[0]], subject, options)


def _plain(value: Any) -> Value:
    if isinstance(value, str):
        return float(value) if re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value) else value
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise UserError(f"expected a finite number, true, false or text, found {value!r}")


def _subject(kind: str, written: Any, read: Reader) -> dict[str, Any]:
    """What must be known of a domain of this kind, by its fields."""
    if kind == "choice":
        return {"options": each(read, written)}
    if kind in ("value", "boolean"):
        return {"value": read(written)} if kind == "value" else {}
    if not isinstance(written, list) or len(written) != 2:
        raise UserError(f"expected {kind}: [low, high], found {written!r}")
    return dict(zip(("low", "high"), each(partial(_read, kind), written), strict=True))


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


def each(read: Reader, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list):
        raise UserError(f"expected a list, found {values!r}")
    made = []
    faults: list[str] = []
    for value in values:
        with naming(faults):
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
    return f"one of {', '.join(map(str, values_of(own)))}", (), partial(option_of, values_of(own))


def option_of(options: Sequence[Value], value: Any) -> Value:
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
