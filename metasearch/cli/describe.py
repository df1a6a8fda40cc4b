"""What the commands say, as data for ``--json`` and as lines for people."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from metasearch.cli.learned import extent_of_reuse, reusable
from metasearch.cli.screen import best_line, clock, count, eta, recent_errors, render, state_counts, states
from metasearch.core.audit import audit
from metasearch.core.budget import spending
from metasearch.core.engine import Engine
from metasearch.core.event import Reported
from metasearch.core.history import History
from metasearch.core.protocols import MemoryLog
from metasearch.core.space import Parameter
from metasearch.core.sweep import Sweep
from metasearch.core.task import metric_value
from metasearch.report.story import story
from metasearch.store.archive import Store
from metasearch.sweep.handover import trial_of as find
from metasearch.sweep.learned import algorithms, foreseen
from metasearch.sweep.run import Outcome
from metasearch.sweep.simulation import Replay

PREVIEWED = 3
"""Configs shown by a dry run."""

STANDARD_COLUMNS = ("loss", "train_loss", "grad_norm", "lr", "seconds")
"""What is shown of a curve; where some of it was not measured, something else that was."""


def plan(sweep: Sweep, store: Store | None = None) -> dict[str, Any]:
    """The sweep, what its searcher would try first, and what it would reuse of the earlier sweeps of ``store``; None if it does not
    learn from them, or there is no store.
    """
    chosen = foreseen(sweep.search, store, [sweep.name], sweep.task.kind)
    engine = Engine.open(sweep, chosen.searcher, chosen.scheduler, MemoryLog(), 0.0)
    reuse = None if store is None else reusable(chosen, engine.history)
    started = [engine.ask(0.0) for _ in range(PREVIEWED)]
    return {**sweep.record(), "first_configs": [dict(trial.config) for trial in started if trial is not None], "reuse": reuse}


def plan_lines(sweep: Sweep, planned: Mapping[str, Any]) -> list[str]:
    task, limits = sweep.task, sweep.budget
    descriptor = {name: round(value, 3) for name, value in sorted(task.descriptor.items())}
    budget = [f"{value:g} {name}" for name, value in vars(limits).items() if value is not None]
    return [
        f"sweep      {sweep.name} (seed {sweep.seed})",
        f"task       {task.name}, {task.aim}  [{task.id}]",
        *([f"described  {', '.join(f'{name} {value:g}' for name, value in list(descriptor.items())[:8])} …"] if descriptor else []),
        f"search     {' + '.join(_spec(spec) for spec in sweep.search.values())}",
        *([] if planned["reuse"] is None else [f"reuse      {extent_of_reuse(planned['reuse'])}"]),
        f"trial      {count(sweep.horizon)} {task.unit}, {sweep.reports} reports",
        f"resources  {sweep.resources.cpu:g} CPU, {sweep.resources.gpu:g} GPU for each trial",
        f"budget     {', '.join(budget)}",
        f"space      {len(sweep.space.names)} parameters",
        *(f"  {_parameter(parameter)}" for parameter in sweep.space),
    ]


def dry_run_lines(sweep: Sweep, planned: Mapping[str, Any]) -> list[str]:
    configs = [f"  {json.dumps(config)}" for config in planned["first_configs"]]
    return [*plan_lines(sweep, planned), "first configs", *configs, "Nothing was run."]


def _spec(spec: Any) -> str:
    return spec if isinstance(spec, str) else json.dumps(spec)


def _parameter(parameter: Parameter) -> str:
    conditions = [f"{name} = {'|'.join(map(str, allowed))}" for name, allowed in parameter.when.items()]
    domain = str(parameter.domain).replace("'", "")
    shown = ", ".join(part for part in domain[:-1].partition("(")[2].split(", ") if not part.endswith(("=None", "=False")))
    return f"{parameter.name}: {type(parameter.domain).__name__.lower()}({shown})" + (
        f"  if {', '.join(conditions)}" if conditions else ""
    )


def status_of(history: History, running: bool) -> dict[str, Any]:
    best = history.best
    return {
        "sweep": history.sweep.name,
        "task": history.sweep.task.name,
        "running": running,
        "closed": history.closed,
        "trials": len(history),
        "states": state_counts(history, running),
        "budget": [{"unit": c.unit, "spent": c.spent, "limit": c.limit} for c in spending(history, _now(history, running))],
        "wall_seconds": history.wall_seconds,
        "best": None
        if best is None
        else {
            "trial": best.number,
            "loss": history.best_loss,
            "value": history.sweep.task.value(history.best_loss),
            "strategy": best.config.strategy,
        },
        "errors": recent_errors(history)[:5],
    }


def _now(history: History, running: bool) -> float:
    return time.time() if running else history.time


def status_lines(history: History, running: bool) -> list[str]:
    now = _now(history, running)
    mood = (
        "running"
        if running
        else (
            f"ended: {history.closed}"
            if history.closed
            else "has no driver; go on with `metasearch resume`, or with `metasearch ask` if you run its trials yourself"
        )
    )
    left = f", about {eta(history, now)} left" if running else ""
    return [
        f"{history.sweep.name}: {mood}",
        f"task     {history.sweep.task.name}",
        f"trials   {states(history, running)}",
        *(f"budget   {count(c.spent)} of {count(c.limit)} {c.unit}" for c in spending(history, now)),
        f"time     {clock(history.wall_seconds)}{left}",
        best_line(history).replace(": ", "     ", 1),
        *(f"failed   {error}" for error in recent_errors(history)[:5]),
    ]


def follow(store: Store, name: str, report: Callable[[bool], None], every: float) -> None:
    """Draws the sweep until its driver is gone. ``report`` is called at the beginning, then if something has happened, but no more
    often than every so many seconds, and at the end, of which it is told.
    """
    from rich.live import Live

    told, due = -1, 0.0
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            running = store.is_running(name)
            history = store.history(name)
            live.update(render(history, len(history.running), len(history.running)), refresh=True)
            if not running or (history.facts != told and time.monotonic() >= due):
                report(not running)
                told, due = history.facts, time.monotonic() + every
            if not running:
                return
            time.sleep(1.0)


def trial_of(store: Store, sweep: str, number: int) -> dict[str, Any]:
    history, trial = find(store, sweep, number)
    facts = list(store.facts(sweep))
    reports = [fact for fact in facts if isinstance(fact, Reported) and fact.trial == number]
    return {
        "sweep": sweep,
        "trial": number,
        "state": trial.state.value,
        "metric": history.sweep.task.metric,
        "better": history.sweep.task.better,
        "loss": trial.best_loss if math.isfinite(trial.best_loss) else None,
        "value": history.sweep.task.value(trial.best_loss) if math.isfinite(trial.best_loss) else None,
        "strategy": trial.config.strategy,
        "config": dict(trial.config),
        "seed": trial.seed,
        "origin": trial.origin,
        "parent": trial.parent,
        "legs": trial.leg + 1,
        "seconds": trial.seconds,
        "curve": [{"step": f.step, "loss": f.loss, "seconds": f.seconds, **f.metrics} for f in reports],
        "story": [event.what for event in story(facts, number) if event.fact != "reported"],  # the curve says what was reported
        "errors": trial.errors,
    }


def trial_lines(found: dict[str, Any]) -> list[str]:
    value = "–" if found["value"] is None else f"{found['value']:.4f}"
    measured_in = set().union(*found["curve"]) - {"step", found["metric"]} | {"loss"}  # which is the metric
    standard = [name for name in STANDARD_COLUMNS if name in measured_in]
    names = [*standard, *sorted(measured_in - set(standard))][: len(STANDARD_COLUMNS)]
    titles = [found["metric"] if name == "loss" else name for name in names]
    curve = ["  ".join(f"{title:>10}" for title in ("step", *titles))]
    for point in found["curve"]:
        point = {**point, "loss": metric_value(point["loss"], found["better"])}
        measured = (f"{point[name]:>10.4g}" if name in point else f"{'–':>10}" for name in names)
        curve.append("  ".join([f"{point['step']:>10,}", *measured]))
    return [
        f"{found['sweep']}/{found['trial']}: {found['state']}, best {found['metric']} {value}",
        f"strategy {found['strategy']}, seed {found['seed']}, {found['legs']} leg(s), {found['seconds']:.1f} s of training",
        *(f"  {name}: {value}" for name, value in found["config"].items()),
        *curve,
        *found["story"],
    ]


def outcome_of(outcome: Outcome, name: str) -> dict[str, Any]:
    return {**status_of(outcome.history, running=False), "sweep": name, "reason": outcome.reason, "best": outcome.best}


def outcome_lines(outcome: Outcome, name: str, store: str) -> list[str]:
    history = outcome.history
    lines = [f"{name}: {outcome.reason}; {states(history, False)} in {clock(history.wall_seconds)}."]
    best = history.best
    if best is None:
        return [*lines, "No trial reported a finite loss.", *(f"failed: {error}" for error in recent_errors(history)[:5])]
    losses = [trial.best_loss for trial in history if math.isfinite(trial.best_loss)]
    task = history.sweep.task
    return [
        *lines,
        f"winner: trial {best.number} with {task.metric} {task.value(history.best_loss):.4f}",
        f"  the median of {len(losses)} trials is {task.value(statistics.median(losses)):.4f}",
        *([f"  {best.config.strategy}"] if best.config.strategy else []),
        *(f"  {key}: {value}" for key, value in best.config.items()),
        f"See it: metasearch show {name}/{best.number} --store {store}",
    ]


def replay_lines(found: Replay) -> list[str]:
    """The best so far at 1, 2, 5, 10 … full trainings."""
    spent_in_all = found.trajectory[-1][0]
    marks = [mark * scale for scale in (1, 10, 100, 1000) for mark in (1, 2, 5) if mark * scale < spent_in_all]
    shown = [(mark, [best for spent, best in found.trajectory if spent <= mark]) for mark in (*marks, spent_in_all)]
    deciding = sorted(found.seconds_deciding)
    return [
        f"{found.target}: {found.searcher} + {found.scheduler}, {found.trials} trials, {spent_in_all:.1f} full trainings spent",
        *_sources_lines(found),
        *(f"  after {mark:>6.4g}  best {bests[-1]:.5g}" for mark, bests in shown if bests),
        f"normalised regret {found.normalised_regret:.3f} (0: the best recorded loss, 1: that of the median config)",
        f"{found.decisions} decisions, median {1000 * statistics.median(deciding):.2f} ms",
    ]


def _sources_lines(found: Replay) -> list[str]:
    if not found.sources:
        return []
    known = f"{len(found.sources)} sources, at most {found.source_trials} trials of each"
    if not found.learned:
        return [f"{known}: {found.searcher} cannot learn from them"]
    return [f"{known}, learned from in {found.seconds_learning:.2f} s"]


def audit_lines(store: Store, name: str) -> tuple[list[str], bool]:
    history = store.history(name)
    chosen = algorithms(history.sweep.search, store, history.adopted)
    facts = list(store.facts(name))
    found = audit(facts, chosen.searcher, chosen.scheduler)
    lines = [f"fact {d.position}: logged {d.logged}\n  decided again: {d.decided}" for d in found]
    return [*lines, f"{len(facts)} facts, {len(found)} decisions that would not be made again."], not found
