"""The meta-optimizer: changes how a trial is trained while it runs, if that is very likely to pay.

At each report the loss law, with a prior learned from earlier sweeps, is fitted to the trial's curve and learning rates, and the
loss at the horizon is foretold with and without each admissible action, from the same draws of the law's parameters. What a
change of the learning rate is worth is told by experience of such changes, where there is any of the trial's optimizer. The action
with the largest expected gain is taken if it gains more than noise with high probability, a few times per trial at most. A trial
whose loss is no longer finite is sent back to its lowest loss with a lower learning rate.

Whether that helps is an experiment: by a coin at its number, one trial in seven is a *control*, in which the action is written down
and left undone, and one in twenty gets a random action (or, by another coin, none). Probabilities are logged, so that ``gains`` can
tell what each class of actions was worth. A class that does not help is disabled, except in random trials.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from metasearch.core.archive import Archive
from metasearch.core.event import Directive
from metasearch.core.history import History, Trial
from metasearch.core.rng import derive
from metasearch.meta import experience, gains, law_prior
from metasearch.meta._actions import CLIP, INTENTS, ROLL_BACK, back, experienced, foreseeable, lost_ground, other, spiked
from metasearch.meta._situation import Plan, Situation, controls, sends_back, situation
from metasearch.meta._twins import Kind, ahead, trace
from metasearch.meta.experience import Experience
from metasearch.meta.forecast import Gaussian, ends, fit
from metasearch.meta.gains import Gain
from metasearch.meta.law_prior import LawPrior
from metasearch.meta.loss_law import P

CONTROLS, RANDOM = 0.14, 0.05
"""Shares of trials that are controls, or get an action at random."""

ACTED = (1.0 - CONTROLS - RANDOM) / (1.0 - RANDOM)
"""Probability that an action is taken in a trial that is not random."""

COIN = 0.5
FEWEST_REPORTS = 3
EARLIEST, LATEST, LATEST_BY_EXPERIENCE = 0.1, 0.9, 0.75
RANDOM_FROM, RANDOM_UNTIL = 0.2, 0.7
MOST_ACTIONS = 3
COOL_DOWN = 0.1
"""Share of the horizon in which the effect of an action is awaited."""

CERTAIN, CERTAIN_BY_EXPERIENCE = 0.8, 0.9
LARGE_GAIN, CERTAIN_OF_LARGE = 0.03, 0.75
"""A gain of more than this share of the loss is worth more risk."""

LEAST_GAIN, NOISE_SHARE = 0.002, 0.25
"""An action must gain more than this share of the loss, and than this share of a report's deviation."""


EXPERIENCE = "experience/"

RESCUES = 2
RESCUED_TO = (1 / 30, 1 / 3)
"""Bounds of the factor on the learning rate of a trial that diverged, and what is taken where nothing is usual."""
UNKNOWN_RESCUE = 0.1


@dataclass(frozen=True)
class Theta:
    """Everything learned: the prior of the law, experience of changed learning rates, what each class of actions was worth."""

    prior: LawPrior = field(default_factory=LawPrior)
    experience: Experience = field(default_factory=Experience)
    gains: Mapping[str, Gain] = field(default_factory=dict)
    sweeps: tuple[str, ...] = ()
    tasks: int = 0
    trials: int = 0

    def pack(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and plain JSON data from which ``unpack`` makes an equal theta."""
        prior = vars(self.prior)
        arrays = {name: value for name, value in prior.items() if isinstance(value, np.ndarray)}
        plain = {name: value for name, value in prior.items() if name not in arrays}
        worth = {intent: asdict(gain) for intent, gain in self.gains.items()}
        changes, scales = self.experience.pack()
        arrays |= {EXPERIENCE + name: array for name, array in changes.items()}
        counts = {"sweeps": list(self.sweeps), "tasks": self.tasks, "trials": self.trials}
        return arrays, {"prior": plain, "experience": scales, "gains": worth, **counts}

    @staticmethod
    def unpack(arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> Theta:
        changes = {name.removeprefix(EXPERIENCE): array for name, array in arrays.items() if name.startswith(EXPERIENCE)}
        law = {name: array for name, array in arrays.items() if not name.startswith(EXPERIENCE)}
        prior = LawPrior(**{**law, **plain["prior"]})
        if prior.mean_P.shape != (P,) or set(law) != {"mean_P", "slope_P", "covariance_PP"}:
            raise ValueError(f"expected a law with {P} parameters, found {sorted(law)} with {prior.mean_P.shape}")
        known = Experience.unpack(changes, plain["experience"])
        worth = {intent: Gain(**gain) for intent, gain in plain["gains"].items()}
        return Theta(prior, known, worth, tuple(plain["sweeps"]), plain["tasks"], plain["trials"])


@dataclass(frozen=True)
class Foretold:
    """An action with what is foretold: the gain in loss at the horizon, and the probability that it is more than noise.

    ``able``: that is enough to take it. ``deviation``: of the gain, 0 where nobody tells. ``boldness``: by which factor the
    learning rate is beyond the usual one then, at least 1.
    """

    directive: Directive
    gain: float
    certainty: float
    able: bool = False
    deviation: float = 0.0
    boldness: float = 1.0

    def of(self, loss: float) -> Foretold:
        """The same for a gain and a deviation that are shares of ``loss``."""
        return replace(self, gain=self.gain * loss, deviation=self.deviation * loss)


@dataclass(frozen=True)
class Law:
    """What the loss law tells of a trial; fitted when first asked."""

    now: Situation
    prior: LawPrior

    @cached_property
    def known(self) -> Gaussian:
        now, prior = self.now, self.prior
        progress_N = now.past.progress_K[-len(now.losses) :]
        return fit(prior.of(now.optimizer, now.reference), prior.deviation, now.past, progress_N, np.array(now.losses))

    @cached_property
    def kept(self) -> float:
        """The loss at the horizon if nothing is done."""
        return float(ends(self.known, [self.now.future(self.now.control)], self.prior.doubt).means[0])

    def foretold(self, actions: Sequence[Directive]) -> list[Foretold]:
        futures = [self.now.future(control) for control in (self.now.control, *map(self.now.after, actions))]
        draws_MF = ends(self.known, futures, self.prior.doubt).draws_MF
        gain_MF = draws_MF[:, :1] - draws_MF[:, 1:]
        enough = max(LEAST_GAIN * abs(self.now.trial.loss), NOISE_SHARE * self.prior.deviation)
        gain_F, sure_F = gain_MF.mean(0).tolist(), (gain_MF > enough).mean(0).tolist()
        return [Foretold(*each, each[2] > CERTAIN) for each in zip(actions, gain_F, sure_F, strict=True)]


def _no_plan(config: object) -> None:
    return None


@dataclass(frozen=True)
class Controller:
    """Decides on directives. A function of the history, of theta, and of coins addressed by the number of the trial."""

    theta: Theta = field(default_factory=Theta)
    plan: Plan = _no_plan

    def advise(self, history: History, trial: Trial) -> Directive | None:
        """What to change in ``trial`` after its newest report, or None. A directive that changes nothing is a control's."""
        if not self._may_act(history, trial):
            return None
        now = situation(history, trial, self.plan)
        if isinstance(now, str):
            return None
        coin = derive(history.sweep.seed, "arm", trial.number)
        arm = coin.random()
        if arm < RANDOM:
            return self._at_random(now, coin)
        law = Law(now, self.theta.prior)
        best = self._best(now, self._foretold(law))
        if best is None:
            return None
        kept = law.kept
        found = replace(best.directive, propensity=None if _told(trial) else ACTED, foreseen=kept, gain=best.gain)
        return withheld(found) if arm < RANDOM + CONTROLS else found

    def rescue(self, history: History, trial: Trial) -> Directive | None:
        """How ``trial``, whose loss is no longer finite, goes on; None if it is a control, or was rescued often enough."""
        schedule, told = self.plan(trial.config), _told(trial)
        arm = derive(history.sweep.seed, "arm", trial.number).random()
        lost = [point for point, loss in enumerate(trial.losses) if not math.isfinite(loss)]
        if schedule is None or not sends_back(history.sweep.task) or arm < RANDOM + CONTROLS or self._disabled(ROLL_BACK):
            return None
        if len(lost) > RESCUES:
            return None
        control, known = controls(history, trial, schedule)[-1], self.theta.experience
        kind = Kind.of(trial.config, history.sweep.horizon, history.sweep.task)
        scale = UNKNOWN_RESCUE
        if kind.name in known.usual and trial.lrs[-1] > 0:
            scale = float(np.clip(math.exp(known.best_of(kind)) / trial.lrs[-1], *RESCUED_TO))
        return replace(back(control, scale), propensity=None if told else ACTED)

    def explain(self, history: History) -> dict[str, Any]:
        """What was done so far, what it is known to be worth, and why some trials are left alone; plain data."""
        told = [verdict.directive for trial in history for verdict in trial.directed.values() if verdict.directive is not None]
        alone = [why for trial in history if trial.steps and isinstance(why := situation(history, trial, self.plan), str)]
        return {
            "past_trials": self.theta.trials,
            "past_tasks": self.theta.tasks,
            "past_curves": self.theta.prior.runs,
            "acted": dict(Counter(directive.intent for directive in told if directive.changes)),
            "withheld": dict(Counter(directive.intent for directive in told if not directive.changes)),
            "gains": {intent: asdict(gain) for intent, gain in self.theta.gains.items()},
            "disabled": [intent for intent in INTENTS if self._disabled(intent)],
            "left_alone": dict(Counter(alone)),
        }

    def _may_act(self, history: History, trial: Trial) -> bool:
        progress, horizon = trial.step / history.sweep.horizon, history.sweep.horizon
        told = {step: verdict.directive for step, verdict in trial.directed.items() if verdict.directive is not None}
        if progress > LATEST or len(told) >= MOST_ACTIONS:
            return False
        if any(not directive.changes for directive in told.values()):
            return False  # a control stays one
        return not told or trial.step - max(told) >= COOL_DOWN * horizon

    def _foretold(self, law: Law, *, every: bool = False) -> list[Foretold]:
        """What the law and experience tell of actions: of those that may be taken, or of ``every`` one."""
        now = law.now
        by_experience, vague = self._experienced(now)
        wanted = [each for each in by_experience if every or each.able]
        late = len(now.trial.losses) >= FEWEST_REPORTS and now.progress >= EARLIEST
        actions = list(foreseeable(now, self.theta.prior, self._usual(now))) if late and vague else []
        found = law.foretold(actions) if actions else []
        return found + [each.of(law.kept) for each in wanted]

    def _experienced(self, now: Situation) -> tuple[list[Foretold], bool]:
        """Changes of the learning rates ahead, as experience tells what shares of the loss they gain; and whether that is vague."""
        usual = self._usual(now)
        if usual is None or now.progress > LATEST_BY_EXPERIENCE:
            return [], usual is None
        count = len(now.losses)
        progress, rates = now.past.progress_K[-count:].tolist(), (now.past.factor_K[-count:] * now.reference).tolist()
        seen, actions = trace(progress, now.losses, rates, now.horizon, now.task), experienced(now, usual)
        after = [ahead(now.rates_ahead(now.after(action))[1][1:], restart=action.restart) for action in actions]
        before = ahead(now.rates_ahead(now.control)[1][1:])
        told = self.theta.experience.foretold(now.kind, before, np.array(after), seen)
        if told is None:
            return [], True
        sure_M = told.certainty(LEAST_GAIN)
        share_M, spread_M = -np.expm1(-told.mean_M), np.exp(-told.mean_M) * told.deviation_M
        found = zip(actions, share_M.tolist(), sure_M.tolist(), spread_M.tolist(), strict=True)
        return [
            Foretold(action, gain, sure, _is_worth(gain, sure), spread, max((action.lr_scale or 1.0) / usual, 1.0))
            for action, gain, sure, spread in found
        ], told.vague

    def _usual(self, now: Situation) -> float | None:
        """The best learning rate for such trials, over the highest one ahead; None if there is no experience of their kind."""
        known = self.theta.experience
        if now.kind.name not in known.usual:
            return None
        return math.exp(known.best_of(now.kind)) / float(now.rates_ahead(now.control)[1].max())

    def _best(self, now: Situation, foretold: Sequence[Foretold]) -> Foretold | None:
        """The action to take, or None: nothing is sure enough. Ground that was lost is won back first."""
        if now.sends_back and lost_ground(now, self.theta.prior) and not self._disabled(ROLL_BACK):
            return Foretold(back(now.control, 0.5), 0.0, 1.0, able=True)
        able = _mildest([each for each in foretold if each.able])
        able += list(self._by_experience(now))
        able = [each for each in able if not self._disabled(each.directive.intent)]
        return max(able, key=lambda each: each.gain, default=None)

    def _by_experience(self, now: Situation) -> Iterator[Foretold]:
        """Actions that the law says nothing of: clipping is tightened on a spike, the rest is done if it was seen to help."""
        for directive in other(now):
            known = self.theta.gains.get(directive.intent)
            if known is not None and known.proven:
                yield Foretold(directive, known.mean, 1.0, able=True)
            elif directive.intent == CLIP and spiked(now):
                yield Foretold(directive, 0.0, 1.0, able=True)

    def _disabled(self, intent: str) -> bool:
        known = self.theta.gains.get(intent)
        return known is not None and known.disabled

    def _at_random(self, now: Situation, coin: np.random.Generator) -> Directive | None:
        """Once in the trial's life, at a moment and with an action that chance chose."""
        moment = coin.uniform(RANDOM_FROM, RANDOM_UNTIL)
        if now.progress < moment or _told(now.trial):
            return None
        law = Law(now, self.theta.prior)
        every = [*self._foretold(law, every=True), *(Foretold(directive, 0.0, 0.0) for directive in other(now))]
        intents = sorted({each.directive.intent for each in every})
        intent = intents[int(coin.integers(len(intents)))]
        same = [each for each in every if each.directive.intent == intent]
        picked = same[int(coin.integers(len(same)))]
        found = replace(picked.directive, propensity=COIN, foreseen=law.kept, gain=picked.gain)
        return found if coin.random() < COIN else withheld(found)


def _told(trial: Trial) -> bool:
    return any(verdict.directive is not None for verdict in trial.directed.values())


def _is_worth(gain: float, sure: float) -> bool:
    """Is experience sure enough of a gain, a share of the loss, to act upon it?"""
    return sure > CERTAIN_BY_EXPERIENCE or (gain > LARGE_GAIN and sure > CERTAIN_OF_LARGE)


def _mildest(able: Sequence[Foretold]) -> list[Foretold]:
    """Of what is not clearly worse than the best, that which leaves the learning rate least beyond the usual one."""
    best = max(able, key=lambda each: each.gain, default=None)
    near = [] if best is None else [each for each in able if each.gain >= best.gain - best.deviation]
    return sorted(near, key=lambda each: (each.boldness, -each.gain))[:1]


def withheld(directive: Directive) -> Directive:
    """The same intent, left undone."""
    return Directive(intent=directive.intent, propensity=directive.propensity, foreseen=directive.foreseen, gain=directive.gain)


class MetaOptimizer:
    """The learned part, apart from what it learned."""

    def init(self, rng: np.random.Generator) -> Theta:
        return Theta(experience=experience.shipped())

    def learn(self, theta: Theta, archive: Archive, rng: np.random.Generator) -> Theta:
        """Everything is learned anew from the whole archive."""
        if not len(archive):
            return theta
        known = theta.experience.with_archive(archive)
        return Theta(law_prior.learn(archive), known, gains.learn(archive), archive.sweeps, len(archive), archive.trials)

    def build(self, theta: Theta) -> Controller:
        return Controller(theta)


CONTROLLER = MetaOptimizer()
