"""One training in this process, with the log that a controller reads and whose directives it obeys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch

from metasearch import catalog
from metasearch.core.config import Config
from metasearch.core.event import CONTINUE, Directive, Judged, Opened, Proposed, Reported, TrialId
from metasearch.core.history import History, Trial
from metasearch.corpora import load
from metasearch.sweep.file import SweepFile
from metasearch.sweep.resolving import resolve
from metasearch.training.loop import Trainer
from metasearch.training.report import Report, TrialBudget

Advise = Callable[[History, Trial], Directive | None]

NUMBER = TrialId(0)
CPU = torch.device("cpu")


class Steering:
    """A trial of ``config`` on ``text``. ``trainer`` trains, ``history`` knows what it reported and what it was told."""

    def __init__(self, text: str, space: Mapping[str, Any], config: Config, budget: TrialBudget, seed: int) -> None:
        corpus = load(text, "byte", kinds=catalog.corpus_kinds())
        self.trainer = Trainer(config, corpus, budget, seed, CPU)
        self.history = opened(text, space, config, budget, seed)

    @property
    def trial(self) -> Trial:
        return self.history[NUMBER]

    def advance(self) -> Report:
        """Trains to the next report."""
        report = self.trainer.advance()
        self.history.apply(reported(self.history, report))
        return report

    def obey(self, directive: Directive) -> None:
        self.history.apply(Judged(0.0, NUMBER, self.trial.step, CONTINUE.action, "", directive))
        self.trainer.obey(directive)

    def finish(self, advise: Advise | None = None) -> float:
        """Bits per byte at the end, told after each report what ``advise`` answers; infinite if it diverges."""
        while not self.trainer.done:
            self.advance()
            told = None if advise is None or self.trainer.done else advise(self.history, self.trial)
            if told is not None:
                self.obey(told)
        return float("inf") if self.trainer.standing.diverged else self.trial.loss


def opened(text: str, space: Mapping[str, Any], config: Config, budget: TrialBudget, seed: int) -> History:
    """What is known before the first report."""
    return History.fold([Opened(0.0, _sweep(text, budget, tuple(space.items()))), Proposed(0.0, NUMBER, config, seed)])


def reported(history: History, report: Report) -> Reported:
    return Reported(0.0, NUMBER, history[NUMBER].leg, report.step, report.val_bpb, report.seconds, report.metrics)


@lru_cache
def _sweep(text: str, budget: TrialBudget, space: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
    file = SweepFile(name="study", task={"corpus": text}, space=dict(space), unlisted="default", budget={"trials": 1})
    trial = file.trial.model_copy(update={"tokens": budget.tokens, "reports": budget.reports})
    return resolve(file.model_copy(update={"trial": trial})).record()
