"""ifBO: in-context freeze-thaw Bayesian optimization (Rakotoarison, Adriaensen, Mallik, Garibov, Bergman and Hutter, 2024).

Its surrogate FT-PFN reads all curves at once and says what every curve will come to. The package ifbo has the network; its weights
are the user's to supply.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from metasearch import catalog
from metasearch.core.config import Config
from metasearch.core.drawing import draw, more_may_come, untried_candidates
from metasearch.core.errors import UserError
from metasearch.core.event import CONTINUE, Action, Fact, TrialId, Verdict
from metasearch.core.history import History, Trial
from metasearch.core.protocols import Proposal
from metasearch.core.rng import derive

flat = catalog.load("search", "flat")

WEIGHTS = "IFBO_SURROGATE_PATH"
"""The environment variable that names the folder in which ``.model`` with the weights lies."""

_VERSION = "0.0.1"
_MOST_AXES, _MOST_CURVES, _CANDIDATES = 10, 1000, 512


@dataclass(frozen=True)
class Ifbo:
    """Searcher and scheduler in one: after every 1/``units`` of the horizon it goes on with whatever trial, old or new, looks best.

    That is the one most likely to rise above a random threshold within a random number of units (MFPI-random). Trials that run
    count by what they have reported so far. At most 10 parameters; a choice is a number, as in the paper.
    """

    units: int = 50

    def __post_init__(self) -> None:
        if self.units < 1:
            raise UserError(f"ifbo cannot be set up so: units must be at least 1, found {self.units}.")
        weights_folder()

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        if not any(trial.steps for trial in history):
            config, reason = draw(history, rng), "start-up"
        else:
            config, reason = self._decision(history).fresh, ""
        return None if config is None else Proposal(config, "ifbo", reason)

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        before = trial.steps[-2] if len(trial.steps) > 1 else trial.start
        over = self._unit(history, trial.step) > self._unit(history, before)
        return Verdict(Action.PAUSE, "a unit is over") if over else CONTINUE

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        return self._decision(history).thawed

    def _unit(self, history: History, step: int) -> int:
        return step * self.units // history.sweep.horizon

    def _decision(self, history: History) -> _Decision:
        known = history.view(self, lambda _: _Known())
        if known.decision is None:
            known.decision = self._decide(history, derive(history.sweep.seed, "ifbo", history.facts))
        return known.decision

    def _decide(self, history: History, rng: np.random.Generator) -> _Decision:
        paused, fresh = list(history.paused.values()), _fresh(history, rng)
        if not paused and not fresh:
            return _Decision(None, None)
        values = _Values.of(history)
        curves = [trial for trial in history if trial.steps][-_MOST_CURVES:]
        known_NC = [row for place, trial in enumerate(curves, start=1) for row in self._rows(history, place, trial, values)]
        ahead = int(rng.integers(1, self.units + 1)) / self.units
        best = max(row[0] for row in known_NC)
        threshold = best + 10.0 ** rng.uniform(-4, -1) * (1.0 - best)
        places = {trial.number: place for place, trial in enumerate(curves, start=1)}
        asked_MC = [
            [places.get(trial.number, 0), min(trial.step / history.sweep.horizon + ahead, 1.0), *_point(history, trial.config)]
            for trial in paused
        ]
        asked_MC += [[0, ahead, *_point(history, config)] for config in fresh]
        chance_M = _chances(np.array(known_NC), np.array(asked_MC), threshold)
        old, new = chance_M[: len(paused)], chance_M[len(paused) :]
        goes_on = len(old) > 0 and (not len(new) or old.max() >= new.max())
        return _Decision(paused[int(old.argmax())].number if goes_on else None, fresh[int(new.argmax())] if fresh else None)

    def _rows(self, history: History, place: int, trial: Trial, values: _Values) -> list[list[float]]:
        """What is known of one trial: its value at the end of every unit, its place, when that was, and its config."""
        ends = {self._unit(history, step): (step, loss) for step, loss in zip(trial.steps, trial.losses, strict=True)}
        point = _point(history, trial.config)
        return [[values.of_loss(loss), place, step / history.sweep.horizon, *point] for step, loss in ends.values()]


@dataclass(frozen=True)
class _Decision:
    """``thawed``: the trial to go on with, None if a new one is better. ``fresh``: the best new config, None if there is none."""

    thawed: TrialId | None
    fresh: Config | None


class _Known:
    """View: the decision that follows from all facts so far, once it was needed."""

    decision: _Decision | None = None

    def update(self, history: History, fact: Fact) -> None:
        self.decision = None


@dataclass(frozen=True)
class _Values:
    """Losses as FT-PFN wants them: from 0 for what trials begin with to 1 for ``perfect``, a loss of 0 unless some are negative."""

    perfect: float
    initial: float

    @staticmethod
    def of(history: History) -> _Values:
        firsts = [trial.losses[0] for trial in history if trial.steps and math.isfinite(trial.losses[0])]
        initial = float(np.median(firsts)) if firsts else 1.0
        best = history.best_loss if math.isfinite(history.best_loss) else initial
        return _Values(0.0 if best > 0 else best - abs(initial - best) - 1e-9, initial)

    def of_loss(self, loss: float) -> float:
        if not math.isfinite(loss):
            return 0.0
        return min(max((self.initial - loss) / max(self.initial - self.perfect, 1e-12), 0.0), 1.0)


@cache
def surrogate(folder: Path) -> Any:
    """FT-PFN with the weights in ``folder``."""
    return flat.package("ifbo.surrogate", "ifBO").FTPFN(target_path=folder, version=_VERSION)


def weights_folder() -> Path:
    """Where the weights are. Raises UserError if they are not there: the package would then download them."""
    download = flat.package("ifbo.download", "ifBO")
    folder = Path(os.environ.get(WEIGHTS, ""))
    inner = folder if folder.name == ".model" else folder / ".model"
    missing = [
        name for name in (download.FILENAME(_VERSION), download.WEIGHTS_FINAL_NAME(_VERSION)) if not (inner / name).is_file()
    ]
    if WEIGHTS not in os.environ or missing:
        found = f"{inner} lacks {' and '.join(missing)}" if WEIGHTS in os.environ else "it is not set"
        raise UserError(
            f"ifBO needs the weights of its surrogate in the folder that {WEIGHTS} names, but {found}. "
            "Its authors' command fetches them: python -m ifbo.download --version 0.0.1 --path FOLDER/.model"
        )
    return inner


def _fresh(history: History, rng: np.random.Generator) -> list[Config]:
    """New configs to choose from: those left of a finite space, or random ones."""
    if not more_may_come(history):
        return []
    space = history.sweep.space
    if not space.candidates:
        return [space.sample(rng) for _ in range(_CANDIDATES)]
    left = untried_candidates(history)
    return left if len(left) <= _CANDIDATES else [left[place] for place in rng.choice(len(left), _CANDIDATES, replace=False)]


def _point(history: History, config: Config) -> list[float]:
    axes = list(flat.Flat.of(history.sweep.space))
    if len(axes) > _MOST_AXES:
        raise UserError(f"ifBO's surrogate knows at most {_MOST_AXES} parameters, but {len(axes)} vary here.")
    return [float(axis.code(config)) / max(len(axis.options) - 1, 1) for axis in axes]


def _chances(known_NC: np.ndarray, asked_MC: np.ndarray, threshold: float) -> np.ndarray:
    """How likely each query is to rise above ``threshold``. The first column of ``known_NC`` holds the values."""
    torch, utils = flat.package("torch", "ifBO"), flat.package("ifbo.utils", "ifBO")
    model = surrogate(weights_folder())
    known, asked = (torch.tensor(rows, dtype=torch.float32) for rows in (known_NC, asked_MC))
    with torch.no_grad():
        logits = model(x_train=known[:, 1:], y_train=known[:, 0], x_test=asked)
        return np.asarray(utils.PredictionResult(logits, model.model.criterion).pi(torch.tensor(threshold)))


SEARCHER = SCHEDULER = Ifbo
