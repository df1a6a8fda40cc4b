"""What the commands say of a controller: what it did in a sweep, what that is known to be worth, the schedule really followed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from metasearch import catalog
from metasearch.core.control import Control
from metasearch.core.errors import UserError
from metasearch.core.history import History
from metasearch.report.story import directive_line
from metasearch.store.archive import Store
from metasearch.sweep.learned import algorithms
from metasearch.training.planned import planned

SHORT = 8


def control_of(store: Store, history: History) -> dict[str, Any] | None:
    """What a sweep's controller did and knows; None if it has none."""
    asked = history.sweep.search.get("controller")
    if asked is None:
        return None
    digest = history.adopted.get(catalog.CONTROLLERS[asked])
    found: dict[str, Any] = {"controller": asked, "theta": digest}
    if digest is None:
        return {**found, "trouble": "no theta was adopted yet"}
    try:
        controller = algorithms(history.sweep.search, store, history.adopted).controller
    except UserError as error:
        return {**found, "trouble": error.message}
    return {**found, **controller.explain(history)}


def control_lines(found: Mapping[str, Any]) -> list[str]:
    if "trouble" in found:
        return [f"control  nothing can be said: {found['trouble']}"]
    known = (
        f"{found['past_curves']} curves of {found['past_tasks']} tasks" if found["past_curves"] else "nothing but published fits"
    )
    acted, held = sum(found["acted"].values()), sum(found["withheld"].values())
    return [
        f"control  knows {known} (theta {found['theta'][:SHORT]})",
        f"         {acted} actions ({_counts(found['acted'])}), {held} withheld by chance, to compare with",
        *(f"         {line}" for line in gain_lines(found["gains"], found["disabled"])),
        *(f"         left alone: {count} trials, because {why}" for why, count in found["left_alone"].items()),
    ]


def gain_lines(gains: Mapping[str, Mapping[str, Any]], disabled: list[str]) -> list[str]:
    """What each class of actions was worth in earlier sweeps."""
    return [
        f"{intent}: gain {row['mean']:+.4f} ± {row['error']:.4f} ({row['acted']} acted upon, {row['controls']} controls)"
        + (", disabled: it does not help" if intent in disabled else "")
        for intent, row in gains.items()
    ]


def schedule_of(store: Store, sweep: str, number: int) -> dict[str, Any]:
    """The learning rate of a trial at each report: as its config planned it, as directives made it, as it was reported.

    ``factor`` is on the config's learning rate. A directive acts from the step on at which it is listed.
    """
    history = store.history(sweep)
    if number >= len(history):
        raise UserError(f"Sweep {sweep} has {len(history)} trials, numbered from 0; there is no trial {number}.")
    trial = history[number]
    schedule = planned(trial.config)
    named = "schedule" in trial.config
    if schedule is None or not (named or any(map(math.isfinite, trial.lrs))):
        found = "has no schedule in its config"
        if named:
            found = f"names the schedule {trial.config['schedule']}, which is none of {', '.join(catalog.names('schedules'))}"
        raise UserError(f"Trial {sweep}/{number} {found}; metasearch show {sweep}/{number} prints its curve.")
    control, points = Control(), []
    for point, step in enumerate(trial.steps):
        progress, seen = min(1.0, step / history.sweep.horizon), trial.losses[: point + 1]
        followed = control.lr_factor(schedule, progress, seen[:-1])
        told = trial.directed.get(step)
        directive = None if told is None else told.directive
        if directive is not None:
            control = control.obey(directive, schedule, progress, seen)
        points.append(
            {
                "step": step,
                "planned_factor": schedule(progress, seen[:-1]),
                "factor": followed,
                "lr": trial.lrs[point] if math.isfinite(trial.lrs[point]) else None,
                "intent": "" if directive is None else directive.intent,
                "changes": {} if directive is None else directive.changes,
            }
        )
    return {"sweep": sweep, "trial": number, "schedule": str(trial.config.get("schedule", "constant")), "points": points}


def schedule_lines(found: Mapping[str, Any]) -> list[str]:
    lines = [f"{found['sweep']}/{found['trial']}: schedule {found['schedule']}"]
    lines.append("  ".join(f"{name:>10}" for name in ("step", "planned", "followed", "lr")))
    for point in found["points"]:
        lr = "–" if point["lr"] is None else f"{point['lr']:.4g}"
        row = f"{point['step']:>10,}  {point['planned_factor']:>10.4f}  {point['factor']:>10.4f}  {lr:>10}"
        told = directive_line(point["intent"], point["changes"]) if point["intent"] or point["changes"] else ""
        lines.append(f"{row}  {told}".rstrip())
    return lines


def _counts(by_intent: Mapping[str, int]) -> str:
    return ", ".join(f"{intent} {count}" for intent, count in by_intent.items()) or "none"
