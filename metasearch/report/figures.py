"""How a sweep went: best so far, curves, who ran where and when. Figures are plain data as plotly.js wants it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import groupby
from typing import Any

from metasearch.core.event import Action, Fact, Failed, Judged, Proposed, Reported, Thawed
from metasearch.core.history import History, State, Trial

Figure = dict[str, Any]
"""``data`` and ``layout``."""

COLORS = {
    State.COMPLETED: "#2a7f62",
    State.RUNNING: "#3b82c4",
    State.PAUSED: "#b58900",
    State.INTERRUPTED: "#8e6bbf",
    State.STOPPED: "#9aa5b1",
    State.DIVERGED: "#d1495b",
    State.FAILED: "#5b2333",
}
"""By the state of a trial."""


def figure(data: Sequence[dict[str, Any]], x: str, y: str, **layout: Any) -> Figure:
    axes = {"xaxis": {"title": {"text": x}, "automargin": True}, "yaxis": {"title": {"text": y}, "automargin": True}}
    return {"data": list(data), "layout": {**axes, **layout}}


def short(number: float | None) -> float | None:
    """Six digits are enough for a picture, and keep the page small; None if it is not finite."""
    return float(f"{number:.6g}") if number is not None and math.isfinite(number) else None


def best_so_far(facts: Iterable[Fact], history: History) -> tuple[Figure, Figure]:
    """The best so far against all steps spent, and against the time since the sweep began. Trials that ended as diverged or
    failed count as far as they went: this is what was known then.
    """
    spent, best, began = 0, math.inf, None
    reached: dict[int, int] = {}
    steps: list[int] = []
    hours: list[float] = []
    losses: list[float] = []
    for fact in facts:
        began = fact.time if began is None else began
        if isinstance(fact, Proposed):
            reached[fact.trial] = fact.start
        if not isinstance(fact, Reported):
            continue
        spent, reached[fact.trial] = spent + fact.step - reached[fact.trial], fact.step
        if -math.inf < fact.loss < best:
            best = fact.loss
            steps, hours, losses = [*steps, spent], [*hours, (fact.time - began) / 3600], [*losses, best]
    if losses:
        steps, hours, losses = [*steps, spent], [*hours, (history.time - (began or 0.0)) / 3600], [*losses, best]
    task = history.sweep.task
    values = [task.value(loss) for loss in losses]
    return (
        figure([_stairs(steps, values)], f"{task.unit} spent by all trials", f"best {task.metric} so far"),
        figure([_stairs(hours, values)], "hours since the sweep began", f"best {task.metric} so far"),
    )


def _stairs(x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    line = {"shape": "hv", "color": "#2a7f62"}
    return {"type": "scatter", "mode": "lines+markers", "x": [short(v) for v in x], "y": [short(v) for v in y], "line": line}


def curves(history: History) -> Figure:
    """Every trial's metric against its steps; one trace for each state, its lines separated by gaps."""
    data = []
    ordered = sorted(history, key=lambda trial: list(COLORS).index(trial.state))
    for state, trials in groupby(ordered, key=lambda trial: trial.state):
        x: list[float | None] = []
        y: list[float | None] = []
        text: list[str | None] = []
        for trial in trials:
            x += [*trial.steps, None]
            y += [*(short(history.sweep.task.value(loss)) for loss in trial.losses), None]
            text += [*[f"trial {trial.number}: {trial.config.strategy}"] * len(trial.steps), None]
        look = {"line": {"color": COLORS[state], "width": 1}, "marker": {"color": COLORS[state], "size": 3}}
        points = {"x": x, "y": y, "text": text}
        data.append({"type": "scatter", "mode": "lines+markers", "name": state.value, **points, **look})
    return figure(data, history.sweep.task.unit, history.sweep.task.metric)


@dataclass
class Leg:
    """One stay of a trial on a worker, in seconds since the sweep began."""

    trial: int
    leg: int
    begin: float
    end: float


def legs(facts: Iterable[Fact]) -> list[Leg]:
    """Every leg in the order of their beginnings; each ends with the last that was heard of it."""
    found: list[Leg] = []
    open_legs: dict[int, Leg] = {}
    began: float | None = None
    for fact in facts:
        began = fact.time if began is None else began
        if isinstance(fact, Proposed | Thawed):
            number = fact.leg if isinstance(fact, Thawed) else 0
            open_legs[fact.trial] = Leg(fact.trial, number, fact.time - began, fact.time - began)
            found.append(open_legs[fact.trial])
        elif isinstance(fact, Reported | Judged | Failed) and fact.trial in open_legs:
            open_legs[fact.trial].end = max(open_legs[fact.trial].end, fact.time - began)
            if isinstance(fact, Failed) or (isinstance(fact, Judged) and fact.action is not Action.CONTINUE):
                del open_legs[fact.trial]
    return found


def slots(found: Sequence[Leg]) -> list[int]:
    """A slot for each leg, so that no two legs share one at a time: the slot that has been free for longest, else a new one."""
    chosen: list[int] = []
    free: list[tuple[float, int]] = []
    for leg in found:
        if free and free[0][0] <= leg.begin:
            slot = free[0][1]
            heapreplace(free, (leg.end, slot))
        else:
            slot = len(free)
            free.append((leg.end, slot))
            heapify(free)
        chosen.append(slot)
    return chosen


def timeline(facts: Iterable[Fact], history: History) -> Figure:
    """What ran in which slot when, one bar for each leg."""
    found = legs(facts)
    rows = list(zip(found, slots(found), strict=True))
    data = []
    for state, color in COLORS.items():
        shown = [(leg, slot) for leg, slot in rows if history[leg.trial].state is state]
        if shown:
            data.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "name": state.value,
                    "base": [short(leg.begin) for leg, _ in shown],
                    "x": [short(leg.end - leg.begin) for leg, _ in shown],
                    "y": [slot for _, slot in shown],
                    "text": [f"trial {leg.trial}, leg {leg.leg}: {history[leg.trial].config.strategy}" for leg, _ in shown],
                    "textposition": "none",
                    "marker": {"color": color, "line": {"color": "white", "width": 0.5}},
                }
            )
    return figure(data, "seconds since the sweep began", "slot", barmode="overlay")


def able(history: History) -> list[Trial]:
    """The trials with a finite loss."""
    return [trial for trial in history if math.isfinite(trial.best_loss)]
