"""The learning-rate schedule that a config plans, for whoever trains it and whoever foretells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metasearch import catalog
from metasearch.core.config import Value
from metasearch.core.control import Schedule


def level(progress: float, val_losses: Sequence[float]) -> float:
    """The learning rate of the config from first to last."""
    return 1.0


def planned(config: Mapping[str, Value]) -> Schedule | None:
    """The schedule that a trial of this config follows unless it is told otherwise: ``level`` if it names none, and None if it
    names one that is no plug-in. Numbers of the schedule that the config leaves out are the plug-in's own.
    """
    name = config.get("schedule")
    if name is None:
        return level
    if name not in catalog.names("schedules"):
        return None
    plug_in = catalog.load("schedules", str(name))
    schedule: Schedule = plug_in.build({**plug_in.SPACE.default(), **config})
    return schedule
