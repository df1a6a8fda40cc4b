"""From the ``space`` section of a sweep file to a ``Space``: what the chosen plug-ins open, narrowed by what the user wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from metasearch import catalog
from metasearch.core.config import Value
from metasearch.core.domains import Boolean, Choice, Domain, Fixed, Float, Int, Normal
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.space import Parameter, Space
from metasearch.training.loop import SPACE as TRAINING

STANDARD = {"model": "lstm", "optimizer": "adamw", "schedule": "cosine", "clipping": "norm", "init": "default"}
"""The strategy of a sweep that names none and does not search unlisted ones."""

_RANGES: dict[str, Callable[..., Domain]] = {"float": Float, "int": Int}


def language_model_space(section: Mapping[str, Any], *, search_unlisted: bool) -> Space:
    """The space of a language-model sweep. Raises UserError with every fault of the section."""
    chosen, faults = _strategies(section, search_unlisted)
    opened = TRAINING if faults else _opened(chosen)
    unlisted = set(opened.names) - set(catalog.STRATEGY_ROOMS) - section.keys()
    space = opened if search_unlisted else _pinned(opened, unlisted)
    for name, written in section.items():
        if name in catalog.STRATEGY_ROOMS:
            continue
        try:
            space = _narrowed(space, opened, str(name), written, known=not faults)
        except UserError as error:
            faults += [f"space.{name}: {fault}" for fault in (error.faults or (error.message,))]
    if faults:
        raise UserError("The search space does not hold together:", faults)
    return Space(space.parameters)


def _strategies(section: Mapping[str, Any], search_unlisted: bool) -> tuple[dict[str, list[str]], list[str]]:
    chosen, faults = {}, []
    for part, room in catalog.STRATEGY_ROOMS.items():
        known = catalog.names(room)
        written = section.get(part, known if search_unlisted else STANDARD[part])
        chosen[part] = [str(name) for name in written] if isinstance(written, list) else [str(written)]
        faults += [f'space.{part}: there is no "{name}".{did_you_mean(name, known)}' for name in chosen[part] if name not in known]
        if not chosen[part]:
            faults.append(f"space.{part}: needs at least one of {', '.join(known)}")
    return chosen, faults


def _opened(chosen: Mapping[str, Sequence[str]]) -> Space:
    """Every strategy choice with the parameters its options open, and those of the training loop."""
    space = TRAINING
    for part, options in chosen.items():
        choice: Domain = Choice(tuple(options)) if len(options) > 1 else Fixed(options[0])
        space = Space.of(**{part: choice}) | space
        for name in options:
            space = space | catalog.load(catalog.STRATEGY_ROOMS[part], name).SPACE.when(**{part: name})
    return space


def _pinned(space: Space, names: set[str]) -> Space:
    """``names`` fixed at their defaults."""
    return Space(tuple(replace(p, domain=Fixed(p.domain.default)) if p.name in names else p for p in space))


def _narrowed(space: Space, opened: Space, name: str, written: Any, *, known: bool) -> Space:
    """``space`` with the user's domain in place of the plug-in's, under ``when`` if it has one, else wherever the name stands.

    ``search`` leaves the plug-in's own domain, ``default`` its default.
    """
    mine = [p for p in opened if p.name == name]
    if not mine:
        raise UserError(f"is not a parameter of the chosen strategies.{did_you_mean(name, opened.names)}" if known else "")
    if written == "search":
        return space
    if written == "default":
        return _pinned(space, {name})
    domain = parse_domain(written)
    if not (isinstance(written, dict) and "when" in written):
        return Space(tuple(replace(p, domain=domain) if p.name == name else p for p in space))
    when = {str(parent): tuple(v if isinstance(v, list) else [v]) for parent, v in written["when"].items()}
    missing = [parent for parent in when if parent not in space.names]
    if missing:
        raise UserError("", [f'when: "{parent}" is not a parameter.{did_you_mean(parent, space.names)}' for parent in missing])
    narrowed = Parameter(name, domain, when)
    left = [rest for p in space for rest in ([p] if p.name != name else _without(p, narrowed))]
    return Space(tuple(left)) | Space.of(**{name: domain}).when(**when)


def _without(parameter: Parameter, taken: Parameter) -> Iterator[Parameter]:
    """``parameter`` where ``taken`` is closed."""
    if parameter.excludes(taken):
        yield parameter
        return
    for parent, values in taken.when.items():
        rest = tuple(v for v in parameter.when.get(parent, ()) if v not in values)
        if rest:
            yield replace(parameter, when={**parameter.when, parent: rest})
            return


def parse_domain(written: Any) -> Domain:
    """A value (fixed), a list (choice) or a mapping such as ``{float: [1e-4, 1e-2], log: true}``."""
    if isinstance(written, list):
        return Choice(tuple(written)) if len(written) != 1 else Fixed(written[0])
    if not isinstance(written, dict):
        return Fixed(_scalar(written))
    entry = {key: value for key, value in written.items() if key != "when"}
    kinds = [key for key in ("float", "int", "choice", "boolean", "value") if key in entry]
    if len(kinds) != 1:
        raise UserError(f"expected a value, a list, or a mapping with one of float, int, choice, boolean, value; found {written!r}")
    kind = kinds[0]
    subject = entry.pop(kind)
    if kind == "value":
        return Fixed(_scalar(subject))
    if kind == "choice":
        return Choice(**_options(Choice, entry), options=tuple(_list(subject, None)))
    if kind == "boolean":
        return Boolean(**_options(Boolean, entry))
    low, high = _list(subject, 2)
    return _RANGES[kind](_number(kind, low), _number(kind, high), **_options(Float if kind == "float" else Int, entry))


def _options(domain: type, entry: Mapping[str, Any]) -> dict[str, Any]:
    allowed = {field.name for field in fields(domain)} - {"low", "high", "options", "initial"} | {"default"}
    unknown = [key for key in entry if key not in allowed]
    if unknown:
        raise UserError("", [f'there is no option "{key}".{did_you_mean(key, allowed)}' for key in unknown])
    prior = entry.get("prior")
    made = {"initial" if key == "default" else key: value for key, value in entry.items() if key != "prior"}
    if prior is None:
        return made
    if isinstance(prior, dict):
        try:
            return {**made, "prior": Normal(**{key: float(value) for key, value in prior.items()})}
        except (TypeError, ValueError):
            raise UserError(f"expected prior: {{center: …, spread: …}}, found {prior!r}") from None
    return {**made, "prior": tuple(prior) if isinstance(prior, list) else prior}


def _number(kind: str, value: Any) -> Any:
    """YAML reads 1e-3 as text; people do not."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"expected a number, found {value!r}") from None
    if kind == "int" and number != int(number):
        raise UserError(f"expected a whole number, found {value!r}")
    return int(number) if kind == "int" else number


def _scalar(value: Any) -> Value:
    if isinstance(value, str):
        try:
            return float(value) if any(c.isdigit() for c in value) else value
        except ValueError:
            return value
    if isinstance(value, bool | int | float):
        return value
    raise UserError(f"expected a number, text, true or false, found {value!r}")


def _list(value: Any, length: int | None) -> list[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise UserError(f"expected {'[low, high]' if length else 'a list'}, found {value!r}")
    return value
