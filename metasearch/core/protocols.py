"""What an algorithm, a log and a learned part must offer. Algorithms are functions of the history and of a given random stream.

They keep no state of their own: whatever they must remember is a fact, or follows from facts (see ``history.View``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from metasearch.core.config import Config
from metasearch.core.event import Directive, Fact, TrialId, Verdict
from metasearch.core.history import History, Trial
from metasearch.core.sweep import Sweep


@dataclass(frozen=True, slots=True)
class Proposal:
    """The next trial. With a ``parent``, it starts from the parent's weights at step ``start``."""

    config: Config
    origin: str
    reason: str = ""
    parent: TrialId | None = None
    start: int = 0


class Searcher(Protocol):
    """Chooses what to try next. Sees every earlier proposal, finished or not."""

    def propose(self, history: History, rng: np.random.Generator) -> Proposal | None:
        """The next trial, or None: nothing now (if trials are running), nothing ever again (if none is)."""
        ...


class Scheduler(Protocol):
    """Decides which trial deserves the next slice of compute."""

    def judge(self, history: History, trial: Trial, rng: np.random.Generator) -> Verdict:
        """The verdict on ``trial``, whose newest report the history already holds. Not asked once it diverged or completed."""
        ...

    def thaw(self, history: History, rng: np.random.Generator) -> TrialId | None:
        """A paused trial that deserves a slot before anything new is proposed, or None."""
        ...


@runtime_checkable
class Rescuer(Protocol):
    """A scheduler that may send a trial back whose loss is no longer finite, instead of giving it up."""

    def rescue(self, history: History, trial: Trial) -> Directive | None:
        """What ``trial`` is told, so that it goes on; None to give it up. Not asked of a trial that has nothing more to train."""
        ...


class Log(Protocol):
    """Where facts are kept, in order."""

    def append(self, facts: Sequence[Fact]) -> None:
        """When it returns, all of them are durable; when it raises, none is."""
        ...

    def read(self) -> Iterable[Fact]:
        """Every fact, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Assignment:
    """One leg of one trial, as a worker needs it: plain data."""

    trial: TrialId
    leg: int
    config: Config
    seed: int
    parent: TrialId | None = None
    start: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a runner. ``last``: there is nothing more to train. Units as in ``event.Reported``."""

    step: int
    loss: float
    seconds: float
    metrics: Mapping[str, float]
    last: bool = False


class Halted(Exception):  # noqa: N818
    """Training stopped before its next report, where a checkpoint can be taken."""


class Runner(Protocol):
    """One trial on a worker. A runner restored from a checkpoint goes on as if it had never stopped."""

    def advance(self) -> Progress:
        """Trains to the next report. Raises Halted if it stopped before, because of ``halt``."""
        ...

    def halt(self) -> None:
        """Asks ``advance``, which may be running, to stop as soon as a checkpoint can be taken; at the next report at the latest.

        Called from a signal handler: it may only take note.
        """
        ...

    def obey(self, directive: Directive) -> None:
        """Changes the running trial from its next training step on."""
        ...

    def checkpoint(self) -> bytes | None:
        """Everything needed to go on elsewhere; None if there is nothing newer than before."""
        ...

    def restore(self, checkpoint: bytes) -> None: ...

    def adopt(self, checkpoint: bytes) -> None:
        """Starts from another trial's weights, under the own config."""
        ...

    def close(self) -> None:
        """The leg is over, and nothing more will be asked: lets go of whatever outlives the runner. May be called twice."""
        ...


class RunnerFactory(Protocol):
    """Makes runners; travels to the workers by cloudpickle, once per worker."""

    def __call__(self, sweep: Sweep, assignment: Assignment) -> Runner: ...


Theta = TypeVar("Theta")
Archive_contra = TypeVar("Archive_contra", contravariant=True)
Algorithm_co = TypeVar("Algorithm_co", covariant=True)


class Meta(Protocol[Theta, Archive_contra, Algorithm_co]):
    """A learned part: parameters apart from behaviour. ``learn`` never sees the sweep in which the algorithm will run."""

    def init(self, rng: np.random.Generator) -> Theta: ...

    def learn(self, theta: Theta, archive: Archive_contra, rng: np.random.Generator) -> Theta: ...

    def build(self, theta: Theta) -> Algorithm_co: ...


class MemoryLog:
    """A log that lives as long as the process: for simulations."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self.facts: list[Fact] = list(facts)

    def append(self, facts: Sequence[Fact]) -> None:
        self.facts.extend(facts)

    def read(self) -> Iterable[Fact]:
        return list(self.facts)
