"""The types of a parameter: what values it may take and what its numbers mean.

Each domain maps the unit interval onto its values (through its prior where it has one), so that random, Sobol and grid search
need to know nothing else about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

from metasearch.core.config import Value
from metasearch.core.errors import UserError
from metasearch.core.scales import Scale


@dataclass(frozen=True)
class Normal:
    """A prior over a number: normal in the parameter's scale (decades for ``log``), cut to its range."""

    center: float
    spread: float


class Domain(Protocol):
    """Values of one parameter. ``default`` is used wherever the parameter is not searched."""

    @property
    def default(self) -> Value: ...
    @property
    def scale(self) -> Scale: ...
    def from_unit(self, u: float) -> Value: ...
    def grid(self, resolution: int) -> Iterator[Value]: ...
    def fault(self, value: Value) -> str | None: ...


@dataclass(frozen=True)
class Float:
    """A real number in [low, high]. ``log``: its decades matter, not its differences. ``step``: only low + k · step.

    ``complement`` is for numbers whose distance from one is what matters (momentum, beta2).
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    prior: Normal | None = None
    initial: float | None = None
    complement: bool = False

    def __post_init__(self) -> None:
        _check_range(self)

    @property
    def scale(self) -> Scale:
        return Scale.LOG if self.log else Scale.COMPLEMENT if self.complement else Scale.LINEAR

    @property
    def default(self) -> float:
        return self.from_unit(0.5) if self.initial is None else self.initial

    def from_unit(self, u: float) -> float:
        return self.nearest(self.scale.decode(_code_at(u, self.scale.encode(self.low), self.scale.encode(self.high), self.prior)))

    def grid(self, resolution: int) -> Iterator[float]:
        low, high = self.scale.encode(self.low), self.scale.encode(self.high)
        yield from dict.fromkeys(self.nearest(self.scale.decode(low + u * (high - low))) for u in _ticks(resolution))

    def fault(self, value: Value) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"expected a number in [{self.low}, {self.high}], found {value!r}"
        return None if self.low <= value <= self.high else f"{value} is outside [{self.low}, {self.high}]"

    def nearest(self, number: float) -> float:
        if self.step is not None:
            most = math.floor((self.high - self.low) / self.step + 1e-9)
            number = self.low + min(max(round((number - self.low) / self.step), 0), most) * self.step
        return min(max(float(f"{number:.10g}"), self.low), self.high)


@dataclass(frozen=True)
class Int:
    """A whole number in [low, high], both included. ``log`` and ``step`` as for Float."""

    low: int
    high: int
    log: bool = False
    step: int | None = None
    prior: Normal | None = None
    initial: int | None = None

    def __post_init__(self) -> None:
        _check_range(self)

    @property
    def scale(self) -> Scale:
        return Scale.LOG if self.log else Scale.LINEAR

    @property
    def default(self) -> int:
        return self.from_unit(0.5) if self.initial is None else self.initial

    def from_unit(self, u: float) -> int:
        # Half a step beyond both ends, so that the end points get as much of the unit interval as their neighbours.
        margin = 0.5 * (self.step or 1)
        below = max(self.low - margin, 0.5) if self.log else self.low - margin
        return self.nearest(
            self.scale.decode(_code_at(u, self.scale.encode(below), self.scale.encode(self.high + margin), self.prior))
        )

    def grid(self, resolution: int) -> Iterator[int]:
        low, high = self.scale.encode(self.low), self.scale.encode(self.high)
        yield from dict.fromkeys(self.nearest(self.scale.decode(low + u * (high - low))) for u in _ticks(resolution))

    def fault(self, value: Value) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"expected a whole number in [{self.low}, {self.high}], found {value!r}"
        return None if self.low <= value <= self.high else f"{value} is outside [{self.low}, {self.high}]"

    def nearest(self, number: float) -> int:
        step = self.step or 1
        snapped = self.low + math.floor((number - self.low) / step + 0.5) * step
        return min(max(int(snapped), self.low), self.low + (self.high - self.low) // step * step)


@dataclass(frozen=True)
class Choice:
    """One of several options. ``prior``: their weights, in the same order."""

    options: tuple[Value, ...]
    prior: tuple[float, ...] | None = None
    initial: Value | None = None

    def __post_init__(self) -> None:
        if not self.options or len(set(self.options)) != len(self.options):
            raise UserError(f"A choice needs at least one option and each option once; found {list(self.options)}.")
        if self.prior is not None and (len(self.prior) != len(self.options) or min(self.prior) < 0 or sum(self.prior) <= 0):
            raise UserError(
                f"A choice of {len(self.options)} options needs as many weights ≥ 0, not all 0; found {list(self.prior)}."
            )
        if self.initial is not None and self.initial not in self.options:
            raise UserError(f"The default {self.initial!r} is not among the options {list(self.options)}.")

    @property
    def scale(self) -> Scale:
        return Scale.LINEAR

    @property
    def default(self) -> Value:
        return self.options[0] if self.initial is None else self.initial

    def from_unit(self, u: float) -> Value:
        weights = self.prior or (1.0,) * len(self.options)
        left = u * sum(weights)
        for option, weight in zip(self.options, weights, strict=True):
            left -= weight
            if left < 0:
                return option
        return self.options[-1]

    def grid(self, resolution: int) -> Iterator[Value]:
        yield from self.options

    def fault(self, value: Value) -> str | None:
        return None if value in self.options else f"{value!r} is not one of {', '.join(map(str, self.options))}"


@dataclass(frozen=True)
class Boolean:
    """True or false. ``prior``: the probability of true."""

    prior: float = 0.5
    initial: bool = False

    @property
    def scale(self) -> Scale:
        return Scale.LINEAR

    @property
    def default(self) -> bool:
        return self.initial

    def from_unit(self, u: float) -> bool:
        return u < self.prior

    def grid(self, resolution: int) -> Iterator[bool]:
        yield from (False, True)

    def fault(self, value: Value) -> str | None:
        return None if isinstance(value, bool) else f"expected true or false, found {value!r}"


@dataclass(frozen=True)
class Fixed:
    """A value that is not searched, but belongs to every config, so that stored configs are complete."""

    value: Value

    @property
    def scale(self) -> Scale:
        return Scale.LINEAR

    @property
    def default(self) -> Value:
        return self.value

    def from_unit(self, u: float) -> Value:
        return self.value

    def grid(self, resolution: int) -> Iterator[Value]:
        yield self.value

    def fault(self, value: Value) -> str | None:
        return None if value == self.value else f"is fixed at {self.value!r}, found {value!r}"


DOMAINS: dict[str, Callable[..., Domain]] = {"float": Float, "int": Int, "choice": Choice, "boolean": Boolean, "fixed": Fixed}
"""Every domain by its name in a sweep file and in the log."""


def _ticks(resolution: int) -> list[float]:
    return [0.5] if resolution < 2 else [k / (resolution - 1) for k in range(resolution)]


def _code_at(u: float, low: float, high: float, prior: Normal | None) -> float:
    """The quantile ``u`` of the prior cut to [low, high], in scale coordinates."""
    if prior is None:
        return low + u * (high - low)
    normal = NormalDist(prior.center, prior.spread)
    below, above = normal.cdf(low), normal.cdf(high)
    share = min(max(below + u * (above - below), 1e-12), 1 - 1e-12)
    return min(max(normal.inv_cdf(share), low), high)


def _check_range(domain: Float | Int) -> None:
    """Raises UserError with every fault of a numeric range."""
    low, high, shown = domain.low, domain.high, f"[{domain.low}, {domain.high}]"
    faults = []
    if not (math.isfinite(low) and math.isfinite(high)):
        faults.append(f"the range must be finite, found {shown}")
    if low > high:
        faults.append(f"the range must be [low, high] with low ≤ high, found {shown}")
    if domain.scale is Scale.LOG and low <= 0:
        faults.append(f"a log range must lie above 0, found {shown}")
    if domain.scale is Scale.COMPLEMENT and high >= 1:
        faults.append(f"a complement range must lie below 1, found {shown}")
    if domain.step is not None and domain.step <= 0:
        faults.append(f"the step must be above 0, found {domain.step}")
    if domain.initial is not None and not low <= domain.initial <= high:
        faults.append(f"the default {domain.initial} is outside {shown}")
    if domain.prior is not None and not domain.prior.spread > 0:
        faults.append(f"the spread of a prior must be above 0, found {domain.prior.spread}")
    if faults:
        raise UserError("This range does not work:", faults)
