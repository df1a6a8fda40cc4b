"""The ``space`` section of a sweep over one's own training: no plug-in knows its parameters, so the section says all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial, reduce
from operator import or_
from typing import Any

from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.space import Parameter, Space, When
from metasearch.sweep.domains import each, free_domain, naming, option_of, values_of


def own_space(section: Mapping[str, Any]) -> Space:
    """The space as written: a value, a list, a range, or a list of ranges that exist under different conditions.

    Raises UserError with every fault of the section.
    """
    faults: list[str] = [] if section else ["space: name at least one parameter, as in lr: {float: [1e-4, 1e-1], log: true}"]
    parameters: list[Parameter] = []
    for name, written in section.items():
        with naming(faults, f"space.{name}: "):
            parameters += [Parameter(str(name), free_domain(part), when) for part, when in _parts(written)]
    known: list[Parameter] = []
    for parameter in parameters:
        with naming(faults, f"space.{parameter.name}: when: "):
            known.append(Parameter(parameter.name, parameter.domain, _condition(parameter.when, parameters, section)))
    if faults:
        raise UserError("The search space does not hold together:", faults)
    return Space(reduce(or_, (Space.of(**{p.name: p.domain}).when(**p.when) for p in known)).parameters)


def _parts(written: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each domain with its condition as written."""
    several = isinstance(written, list) and bool(written) and all(isinstance(part, dict) for part in written)
    for part in written if several else [written]:
        domain = dict(part) if isinstance(part, dict) else part
        when = domain.pop("when", {}) if isinstance(domain, dict) else {}
        if not isinstance(when, dict):
            raise UserError(f"when: expected a mapping such as {{optimizer: sgd}}, found {when!r}")
        yield domain, when


def _condition(when: Mapping[str, Any], parameters: list[Parameter], section: Mapping[str, Any]) -> When:
    """``when`` in the values that the parents can have."""
    faults: list[str] = []
    found = {}
    for parent, allowed in when.items():
        with naming(faults, f"{parent}: "):
            if parent not in section:
                raise UserError(f"is not a parameter.{did_you_mean(str(parent), map(str, section))}")
            options = [value for p in parameters if p.name == parent for value in values_of(p.domain)]
            if options:  # else the parent itself is faulty, and that is said already
                found[parent] = each(partial(option_of, options), allowed if isinstance(allowed, list) else [allowed])
    if faults:
        raise UserError("This condition does not work:", faults)
    return found
