"""The plug-ins that a config names."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from metasearch import catalog
from metasearch.core.config import Value
from metasearch.core.errors import UserError
from metasearch.core.space import Space


def load_strategy(config: Mapping[str, Value], own: Space) -> dict[str, ModuleType]:
    """The module of each part. Raises UserError with every part that is unknown, or with every parameter that is missing.

    Ranges are not checked: a sweep may search wider ones than the plug-ins propose. ``own``: the trainer's parameters.
    """
    modules: dict[str, ModuleType] = {}
    faults = []
    for part, room in catalog.STRATEGY_ROOMS.items():
        try:
            modules[part] = catalog.load(room, str(config.get(part, "")))
        except UserError as error:
            faults.append(error.message)
    if not faults:
        spaces = {"training": own, **{str(config[part]): module.SPACE for part, module in modules.items()}}
        faults = [f"{owner} needs {missing}" for owner, space in spaces.items() for missing in _missing(space, config)]
    if faults:
        raise UserError("This config cannot be trained:", faults)
    return modules


def _missing(space: Space, config: Mapping[str, Value]) -> list[str]:
    return [f'"{parameter.name}"' for parameter in space.open_parameters(config) if parameter.name not in config]
