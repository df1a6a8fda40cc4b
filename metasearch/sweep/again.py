"""Training once more what a sweep found: with other seeds, for longer, or exactly as it was.

The first two are sweeps of their own, kept in the store like every other: they crash, resume, and teach like every other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metasearch.core.errors import UserError
from metasearch.core.event import Opened
from metasearch.core.history import NEVER_BEST, History, Trial
from metasearch.core.protocols import Assignment, Runner, RunnerFactory
from metasearch.core.rng import derive_seed
from metasearch.core.space import Space
from metasearch.core.sweep import Budget, Sweep
from metasearch.search.follow import followed
from metasearch.store.archive import Store
from metasearch.sweep import environment
from metasearch.sweep.handover import only_ours, trial_of
from metasearch.sweep.run import differences

KEPT_SETTINGS = ("resources", "trial")
"""Sections of the sweep file that say how trials are run, not what is asked."""


def retraining(store: Store, sweep: str, number: int, *, horizon: int, seeds: int = 1, name: str | None = None) -> Sweep:
    """The sweep that trains the config of a trial for ``horizon`` steps with ``seeds`` new seeds.

    What the trial was told while it ran is told again at the same share of the horizon. A trial that went on from another one's
    weights is trained from the beginning. Raises UserError if there is no such trial, or if a number does not work.
    """
    history, trial = trial_of(store, sweep, number)
    only_ours(history, "retrain")
    if horizon < history.sweep.reports:
        raise UserError(f"{history.sweep.reports} reports need at least as many {history.sweep.task.unit}, found {horizon}.")
    again = _repeated(history, [trial], seeds, name or f"{sweep}-{number}-retrained")
    return replace(again, horizon=horizon)


def confirmation(store: Store, sweep: str, *, top: int = 5, seeds: int = 3, name: str | None = None) -> Sweep:
    """The sweep that trains the ``top`` best configs of a sweep to the horizon with ``seeds`` new seeds each.

    Raises UserError if no trial of the sweep has a loss, or if a number does not work.
    """
    history = store.history(sweep)
    only_ours(history, "confirm")
    able = [trial for trial in history if trial.state not in NEVER_BEST and math.isfinite(trial.best_loss)]
    leaders = {trial.config.id: trial for trial in sorted(able, key=lambda trial: trial.best_loss, reverse=True)}
    if top < 1 or not leaders:
        raise UserError(f"At least 1 trial can be confirmed, asked for {top} of the {len(leaders)} that have a loss.")
    chosen = sorted(leaders.values(), key=lambda trial: trial.best_loss)[:top]
    return _repeated(history, chosen, seeds, name or f"{sweep}-confirmed")


def _repeated(history: History, trials: Sequence[Trial], seeds: int, name: str) -> Sweep:
    before = history.sweep
    if seeds < 1:
        raise UserError(f"At least 1 seed is needed, found {seeds}.")
    told = {trial.config.id: steps for trial in trials if (steps := followed(trial, before.horizon))}
    return replace(
        before,
        name=name,
        space=Space(before.space.parameters, tuple(trial.config for trial in trials)),
        budget=Budget(trials=seeds * len(trials)),
        seed=derive_seed(before.seed, "again", name),
        search={
            "searcher": {"name": "grid", "repeats": seeds},
            "scheduler": {"name": "follow", "directives": told} if told else "fifo",
        },
        settings={"file": _how_it_runs(before.settings.get("file", {})), "again": {"sweep": before.name}},
    )


def _how_it_runs(file: Mapping[str, Any]) -> dict[str, Any]:
    return {section: file[section] for section in KEPT_SETTINGS if section in file}


@dataclass(frozen=True)
class Point:
    """One report: its loss as recorded, and as it was now."""

    step: int
    recorded: float
    again: float

    @property
    def difference(self) -> float:
        """Relative to the recorded loss; 0 if both are not finite, infinite if one is not."""
        if not (math.isfinite(self.recorded) and math.isfinite(self.again)):
            return 0.0 if math.isfinite(self.recorded) == math.isfinite(self.again) else math.inf
        return abs(self.again - self.recorded) / max(abs(self.recorded), 1e-12)


@dataclass(frozen=True)
class Reproduction:
    """A trial trained again. ``changed``: package or fact of the environment, as it was and as it is now."""

    sweep: str
    trial: int
    points: tuple[Point, ...]
    changed: Mapping[str, tuple[Any, Any]]

    @property
    def largest_difference(self) -> float:
        return max((point.difference for point in self.points), default=0.0)


def reproduce(
    store: Store,
    sweep: str,
    number: int,
    *,
    make_runner: RunnerFactory | None = None,
    on_point: Callable[[Point], None] = lambda point: None,
) -> Reproduction:
    """Trains a trial again from its record, in this process, up to its last report, and compares every loss.

    Its ancestors are trained again too, as far as it took their weights; directives are given where they were given.
    Raises UserError if there is no such trial, if it never reported, or if its corpus is another one now.
    """
    history, trial = trial_of(store, sweep, number)
    if make_runner is None:
        only_ours(history, "reproduce")
        from metasearch.training.runner import CorpusRunner

        make_runner = CorpusRunner
    if not trial.steps:
        raise UserError(f"{sweep}/{number} never reported, so there is nothing to compare with.")
    points: list[Point] = []

    def compare(point: Point) -> None:
        points.append(point)
        on_point(point)

    _trained(history, trial, trial.step, make_runner, compare)
    return Reproduction(sweep, number, tuple(points), _changed(store, sweep))


def _trained(history: History, trial: Trial, until: int, make_runner: RunnerFactory, on_point: Callable[[Point], None]) -> Runner:
    """A runner of ``trial`` that has made its report at step ``until``, but has not heard what was decided upon it."""
    runner = make_runner(history.sweep, Assignment(trial.number, 0, trial.config, trial.seed, trial.parent, trial.start))
    if trial.parent is not None:
        parent = _trained(history, history[trial.parent], trial.start, make_runner, lambda point: None)
        state = parent.checkpoint()
        assert state is not None, f"a trial whose weights trial {trial.number} took can hand them over"
        runner.adopt(state)
    for step, recorded in zip(trial.steps, trial.losses, strict=True):
        if step > until:
            break
        progress = runner.advance()
        assert progress.step == step, f"a report is due at step {step}, and it came at {progress.step}"
        on_point(Point(step, recorded, progress.loss))
        if step < until and step in trial.directed and (directive := trial.directed[step].directive) is not None:
            runner.obey(directive)
    return runner


def _changed(store: Store, sweep: str) -> dict[str, tuple[Any, Any]]:
    """Facts of the environment that a loss may depend on."""
    opened = next(iter(store.facts(sweep)))
    assert isinstance(opened, Opened), "a log begins with Opened"
    names, now = ("python", "platform", "cpus", "packages"), environment.describe()
    before = {name: opened.environment.get(name) for name in names}
    return differences(before, {name: now[name] for name in names})
