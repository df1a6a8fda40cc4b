"""A whole sweep of real trials in this process, one after the other, with their checkpoints: no Ray, and quick to start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from metasearch import catalog
from metasearch.core.engine import Engine
from metasearch.core.event import Action, Directive, Reported, TrialId, Verdict
from metasearch.core.history import History, Trial
from metasearch.core.protocols import Assignment, Progress, Proposal, Scheduler, Searcher
from metasearch.core.sweep import Sweep
from metasearch.store.archive import Store
from metasearch.store.checkpoints import Checkpoints
from metasearch.sweep import environment
from metasearch.training.runner import CorpusRunner


def run(sweep: Sweep, store: Store, searcher: Searcher | None = None, scheduler: Scheduler | None = None) -> History:
    """The searcher and scheduler of the sweep, unless others are given."""
    searcher = searcher or catalog.build_searcher(sweep.search["searcher"])
    scheduler = scheduler or catalog.build_scheduler(sweep.search["scheduler"])
    checkpoints = Checkpoints(store, sweep.name)
    with store.open_log(sweep.name) as log:
        engine = Engine.open(sweep, searcher, scheduler, log, 0.0, environment.describe())
        while (trial := engine.ask(engine.history.time)) is not None:
            _train(engine, trial, checkpoints)
        engine.close(engine.finished or "", engine.history.time)
    return engine.history


def _train(engine: Engine, trial: Trial, checkpoints: Checkpoints) -> None:
    assignment = Assignment(trial.number, trial.leg, trial.config, trial.seed, trial.parent, trial.start)
    runner, slot, begun = CorpusRunner(engine.history.sweep, assignment), None, engine.history.time
    if trial.parent is not None:
        inherited = checkpoints.newest(trial.parent, at_most=trial.start)
        assert inherited is not None
        runner.adopt(inherited.checkpoint)
    verdict = Verdict()
    while verdict.action is Action.CONTINUE and not trial.ended:
        progress = runner.advance()
        report: dict[str, Any] = {name: getattr(progress, name) for name in Progress.__slots__}
        slot = checkpoints.save(trial.number, report, runner.checkpoint(), slot)
        seen = (progress.step, progress.loss, progress.seconds, progress.metrics, progress.last)
        verdict = engine.tell(Reported(begun + progress.seconds, trial.number, trial.leg, *seen))
        if verdict.directive is not None:
            runner.obey(verdict.directive)


@dataclass(frozen=True)
class Heir:
    """Two trials of the default config: the second goes on from where the first was one report before its end."""

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        config = history.sweep.space.default()
        if len(history) == 0:
            return Proposal(config, "first")
        return Proposal(config.replace(lr=0.002), "heir", "", TrialId(0), history[0].steps[-2]) if len(history) == 1 else None


@dataclass(frozen=True)
class HalvesTheRate:
    """The learning rate of every trial is halved at each report, and its decay begins at the second."""

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        return Verdict(reason="for the test", directive=Directive(lr_scale=0.5, begin_decay=len(trial.steps) == 2))

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        return None
