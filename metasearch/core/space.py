"""What may be tried: typed parameters, some of which exist only under a choice.

A space is a flat tuple of parameters. A parameter's ``when`` names the choices that open it, to any depth:

>>> space = Space.of(optimizer=Choice(("adam", "sgd")), lr=Float(1e-4, 1e-1, log=True))
>>> space = space | Space.of(momentum=Float(0.0, 0.99)).when(optimizer="sgd")

A name may stand more than once, with different domains, if no config can open two of them.
Configs are encoded by meaning (log10 of a learning rate), never by position inside a range, so that sweeps with other ranges
stay comparable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from metasearch.core.config import Config, Value
from metasearch.core.domains import Boolean, Choice, Domain, Fixed, Float, Int
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.scales import MEANING, Scale

__all__ = ["Boolean", "Choice", "Domain", "Fixed", "Float", "Int", "Parameter", "Space"]

When = Mapping[str, tuple[Value, ...]]


@dataclass(frozen=True)
class Parameter:
    """A name, its domain, and the choices that must have been made for it to exist (all of ``when``)."""

    name: str
    domain: Domain
    when: When = field(default_factory=dict)

    def open_in(self, values: Mapping[str, Value]) -> bool:
        return not self.when or all(values.get(parent, _ABSENT) in allowed for parent, allowed in self.when.items())

    def excludes(self, other: Parameter) -> bool:
        """Can no config open both? True if a shared parent needs disjoint values."""
        shared = self.when.keys() & other.when.keys()
        return any(not set(self.when[name]) & set(other.when[name]) for name in shared)


_ABSENT = object()


@dataclass(frozen=True)
class Space:
    """Parameters in an order in which parents come before what they open.

    With ``candidates`` the space is finite: only those configs may be tried (a table of recorded trials).
    Raises UserError if a parent is missing, comes too late, or two parameters of one name can be open together.
    """

    parameters: tuple[Parameter, ...] = ()
    candidates: tuple[Config, ...] = ()

    def __post_init__(self) -> None:
        faults = list(_faults(self.parameters))
        if faults:
            raise UserError("The search space does not hold together:", faults)

    @staticmethod
    def of(**domains: Domain) -> Space:
        return Space(tuple(Parameter(name, domain) for name, domain in domains.items()))

    def when(self, **parents: Value | Sequence[Value]) -> Space:
        """The same parameters, open only under these choices too. Parents may stand in another space until both are joined."""
        added = {name: _as_tuple(allowed) for name, allowed in parents.items()}
        return _Fragment(tuple(replace(p, when={**added, **p.when}) for p in self.parameters))

    def __or__(self, other: Space) -> Space:
        """Both spaces' parameters. Where they share name and domain and differ in one parent, the conditions are merged."""
        joined: list[Parameter] = list(self.parameters)
        for parameter in other.parameters:
            for position, known in enumerate(joined):
                merged = _merge(known, parameter)
                if merged is not None:
                    joined[position] = merged
                    break
            else:
                joined.append(parameter)
        kind = _Fragment if isinstance(self, _Fragment) and isinstance(other, _Fragment) else Space
        return kind(_parents_first(joined), self.candidates + other.candidates)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p.name for p in self.parameters))

    def open_parameters(self, values: Mapping[str, Value]) -> Iterator[Parameter]:
        return (p for p in self.parameters if p.open_in(values))

    def from_unit(self, unit_P: Sequence[float] | np.ndarray) -> Config:
        """The config at a point of the unit cube, one coordinate in [0, 1) per parameter; closed ones are ignored."""
        values: dict[str, Value] = {}
        for parameter, u in zip(self.parameters, unit_P, strict=True):
            if parameter.open_in(values):
                values[parameter.name] = parameter.domain.from_unit(float(u))
        return self.project(Config(values)) if self.candidates else Config(values)

    def sample(self, rng: np.random.Generator) -> Config:
        """A config drawn from the parameters' priors (uniform in scale where there is none)."""
        if self.candidates:
            return self.candidates[int(rng.integers(len(self.candidates)))]
        return self.from_unit(rng.random(len(self.parameters)))

    def default(self) -> Config:
        values: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.open_in(values):
                values[parameter.name] = parameter.domain.default
        return self.project(Config(values)) if self.candidates else Config(values)

    def grid(self, resolution: int) -> Iterator[Config]:
        """Every combination of at most ``resolution`` values per parameter, each config once."""
        if self.candidates:
            yield from self.candidates
        else:
            yield from self._grid(resolution, 0, {})

    def _grid(self, resolution: int, depth: int, values: dict[str, Value]) -> Iterator[Config]:
        if depth == len(self.parameters):
            yield Config(values)
            return
        parameter = self.parameters[depth]
        if not parameter.open_in(values):
            yield from self._grid(resolution, depth + 1, values)
            return
        for value in parameter.domain.grid(resolution):
            yield from self._grid(resolution, depth + 1, {**values, parameter.name: value})

    def check(self, values: Mapping[str, Value]) -> list[str]:
        """All faults of a config against this space; empty if it is a point of it."""
        expected = {p.name: p for p in self.open_parameters(values)}
        faults = [f'"{name}" is missing' for name in expected.keys() - values.keys()]
        for name, value in values.items():
            if name in expected:
                fault = expected[name].domain.fault(value)
                faults += [f'"{name}": {fault}'] if fault else []
            elif name in self.names:
                faults.append(f'"{name}" is given but closed under these choices')
            else:
                faults.append(f'"{name}" is not a parameter.{did_you_mean(name, self.names)}')
        return sorted(faults)

    def complete(self, values: Mapping[str, Value]) -> Config:
        """``values`` with closed parameters dropped and open ones added at their defaults."""
        completed: dict[str, Value] = {}
        for p in self.parameters:
            if p.open_in(completed):
                given = values.get(p.name)
                completed[p.name] = p.domain.default if given is None or p.domain.fault(given) else given
        return self.project(Config(completed)) if self.candidates else Config(completed)

    def encode(self, config: Mapping[str, Value]) -> dict[str, float | str]:
        """Coordinates by meaning: numbers in their parameter's scale, everything else as text."""
        present = (p for p in self.parameters if p.name in config and p.open_in(config))
        return {p.name: encode_value(p.name, config[p.name], p.domain.scale) for p in present}

    def project(self, config: Config, without: Collection[str] = ()) -> Config:
        """The nearest candidate of a finite space (Gower distance: mean of per-parameter distances, 1 where absent).

        ``without``: ids of candidates that are out of the question; at least one must be left.
        """
        if not self.candidates:
            return config
        table_CN, text_CN = self._candidate_table
        query = self.encode(config)
        distance_C = np.zeros(len(self.candidates))
        for column, name in enumerate(self.names):
            value = query.get(name)
            if isinstance(value, float):
                gap_C = np.abs(table_CN[:, column] - value) / self._candidate_width[column]
                distance_C += np.where(np.isnan(gap_C), 1.0, np.minimum(gap_C, 1.0))
            else:
                distance_C += text_CN[:, column] != (value or "")
        if without:
            distance_C[[candidate.id in without for candidate in self.candidates]] = np.inf
        return self.candidates[int(np.argmin(distance_C))]

    @cached_property
    def _candidate_table(self) -> tuple[np.ndarray, np.ndarray]:
        codes = [self.encode(candidate) for candidate in self.candidates]
        numbers = [[c[n] if isinstance(c.get(n), float) else np.nan for n in self.names] for c in codes]
        texts = [[c[n] if isinstance(c.get(n), str) else "" for n in self.names] for c in codes]
        return np.array(numbers, dtype=float), np.array(texts, dtype=object)

    @cached_property
    def _candidate_width(self) -> np.ndarray:
        table_CN = self._candidate_table[0]
        known = ~np.all(np.isnan(table_CN), axis=0)
        width_N = np.ones(table_CN.shape[1])
        width_N[known] = np.nanmax(table_CN[:, known], axis=0) - np.nanmin(table_CN[:, known], axis=0)
        return np.where(width_N > 0, width_N, 1.0)


class _Fragment(Space):
    """Parameters whose parents stand elsewhere; checked once they are joined to a whole space."""

    def __post_init__(self) -> None:
        return


def encode_value(name: str, value: Value, scale: Scale) -> float | str:
    """The coordinate of one value: by the field's meaning of ``name`` where it has one, else by ``scale``."""
    if isinstance(value, str | bool):
        return str(value)
    return MEANING.get(name, scale).encode(float(value))


def _as_tuple(allowed: Value | Sequence[Value]) -> tuple[Value, ...]:
    return (allowed,) if isinstance(allowed, str | int | float | bool) else tuple(allowed)


def _merge(known: Parameter, other: Parameter) -> Parameter | None:
    """One parameter that stands for both, if they are the same but for the values of at most one parent."""
    if known.name != other.name or known.domain != other.domain or known.when.keys() != other.when.keys():
        return None
    differing = [name for name in known.when if known.when[name] != other.when[name]]
    if len(differing) > 1:
        return None
    union = {name: tuple(dict.fromkeys(known.when[name] + other.when[name])) for name in differing}
    return replace(known, when={**known.when, **union})


def _parents_first(parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """A stable order in which every parent comes before what it opens; parents that never appear are ignored."""
    waiting = list(parameters)
    ordered: list[Parameter] = []
    while waiting:
        blocked = {p.name for p in waiting}
        ready = [p for p in waiting if not blocked & p.when.keys()]
        if not ready:
            return (*ordered, *waiting)  # a cycle: reported by the check
        ordered += ready
        waiting = [p for p in waiting if p not in ready]
    return tuple(ordered)


def _faults(parameters: Sequence[Parameter]) -> Iterator[str]:
    every = {p.name for p in parameters}
    seen: list[Parameter] = []
    for parameter in parameters:
        for parent in parameter.when:
            if parent not in every:
                yield f'"{parameter.name}" is opened by "{parent}", which is not a parameter.{did_you_mean(parent, every)}'
            elif parent not in {p.name for p in seen}:
                yield f'"{parameter.name}" stands before "{parent}", which opens it'
        for other in seen:
            if other.name == parameter.name and not parameter.excludes(other):
                yield f'"{parameter.name}" stands twice and both can be open at once'
        seen.append(parameter)
