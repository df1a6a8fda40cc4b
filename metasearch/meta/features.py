"""Configs as points: one encoding by parameter meaning, whatever range a sweep searched and whatever branches it took.

A number's coordinate is its code (decades of a learning rate) about the centre of everything known, in widths of its range; a
choice has one coordinate for each option. Euclidean distances between such points are what the kernels see. Three things differ:
a parameter that is *present* stands at its value; one that is *absent* (its branch was not taken) stands at the centre but off
the line, at a distance from every value; one that is *unknown* (that sweep never had it) stands at the centre, as near to all as
can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metasearch.core.domains import Choice, Fixed, Float, Int
from metasearch.core.scales import LEARNING_RATES, Scale
from metasearch.core.space import Space, encode_value

Code = Mapping[str, float | str]

ABSENT = "\x00absent"
FURTHEST = 3.0
"""Coordinates are cut here: what lies further from everything known is far away, however far."""

LEAST_WIDTH = {Scale.LOG: 0.75, Scale.COMPLEMENT: 0.75, Scale.LINEAR: 1e-6}
"""Half a range, in codes. Narrower ranges are not blown up: what differs little in meaning differs little here."""


@dataclass(frozen=True)
class Layout:
    """Which coordinate is what. ``numbers``: name to (centre, width); ``options``: name to the texts seen for it."""

    numbers: Mapping[str, tuple[float, float]]
    options: Mapping[str, tuple[str, ...]]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.numbers.keys() | self.options.keys()))

    @cached_property
    def groups(self) -> tuple[tuple[str, str], ...]:
        """Coordinates in order, as (parameter, kind): kinds are "number", "absent" and "option"."""
        columns: list[tuple[str, str]] = []
        for name in self.names:
            if name in self.numbers:
                columns.append((name, "number"))
            columns.append((name, "absent"))
            columns += [(name, "option")] * len(self.options.get(name, ()))
        return tuple(columns)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What each coordinate is called: the parameter for a number, ``parameter=option`` for an option; "" for an absence."""
        called: list[str] = []
        for name in self.names:
            called += [name, ""] if name in self.numbers else [""]
            called += [f"{name}={text}" for text in self.options.get(name, ())]
        return tuple(called)

    @cached_property
    def rates(self) -> np.ndarray:
        """Which coordinates are learning rates: their length scales are short, and the best move with the rest of the config."""
        return np.array([name in LEARNING_RATES and kind == "number" for name, kind in self.groups], dtype=bool)

    def point(self, code: Code, known: Iterable[str] | None = None) -> np.ndarray:
        """The coordinates of one config. ``known``: the parameters of its space; others are unknown, not absent."""
        names = None if known is None else frozenset(known)
        row: list[float] = []
        for name in self.names:
            value = code.get(name)
            absent = value is None and (names is None or name in names)
            if name in self.numbers:
                centre, width = self.numbers[name]
                off = 0.0 if value is None or isinstance(value, str) else (value - centre) / width
                row.append(min(max(off, -FURTHEST), FURTHEST))
            row.append(float(absent))
            row += [float(value == option) for option in self.options.get(name, ())]
        return np.array(row)

    def points(self, codes: Sequence[Code], known: Iterable[str] | None = None) -> np.ndarray:
        names = None if known is None else frozenset(known)
        return np.array([self.point(code, names) for code in codes]).reshape(len(codes), len(self.groups))


def layout_of(codes: Iterable[Code], space: Space | None = None, base: Layout | None = None) -> Layout:
    """A layout for all ``codes`` and all that ``space`` may hold. What ``base`` has already keeps its centre and width."""
    numbers: dict[str, list[float]] = {}
    options: dict[str, dict[str, None]] = {name: dict.fromkeys(texts) for name, texts in (base.options if base else {}).items()}
    scales: dict[str, Scale] = {}
    for code in codes:
        for name, value in code.items():
            if isinstance(value, str):
                options.setdefault(name, {})[value] = None
            else:
                numbers.setdefault(name, []).append(value)
    for parameter in space or ():
        name, domain = parameter.name, parameter.domain
        if isinstance(domain, Float | Int):
            ends = [encode_value(name, end, domain.scale) for end in (domain.low, domain.high)]
            numbers.setdefault(name, []).extend(end for end in ends if not isinstance(end, str))
            scales[name] = domain.scale
        else:
            for value in (
                domain.options
                if isinstance(domain, Choice)
                else (domain.value,)
                if isinstance(domain, Fixed)
                else ("True", "False")
            ):
                shown = encode_value(name, value, domain.scale)
                if isinstance(shown, str):
                    options.setdefault(name, {})[shown] = None
                else:
                    numbers.setdefault(name, []).append(shown)
    ranges = dict(base.numbers) if base else {}
    for name, values in numbers.items():
        if name not in ranges:
            low, high = min(values), max(values)
            ranges[name] = ((low + high) / 2, max((high - low) / 2, LEAST_WIDTH[scales.get(name, Scale.LINEAR)]))
    return Layout(ranges, {name: tuple(sorted(texts)) for name, texts in options.items()})
