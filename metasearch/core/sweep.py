"""The question a sweep asks, as plain data that can be written into its first fact and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any, cast

from metasearch.core.config import Config
from metasearch.core.domains import DOMAINS, Normal
from metasearch.core.space import Parameter, Space
from metasearch.core.task import Task


@dataclass(frozen=True)
class Budget:
    """Limits of the whole sweep; None is no limit. ``steps`` counts the task's unit over all trials."""

    trials: int | None = None
    steps: int | None = None
    wall_seconds: float | None = None
    cpu_hours: float | None = None
    gpu_hours: float | None = None


LOCAL = "local"
"""The address of a cluster on this machine, which is there for the time of one sweep."""


@dataclass(frozen=True)
class Resources:
    """What one trial gets. ``cpu`` and ``gpu`` may be fractions; ``memory`` is in bytes, None leaves it unmanaged.

    ``gpu_memory``: "auto" gives each trial the share of a GPU that it needs (see ``core.placement``), at most ``gpu``, which is 1.
    """

    cpu: float = 1.0
    gpu: float = 0.0
    memory: int | None = None
    gpu_memory: str | None = None


@dataclass(frozen=True)
class Sweep:
    """Task, space, budget, resources and seed. ``horizon``: steps of a full trial, reported in ``reports`` equal parts.

    ``search`` names the algorithms and their options; ``settings`` is whatever else the backend needs to run trials.
    """

    name: str
    task: Task
    space: Space
    horizon: int
    reports: int = 10
    budget: Budget = field(default_factory=Budget)
    resources: Resources = field(default_factory=Resources)
    seed: int = 0
    max_failures: int = 2
    search: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Plain JSON data from which ``from_record`` makes an equal sweep."""
        plain = {name: getattr(self, name) for name in ("name", "horizon", "reports", "seed", "max_failures", "search", "settings")}
        nested = {"task": asdict(self.task), "budget": asdict(self.budget), "resources": asdict(self.resources)}
        whole = {**plain, **nested, "space": space_record(self.space)}
        return cast(dict[str, Any], json.loads(json.dumps(whole)))  # tuples become lists, so that it equals what is read back

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> Sweep:
        nested = {
            "task": Task(**record["task"]),
            "space": space_from_record(record["space"]),
            "budget": Budget(**record["budget"]),
            "resources": Resources(**record["resources"]),
        }
        return Sweep(**{**record, **nested})

    def amended(self, **changes: Any) -> Sweep:
        return replace(self, **changes)


def space_record(space: Space) -> dict[str, Any]:
    parameters = []
    for parameter in space:
        kind = type(parameter.domain).__name__.lower()
        required = {field.name for field in fields(parameter.domain) if field.default is MISSING}  # type: ignore[arg-type]
        written = asdict(parameter.domain).items()  # type: ignore[call-overload]
        set_fields = {k: v for k, v in written if k in required or (v is not None and v is not False)}
        when = {name: list(allowed) for name, allowed in parameter.when.items()}
        parameters.append({"name": parameter.name, "type": kind, **set_fields, **({"when": when} if when else {})})
    return {"parameters": parameters, "candidates": [dict(candidate) for candidate in space.candidates]}


def space_from_record(record: Mapping[str, Any]) -> Space:
    parameters = []
    for entry in record["parameters"]:
        fields = {k: _plain(k, v, entry["type"]) for k, v in entry.items() if k not in ("name", "type", "when")}
        when = {name: tuple(allowed) for name, allowed in entry.get("when", {}).items()}
        parameters.append(Parameter(entry["name"], DOMAINS[entry["type"]](**fields), when))
    return Space(tuple(parameters), tuple(Config(candidate) for candidate in record.get("candidates", ())))


def _plain(name: str, value: Any, kind: str) -> Any:
    """JSON knows neither tuples nor priors."""
    if kind in ("float", "int") and name == "prior":
        return Normal(**value)
    return tuple(value) if isinstance(value, list) else value
