"""A space as the packages of others want it: without branches, every parameter either a real number or one of a few options.

No algorithm by itself: the searchers beside it are made of it. Numbers go from 0 to 1 along their parameter's scale (decades for
a learning rate); whole numbers are searched as real ones and rounded. A parameter that is closed stands at its default.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from metasearch.core.config import Config, Value
from metasearch.core.domains import Boolean, Choice, Float, Int
from metasearch.core.errors import UserError
from metasearch.core.space import Parameter, Space

Code = float | str


@dataclass(frozen=True)
class Axis:
    """One parameter with more than one value: one of ``options``, coded as its place among them, or a number coded in [0, 1].

    ``low`` and ``high``: the ends of the number's range in its scale.
    """

    name: str
    parameter: Parameter
    low: float = 0.0
    high: float = 0.0
    options: tuple[Value, ...] = ()

    def known(self, config: Mapping[str, Value]) -> Code | None:
        """The config's code, cut to the range; None if the parameter is absent, closed, or has another kind of value there."""
        return self._code(config.get(self.parameter.name)) if self.parameter.open_in(config) else None

    def code(self, config: Mapping[str, Value]) -> Code:
        known = self.known(config)
        default = self._code(self.parameter.domain.default) if known is None else known
        assert default is not None, f"the default of {self.parameter} must be one of its values"
        return default

    def value(self, code: Code) -> Value:
        domain = self.parameter.domain
        if not isinstance(domain, Float | Int):
            return self.options[int(code)]
        return domain.nearest(domain.scale.decode(self.low + float(code) * (self.high - self.low)))

    def _code(self, value: Value | None) -> Code | None:
        if self.options:
            return str(self.options.index(value)) if value in self.options else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        share = (self.parameter.domain.scale.encode(value) - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)


@dataclass(frozen=True)
class Flat:
    """A space by its axes. ``axes``: None for a parameter that has one value only."""

    space: Space
    axes: tuple[Axis | None, ...]

    @staticmethod
    def of(space: Space) -> Flat:
        return Flat(space, tuple(_axis(f"p{place}", parameter) for place, parameter in enumerate(space.parameters)))

    def __iter__(self) -> Iterator[Axis]:
        return (axis for axis in self.axes if axis is not None)

    def codes(self, config: Config) -> dict[str, Code]:
        return {axis.name: axis.code(config) for axis in self}

    def config(self, codes: Mapping[str, Code]) -> Config:
        """The config at a point; codes of closed parameters are ignored."""
        values: dict[str, Value] = {}
        for parameter, axis in zip(self.space.parameters, self.axes, strict=True):
            if parameter.open_in(values):
                values[parameter.name] = parameter.domain.default if axis is None else axis.value(codes[axis.name])
        return Config(values)


@contextmanager
def borrowed(seed: int) -> Iterator[None]:
    """For packages that draw from numpy's global stream and warn of themselves: seeds the one and silences the other meanwhile."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)


def package(module: str, peer: str) -> ModuleType:
    """A module of a peer's package. Raises UserError if it cannot be imported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{peer} runs on a package that cannot be imported ({error}). "
            "Install it in an environment of its own, as experiments/benchmarks/README.md says."
        ) from error


def _axis(name: str, parameter: Parameter) -> Axis | None:
    domain = parameter.domain
    if isinstance(domain, Float | Int):
        low, high = domain.scale.encode(domain.low), domain.scale.encode(domain.high)
        return Axis(name, parameter, low, high) if low < high else None
    if isinstance(domain, Boolean):
        return Axis(name, parameter, options=(False, True))
    return Axis(name, parameter, options=domain.options) if isinstance(domain, Choice) and len(domain.options) > 1 else None
