"""The meta-selector: which config next, and which trial deserves the next slice of compute. Searcher and scheduler in one.

Every slice is one choice between a new config and the trials that wait, made by one of two arms:

- *history*: the surrogate conditioned on all past tasks and on this sweep's partial curves. With probability ``PERSIST`` it goes on
  with the most promising trial that has begun, else it takes the highest expected improvement per remaining cost. A new config is
  the one with the highest expected improvement over the end of the best trial.
- *plain*: no history. Successive halving decides which trial goes on; new configs are chosen likewise, beside history from a
  handful, by a surrogate that is tuned to this sweep alone and knows what practice holds against them, or are drawn.

How often each is asked follows from the trials of the guard (``_guard``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from metasearch.core.archive import Archive
from metasearch.core.config import Config
from metasearch.core.drawing import draw, tried
from metasearch.core.event import CONTINUE, Action, TrialId, Verdict
from metasearch.core.history import History, Trial
from metasearch.core.protocols import Proposal
from metasearch.core.rng import derive
from metasearch.meta import _guard as guard
from metasearch.meta._evidence import Evidence, Known
from metasearch.meta._ground import PARENTS, Ground, Learned, gaussian_process
from metasearch.meta._guard import GUARD, HISTORY, PLAIN
from metasearch.meta._traces import ETA, Halving, Traces, compared
from metasearch.meta.costs import limited_by_time, paces
from metasearch.meta.practice import chances
from metasearch.meta.surrogate import Belief
from metasearch.meta.theta import Theta, learn

NAME = "meta"

PERSIST = 0.7
PERSIST_EARLY = 0.3
RACED, MOST_RACED = 0.3, 24
"""While no more trials have begun, which of them goes on depends on how they stand among each other too: what is not yet known of
the task, its units and how early its curves tell, blurs what is foretold of their ends, but not who is ahead.
"""

PROMISING = 0.3
OPENING, OPENING_AGE = 8, 0.035
"""History's first trials are a portfolio: each of so many gets this share of a full training before any gets more."""

OVERSTATED = 0.4
"""These are chosen as if deviations were so much smaller: of what is expected to be good the surrogate is surer than it says. Not
so where time is what limits the sweep: what is cheap has the benefit of the doubt.
"""

RANDOM_SHARE = 0.3
PLAIN_START = 6
"""Without history so many are drawn, as practice suggests."""

LOST = 0.2
"""With less say than this history is as good as not there, and the plain arm alone."""

HANDFUL = 30
BESIDE = Halving((ETA, ETA, ETA), fewest=ETA)
ALONE = Halving((3, 6, 8), fewest=5)
"""Curves of language models cross early and then seldom: the later the rung, the fewer need to go on. Beside history the plain arm
is a second opinion that goes on early and with the best of ``HANDFUL`` candidates; alone it looks at all of them.
"""

NOTHING = np.zeros(0, dtype=int)

HOPELESS = 0.02
"""A trial that wins with less probability is not worth another slice, once nothing new may begin."""


@dataclass(frozen=True)
class Choice:
    """What gets the next slice: a trial that waits or is being judged, or else a new config."""

    trial: TrialId | None
    config: Config | None = None
    origin: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Selector:
    """Decisions are functions of the history, of theta, and of random streams addressed by what has happened so far.

    ``surrogate``: what makes the surrogate of the arm with history.
    """

    theta: Theta = field(default_factory=Theta)
    surrogate: Learned = gaussian_process

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        choice = self._choose(history, None, new_only=True)
        return None if choice is None or choice.config is None else Proposal(choice.config, choice.origin, choice.reason)

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        choice = self._choose(history, trial)
        if choice is None or choice.trial == trial.number:
            return CONTINUE
        return Verdict(
            Action.PAUSE, "another slice promises more" if choice.trial is None else f"trial {choice.trial} promises more"
        )

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        choice = self._choose(history, None)
        return None if choice is None else choice.trial

    def explain(self, history: History) -> dict[str, Any]:
        """What was reused and what it is worth so far; plain data."""
        traces = self._traces(history)
        return {
            "past_tasks": self.theta.tasks,
            "past_trials": self.theta.trials,
            "past_sweeps": list(self.theta.sweeps),
            "say_of_history": self._say(history),
            "won_against_guard": guard.won(history, traces),
            "trials": {origin: sum(trial.origin == origin for trial in history) for origin in (HISTORY, PLAIN, GUARD)},
        }

    def _traces(self, history: History) -> Traces:
        return history.view((Traces, id(self.theta)), lambda known: Traces(known, known.sweep.horizon * self.theta.full_share))

    def _ground(self, history: History) -> Ground:
        return history.view((Ground, id(self.theta)), lambda known: Ground(known, self.theta, self.surrogate))

    def _evidence(self, history: History) -> Evidence:
        return Evidence(history, self._traces(history), self._ground(history))

    def _choose(self, history: History, judged: Trial | None, *, new_only: bool = False) -> Choice | None:
        """The same at the same state, so that what a judgement paused for is what starts next."""
        evidence = self._evidence(history)
        traces = evidence.traces
        rng = derive(history.sweep.seed, "slice", len(history), traces.reports, history.thaws)
        able = traces.waits.copy()
        if judged is not None:
            able[judged.number] = True
        if new_only:
            able[:] = False
        may_begin = history.sweep.budget.trials is None or len(history) < history.sweep.budget.trials
        decision = _Decision(self, evidence, able, rng, may_begin=may_begin, refines=new_only)
        return decision.choice()

    def _say(self, history: History) -> float:
        """How probable it is that history helps; 0 without any."""
        return guard.say(history, self._traces(history), self._ground(history).openness) if self.theta.results else 0.0


def belief_on_ends(selector: Selector, history: History, others: Sequence[Config] = ()) -> tuple[Belief, float, float, float]:
    """What is believed of the end of every trial that has reported and then of ``others``, in units of the task; these; and the
    variance of noise.
    """
    evidence = selector._evidence(history)
    known = evidence.on([*evidence.configs(evidence.rows), *others], learned=len(evidence.ground.places) > 1, pending=False)
    return known.belief(), known.location, known.scale, known.places.noise


class _Decision:
    """One choice, from what is known at one moment."""

    def __init__(
        self,
        selector: Selector,
        evidence: Evidence,
        able: np.ndarray,
        rng: np.random.Generator,
        *,
        may_begin: bool,
        refines: bool,
    ) -> None:
        self.selector, self.history, self.evidence = selector, evidence.history, evidence
        self.traces, self.ground = evidence.traces, evidence.ground
        self.able, self.rng, self.refines = able, rng, refines and not self.history.sweep.space.candidates
        self.age_N, self.lowest_N, self.begun = evidence.age_N, evidence.lowest_N, evidence.begun
        self.new = self._candidates() if may_begin else []

    def choice(self) -> Choice | None:
        if not self.new and not self.able.any():
            return None
        say = self.selector._say(self.history)
        if not len(self.begun):
            return self._first(say)
        if not self.new and not self._worth_going_on():
            return None
        if self.new and say > 0 and guard.is_due(self.history, self.traces):
            return self._draw(GUARD)
        return self._by_history() if self.rng.random() < say else self._plainly(alone=say < LOST)

    def _worth_going_on(self) -> bool:
        """Can any trial that waits still win? Asked once nothing new may begin and a trial has been seen whole."""
        if not self.evidence.seen_whole(self.begun).any():
            return True
        waiting = np.flatnonzero(self.able)
        known = self.evidence.on(self.evidence.configs(waiting), learned=len(self.ground.places) > 1)
        belief = known.belief()
        return bool((ndtr((belief.mean - known.best) / belief.deviation) > HOPELESS).any())

    def _candidates(self) -> list[Config]:
        lowest = self.begun[np.argsort(self.lowest_N[self.begun], kind="stable")[:PARENTS]]
        best = self.evidence.configs(lowest[np.isfinite(self.lowest_N[lowest])])
        return self.ground.candidates(self.history, tried(self.history), best)

    def _first(self, say: float) -> Choice | None:
        """Nothing has reported yet: workers that start now get different configs, each seeing the others as pending."""
        if not self.new:
            return None
        if say > 0:
            return self._by_history()
        space = self.history.sweep.space
        if not len(self.history) and not space.candidates:
            return Choice(None, space.default(), PLAIN, "defaults")
        return self._draw(PLAIN)

    def _draw(self, origin: str) -> Choice:
        """A config drawn at random from what may begin, the rather, the less practice doubts it."""
        pool = self.new
        if not self.history.sweep.space.candidates:
            known = tried(self.history)
            pool = [config for config in self.ground.drawn(self.history) if config.id not in known] or self.new
        doubt = self.ground.doubted(pool)
        why = "drawn as practice suggests" if np.ptp(doubt) > 0 else "drawn at random"
        return Choice(None, pool[int(self.rng.choice(len(pool), p=chances(doubt)))], origin, why)

    def _draw_blindly(self) -> Choice | None:
        """From the whole space: the candidates lean towards what was good."""
        drawn = draw(self.history, self.rng)
        return None if drawn is None else Choice(None, drawn, PLAIN, "drawn at random")

    # The arm with history

    def _by_history(self) -> Choice | None:
        ours = [trial.number for trial in self.history if trial.origin == HISTORY]
        young = [n for n in ours[:OPENING] if self.able[n] and not self.age_N[n] > OPENING_AGE * 0.999]
        if young:
            return self._go_on(young[0])
        opens = bool(self.new) and len(ours) < OPENING
        number = None if opens else self._promising(np.flatnonzero(self.able))
        sure = opens and not limited_by_time(self.history)
        return self._go_on(number) if number is not None else self._begin(OVERSTATED if sure else 1.0)

    def _promising(self, waiting: np.ndarray) -> int | None:
        """Which of the trials ``waiting`` goes on; None where a new config promises more."""
        if not len(waiting):
            return None
        known = self.evidence.on([*self.evidence.configs(waiting), *self.new], learned=True)
        belief = known.belief()
        going = belief.mean[: len(waiting)] + self._ahead(waiting)
        persist = PERSIST if len(self.begun) >= 3 else PERSIST_EARLY
        if not self.new or (going.max() > PROMISING and self.rng.random() < persist):
            return int(waiting[int(np.argmax(going))])
        picked = int(np.argmax(belief.expected_improvement(known.best, self._costs(waiting))))
        return int(waiting[picked]) if picked < len(waiting) else None

    def _begin(self, deviations: float) -> Choice:
        """The new config that is expected to be furthest ahead of the best so far, per cost."""
        known, ahead, score = self._scored(deviations)
        if self.refines:
            parents = [self.new[int(n)] for n in np.argsort(-score)[:PARENTS]]
            near = [config for parent in parents for config in self.ground.near(parent)]
            before = tried(self.history)
            self.new = list({config.id: config for config in [*parents, *near] if config.id not in before}.values())
            known, ahead, score = self._scored(deviations)
        return self._begun_as(HISTORY, known, ahead, int(np.argmax(score)))

    def _scored(self, deviations: float) -> tuple[Known, Belief, np.ndarray]:
        """What is known of the new configs, how far they are believed to be ahead of the best, and what that promises per cost."""
        known = self.evidence.on(self.new, learned=True)
        ahead = known.ahead()
        return known, ahead, ahead.expected_improvement(0.0, self._costs(), deviations)

    def _begun_as(self, origin: str, known: Known, ahead: Belief, picked: int) -> Choice:
        mean, deviation = ahead.mean[picked], ahead.deviation[picked]
        expected = (
            f"{mean:+.2f} ± {deviation:.2f} ahead of the best" if len(known.seen) else f"{mean + known.best:.2f} ± {deviation:.2f}"
        )
        return Choice(None, self.new[picked], origin, f"expected {expected}")

    def _ahead(self, waiting: np.ndarray) -> np.ndarray:
        """What standing before others is worth to each of the trials ``waiting``, the less, the further they are: normal scores of
        the share of comparisons with all that have begun that they win.
        """
        field = len(self.begun)
        if not 1 < field <= MOST_RACED:
            return np.zeros(len(waiting))
        numbers = [TrialId(int(number)) for number in self.begun]
        won_N = np.array([compared(self.traces, [TrialId(int(n))], [m for m in numbers if m != n]) for n in waiting], dtype=float)
        score_N = ndtri((won_N * (field - 1) + 0.5) / field)
        return np.asarray(RACED * score_N * np.maximum(1.0 - self.age_N[waiting], 0.0))

    def _costs(self, waiting: np.ndarray = NOTHING) -> np.ndarray:
        """What the rest of a full training costs for the trials ``waiting`` and then for all new configs, up to a factor.

        In steps, unless time is what limits the sweep: then a step of a slow config counts for more.
        """
        going = np.maximum(1.0 - self.age_N[waiting], 0.02)
        left = np.asarray(np.concatenate([going, np.ones(len(self.new))]))
        if not limited_by_time(self.history):
            return left
        rows = [self.history[int(number)] for number in self.evidence.rows]
        configs = [*self.evidence.configs(waiting), *self.new]
        at = self.ground.at([trial.config for trial in rows] + configs)
        known = self.ground.costs.conditioned(self.ground.points[at[: len(rows)]], paces(rows))
        return np.asarray(left * known.relative(self.ground.points[at[len(rows) :]]))

    def _go_on(self, number: int) -> Choice:
        return Choice(TrialId(number), origin=self.history[number].origin)

    # The arm without

    def _plainly(self, *, alone: bool) -> Choice | None:
        number = self.traces.promotable(self.able, ALONE if alone else BESIDE)
        if number is not None:
            return self._go_on(number)
        if not self.new:
            waiting = np.flatnonzero(self.able)
            return self._go_on(int(waiting[int(np.argmin(self.lowest_N[waiting]))]))
        if alone and len(self.begun) < PLAIN_START:
            return self._draw(PLAIN)
        if self.rng.random() < RANDOM_SHARE or len(self.begun) < PLAIN_START:
            return self._draw_blindly() if alone else self._draw(GUARD)
        if not alone:
            handful = self.rng.choice(len(self.new), min(HANDFUL, len(self.new)), replace=False)
            self.new = [self.new[int(i)] for i in handful]
        known = self.evidence.on(self.new, learned=False)
        ahead = known.ahead_tuned(self.ground)
        return self._begun_as(PLAIN, known, ahead, int(np.argmax(ahead.expected_improvement(0.0, self._costs()))))


class MetaSelector:
    """The learned part, apart from what it learned."""

    def init(self, rng: np.random.Generator) -> Theta:
        return Theta()

    def learn(self, theta: Theta, archive: Archive, rng: np.random.Generator) -> Theta:
        """Everything is learned anew from the whole archive: a few seconds for hundreds of sweeps."""
        return learn(archive, rng) if len(archive) else theta

    def build(self, theta: Theta) -> Selector:
        return Selector(theta)


META = MetaSelector()
