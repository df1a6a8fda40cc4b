"""One point of a space: flat, immutable, named by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property

Value = float | int | str | bool

STRATEGY = ("model", "optimizer", "schedule", "clipping", "init")
"""The parameters that make up a strategy, in the order in which it is spelled."""


class Config(Mapping[str, Value]):
    """Values of the parameters that are active at this point; branches not taken are absent."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = {name: values[name] for name in sorted(values)}

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self._values == other._values

    def __repr__(self) -> str:
        return f"Config({self._values})"

    @cached_property
    def text(self) -> str:
        """Canonical JSON: the one encoding from which the id is made."""
        return json.dumps(self._values, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @cached_property
    def id(self) -> str:
        """12 hexadecimal digits of the hash of the canonical JSON."""
        return hashlib.blake2b(self.text.encode(), digest_size=6).hexdigest()

    @cached_property
    def strategy(self) -> str:
        """The categorical part, ``lstm/adamw/cosine/norm``; without strategy parameters, all text values."""
        parts = [str(self._values[name]) for name in STRATEGY if name in self._values]
        return "/".join(parts or [v for v in self._values.values() if isinstance(v, str)])

    def replace(self, **changes: Value) -> Config:
        return Config({**self._values, **changes})
